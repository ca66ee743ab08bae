// Opens the model that lies beside this folder, as model.json describes it, with the runtime's adapter.

import { count, kind } from './arrays.js';

const HERE = new URL('../', import.meta.url);

/**
 * The model, ready to answer: { description, threads, note, run, close }. `threads` is a wish, cut to 1 where the page is not isolated;
 * `note` says in words where the runtime had to run in a slower way than it was verified in.
 * `run` takes and gives { name: { dtype, shape, data } } as the signature has them. Raises an Error that says what is wrong.
 */
export async function openModel({ threads = 1, base = HERE, read = fetched } = {}) {
  const description = JSON.parse(new TextDecoder().decode(await read(new URL('model.json', base))));
  const { inputs, outputs } = description;
  const files = {};
  for (const [name, stated] of Object.entries(description.files)) files[name] = await checked(name, stated, await read(new URL(`model/${name}`, base)));
  const { open } = await import(new URL('runtime/adapter.js', base));
  const session = await open(files, { runtime: new URL('runtime/', base).href, threads: allowed(threads), inputs, outputs, read });

  async function run(feeds) {
    const given = {};
    for (const input of inputs) given[input.inner] = check(input, feeds[input.name]);
    const found = await session.run(given);
    return Object.fromEntries(outputs.map((output) => [output.name, { ...found[output.inner], dtype: output.dtype }]));
  }

  return { description, threads: session.threads, note: session.note ?? '', run, close: () => session.close() };
}

/** The bytes of a file of this site. */
export async function fetched(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${answer.statusText}`);
  return new Uint8Array(await answer.arrayBuffer());
}

/** Threads share memory, which a browser allows in a page that is isolated from other sites alone. */
function allowed(threads) {
  return globalThis.crossOriginIsolated ? Math.max(1, Math.min(threads, navigator.hardwareConcurrency)) : 1;
}

async function checked(name, stated, bytes) {
  if (bytes.byteLength !== stated.bytes) throw new Error(`model/${name} is damaged: it has ${bytes.byteLength} bytes and not ${stated.bytes}`);
  // Browsers have the digest for pages of https and of this machine.
  if (!globalThis.crypto?.subtle) return bytes;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const sum = [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  if (sum !== stated.sha256) throw new Error(`model/${name} is damaged: its SHA-256 is ${sum} and not ${stated.sha256}`);
  return bytes;
}

function check({ name, dtype, shape }, array) {
  if (!array) throw new Error(`the input ${name} is missing`);
  const fits = array.shape.length === shape.length && array.shape.every((size, axis) => typeof shape[axis] === 'string' || shape[axis] === size);
  if (array.dtype !== dtype || !fits) throw new Error(`the input ${name} is ${array.dtype} [${array.shape}]; the model takes ${dtype} [${shape}]`);
  if (!(array.data instanceof kind(dtype)) || array.data.length !== count(array.shape)) throw new Error(`the data of ${name} do not fit its shape`);
  return array;
}
