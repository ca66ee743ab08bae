// What the session calls in the page: open the model, answer the arrays that the site holds, time calls.

let model;
let arrays;
let feeds;

async function open(threads) {
  const begun = performance.now();
  arrays = await import('/js/arrays.js');
  const { openModel } = await import('/js/open.js');
  model = await openModel({ threads });
  return { threads: model.threads, note: model.note, ms: performance.now() - begun };
}

/** Answers what the site sends, one call after the other, until it sends nothing. */
async function serve() {
  for (let body = new Blob(); ; ) {
    const answer = await fetch('/drive/next', { method: 'POST', body });
    const sent = await answer.arrayBuffer();
    if (!sent.byteLength) return;
    body = await model.run((feeds = unpacked(sent))).then(packed, (problem) => packed({}, String(problem.message ?? problem)));
  }
}

/** Nanoseconds of each of so many calls with the arrays of the last call. The clock is coarse: calls share the time of their group. */
async function time(calls) {
  const times = [];
  for (let together = 1; times.length < calls; ) {
    const count = Math.min(together, calls - times.length);
    const begun = performance.now();
    for (let call = 0; call < count; call += 1) await model.run(feeds);
    const ms = performance.now() - begun;
    for (let call = 0; call < count; call += 1) times.push(Math.max(1, Math.round((ms * 1e6) / count)));
    if (ms < 2) together *= 2;
  }
  return times;
}

function unpacked(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  const found = {};
  let place = 4 + size;
  const { arrays: stated } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  for (const { name, dtype, shape, bytes } of stated) {
    found[name] = arrays.fromBytes(dtype, shape, new Uint8Array(buffer, place, bytes));
    place += bytes;
  }
  return found;
}

function packed(outputs, error = '') {
  const parts = Object.values(outputs).map((array) => arrays.toBytes(array));
  const stated = Object.entries(outputs).map(([name, { dtype, shape }], at) => ({ name, dtype, shape, bytes: parts[at].byteLength }));
  const header = new TextEncoder().encode(JSON.stringify({ error, arrays: stated }));
  const size = new Uint8Array(4);
  new DataView(size.buffer).setUint32(0, header.byteLength, true);
  return new Blob([size, header, ...parts]);
}

globalThis.roadworthy = { open, serve, time };
