// Opens an export in Node and answers feeds: node run.mjs EXPORT FEEDS.json; each feed is { dtype, shape, file }.

import { readFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';

const [folder, stated] = process.argv.slice(2);
const base = pathToFileURL(`${folder}/`);
const read = async (url) => new Uint8Array(await readFile(url));
const { openModel } = await import(new URL('js/open.js', base));
const { fromBytes, toBytes } = await import(new URL('js/arrays.js', base));
const { check } = await import(new URL('js/check.js', base));
const { readNpz } = await import(new URL('js/npz.js', base));

const model = await openModel({ threads: 2, read });
const feeds = {};
for (const [name, { dtype, shape, file }] of Object.entries(JSON.parse(stated))) feeds[name] = fromBytes(dtype, shape, new Uint8Array(await readFile(file)));
const outputs = Object.entries(await model.run(feeds)).map(([name, array]) => [name, { ...array, data: Buffer.from(toBytes(array)).toString('hex') }]);
const page = JSON.parse(await readFile(new URL('page.json', base)));
const errors = await check(model, page, readNpz(await read(new URL('golden.npz', base))));
console.log(JSON.stringify({ outputs: Object.fromEntries(outputs), threads: model.threads, errors }));
await model.close();
