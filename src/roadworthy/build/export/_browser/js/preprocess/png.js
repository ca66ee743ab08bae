// PNG to 8-bit pixels as Pillow decodes them: transparency dropped and not blended, no colour management, 16 bits by the upper 8.
// Browsers multiply colours by their transparency, and give no 16-bit grey; so the page decodes PNG itself.

import { chunks } from './metadata.js';

const CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const DEPTHS = { 0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };
const PASSES = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
const WHOLE = [[0, 0, 1, 1]];

/** { height, width } of a PNG, from its header. */
export function pngSize(bytes) {
  const { height, width } = header(bytes);
  return { height, width };
}

/** Grey [H,W,1] or RGB [H,W,3] in 8 bits. `deep` says what becomes of 16-bit grey: its "upper" bits, or "clip". */
export async function decodePng(bytes, deep) {
  const head = header(bytes);
  let palette = null;
  const data = [];
  for (const { name, from, until } of chunks(bytes)) {
    if (name === 'PLTE') palette = bytes.subarray(from, until);
    if (name === 'IDAT') data.push(bytes.subarray(from, until));
    if (name === 'IEND') break;
  }
  if (head.type === 3 && !palette) throw new Error('the PNG has no palette');
  const passes = (head.interlaced ? PASSES : WHOLE).map(([x, y, across, down]) => ({ x, y, across, down, ...passSize(head, x, y, across, down) }));
  const size = passes.reduce((sum, pass) => sum + pass.height * (pass.width ? 1 + pass.line : 0), 0);
  const raw = await inflated(data, size);
  const channels = head.type === 0 || head.type === 4 ? 1 : 3;
  const pixels = { height: head.height, width: head.width, channels, data: new Uint8Array(head.height * head.width * channels) };
  const put = writer(head, palette, deep, pixels);
  let at = 0;
  for (const pass of passes) at = readPass(raw, at, pass, head, put);
  return pixels;
}

function header(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 33 || view.getUint32(12) !== 0x49484452) throw new Error('the PNG has no header');
  const head = { width: view.getUint32(16), height: view.getUint32(20), depth: bytes[24], type: bytes[25], interlaced: bytes[28] };
  if (!head.width || !head.height || !DEPTHS[head.type]?.includes(head.depth) || head.interlaced > 1) throw new Error('the header of the PNG is damaged');
  return { ...head, channels: CHANNELS[head.type], stride: Math.max(1, (CHANNELS[head.type] * head.depth) / 8) };
}

function passSize({ width, height, channels, depth }, x, y, across, down) {
  const size = { width: Math.max(0, Math.ceil((width - x) / across)), height: Math.max(0, Math.ceil((height - y) / down)) };
  return { ...size, line: Math.ceil((size.width * channels * depth) / 8) };
}

async function inflated(parts, size) {
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream('deflate'));
  const raw = new Uint8Array(size);
  let place = 0;
  try {
    // No more is read than the header says there is.
    for (const reader = stream.getReader(); place < size; ) {
      const { done, value } = await reader.read();
      if (done) break;
      raw.set(value.subarray(0, size - place), place);
      place += value.length;
    }
  } catch (problem) {
    throw new Error(`the PNG is damaged or truncated: ${problem.message}`);
  }
  if (place < size) throw new Error('the PNG is damaged or truncated: it has too few pixels');
  return raw;
}

function readPass(raw, start, pass, { stride }, put) {
  let at = start;
  let before = new Uint8Array(pass.line);
  for (let row = 0; row < pass.height && pass.width; row += 1) {
    const line = raw.subarray(at + 1, at + 1 + pass.line);
    unfilter(raw[at], line, before, stride);
    for (let column = 0; column < pass.width; column += 1) put(line, column, pass.y + row * pass.down, pass.x + column * pass.across);
    before = line;
    at += 1 + pass.line;
  }
  return at;
}

function unfilter(kind, line, above, stride) {
  const predict = PREDICTORS[kind];
  if (!predict) throw new Error('the PNG is damaged: it has a filter of no known kind');
  for (let at = 0; at < line.length; at += 1) {
    const near = at >= stride;
    line[at] += predict(near ? line[at - stride] : 0, above[at], near ? above[at - stride] : 0);
  }
}

const PREDICTORS = [() => 0, (left) => left, (left, above) => above, (left, above) => (left + above) >> 1, paeth];

function paeth(left, above, corner) {
  const [toLeft, toAbove, toCorner] = [Math.abs(above - corner), Math.abs(left - corner), Math.abs(left + above - 2 * corner)];
  if (toLeft <= toAbove && toLeft <= toCorner) return left;
  return toAbove <= toCorner ? above : corner;
}

// What writes the pixel at `column` of a line of the file to a row and column of `pixels`.
function writer({ type, depth, channels: held }, palette, deep, { width, channels, data }) {
  const most = 2 ** Math.min(depth, 8) - 1;
  return (line, column, row, across) => {
    const place = (row * width + across) * channels;
    if (depth < 8) {
      const bit = column * depth;
      const value = (line[bit >> 3] >> (8 - depth - (bit & 7))) & most;
      if (type === 3) colour(palette, value, data, place);
      else data[place] = (value * 255) / most;
    } else if (type === 3) {
      colour(palette, line[column], data, place);
    } else {
      const step = depth / 8;
      for (let channel = 0; channel < channels; channel += 1) data[place + channel] = line[(column * held + channel) * step];
      if (type === 0 && depth === 16 && deep === 'clip' && data[place]) data[place] = 255;
      else if (type === 0 && depth === 16 && deep === 'clip') data[place] = line[column * 2 + 1];
    }
  };
}

function colour(palette, index, data, place) {
  if (index * 3 + 3 > palette.length) throw new Error('the PNG is damaged: a pixel is of a colour that its palette does not have');
  data.set(palette.subarray(index * 3, index * 3 + 3), place);
}
