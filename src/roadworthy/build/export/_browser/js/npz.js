// Reads .npz: a zip archive of .npy arrays, not compressed.

import { fromBytes } from './arrays.js';

const DTYPES = {
  '<f4': 'float32', '<f8': 'float64', '<f2': 'float16', '|b1': 'bool', '|i1': 'int8', '<i2': 'int16', '<i4': 'int32', '<i8': 'int64',
  '|u1': 'uint8', '<u2': 'uint16', '<u4': 'uint32', '<u8': 'uint64',
};

/** The arrays of an archive by name. Raises an Error for one that is damaged, or holds what is not an array of numbers. */
export function readNpz(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const arrays = {};
  try {
    for (const { name, from, until } of entries(view)) arrays[name.replace(/\.npy$/, '')] = readNpy(bytes.subarray(from, until));
  } catch (problem) {
    throw new Error(`the golden samples cannot be read: ${problem.message}`);
  }
  return arrays;
}

function* entries(view) {
  let end = view.byteLength - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end -= 1;
  if (end < 0) throw new Error('it is not an archive');
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left -= 1) {
    const [size, name, extra, comment, local] = [view.getUint32(at + 20, true), view.getUint16(at + 28, true), view.getUint16(at + 30, true), view.getUint16(at + 32, true), view.getUint32(at + 42, true)];
    const from = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const text = new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at + 46, name));
    if (view.getUint16(at + 10, true)) throw new Error(`${text} is compressed`);
    yield { name: text, from, until: from + size };
    at += 46 + name + extra + comment;
  }
}

function readNpy(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [size, start] = bytes[6] === 1 ? [view.getUint16(8, true), 10] : [view.getUint32(8, true), 12];
  const header = new TextDecoder().decode(bytes.subarray(start, start + size));
  const [, descr] = header.match(/'descr': '([^']*)'/) ?? [];
  const [, sizes] = header.match(/'shape': \(([^)]*)\)/) ?? [];
  if (!(descr in DTYPES) || sizes === undefined || /'fortran_order': True/.test(header)) throw new Error(`an array of ${descr} is not read here`);
  const shape = sizes.split(',').filter((text) => text.trim()).map(Number);
  return fromBytes(DTYPES[descr], shape, bytes.subarray(start + size));
}
