// Carries out steps on images in Node: node preprocess.mjs FOLDER_OF_MODULES CASES.json; see preprocessing.py beside it.

import { readFile, writeFile } from 'node:fs/promises';

const [modules, cases] = process.argv.slice(2);
const { sample } = await import(`${modules}/preprocess/steps.js`);
const { decode } = await import(`${modules}/preprocess/decode.js`);

const said = [];
for (const { steps, image, shape, out } of JSON.parse(await readFile(cases, 'utf8'))) {
  try {
    const bytes = new Uint8Array(await readFile(image));
    const [height, width, channels] = shape ?? [];
    const pixels = shape ? { height, width, channels, data: bytes } : await decode(steps[0], bytes);
    const found = sample(steps, pixels);
    await writeFile(out, new Uint8Array(found.data.buffer, found.data.byteOffset, found.data.byteLength));
    said.push({ dtype: found.dtype, shape: found.shape });
  } catch (problem) {
    said.push({ error: problem.message });
  }
}
console.log(JSON.stringify(said));
