// Resizing to the pixels that each library gives: Pillow's and torch's and OpenCV's whole numbers, and sums in float32.

import { blank, isFloat, taken } from './pixels.js';
import { roundEven } from './sizes.js';
import { antialiased, between, empty, far, near, nearest, nearestOfPillow, position } from './weights.js';

const f32 = Math.fround;
const CUBIC = -0.75;
const TABLE = 1024;
const PILLOW_BITS = 22;
const TORCH_BITS = 22;
const OPENCV_BITS = 11;

/** Pixels at the size `to`; `how` has the fields of preprocess/resampling/kernel.py. */
export function resize(pixels, to, how) {
  if (how.filter === 'nearest') {
    const ofPillow = how.like === 'pillow' && how.rounded && how.centers === 'half';
    const [rows, columns] = to.map((length, axis) => {
      const size = axis ? pixels.width : pixels.height;
      return ofPillow ? nearestOfPillow(size, length) : nearest(size, length, how);
    });
    const found = taken(pixels, rows, columns);
    return how.rounded || isFloat(found) ? found : { ...found, data: Float32Array.from(found.data) };
  }
  if (how.rounded && how.like === 'pillow' && how.centers === 'half' && how.antialias) return asPillow(pixels, to, how);
  if (how.rounded && how.like === 'torch' && how.centers === 'half') return asTorch(pixels, to, how);
  if (how.rounded && how.like === 'opencv' && how.filter === 'bilinear') return asOpencv(pixels, to);
  const values = inFloats(pixels, to, how);
  if (!how.rounded) return values;
  return { ...values, data: Uint8Array.from(values.data, (value) => roundEven(Math.min(Math.max(value, 0), 255))) };
}

// Sums along one axis: `each(source, from, stride, place)` gives a new value from the line that begins at `from`.
function along(pixels, axis, length, kind, each) {
  const { height, width, channels, data } = pixels;
  const size = axis ? [height, length] : [length, width];
  const found = { ...blank(pixels, [0, 0]), height: size[0], width: size[1], data: new kind(size[0] * size[1] * channels) };
  const stride = axis ? channels : width * channels;
  let place = 0;
  for (let row = 0; row < size[0]; row += 1) {
    for (let column = 0; column < size[1]; column += 1) {
      const from = axis ? row * width * channels : column * channels;
      for (let channel = 0; channel < channels; channel += 1, place += 1) found.data[place] = each(data, from + channel, stride, axis ? column : row);
    }
  }
  return found;
}

const clip8 = (value) => (value < 0 ? 0 : value > 255 ? 255 : value);
const lengthOf = (pixels, axis) => (axis ? pixels.width : pixels.height);

// Weights of whole numbers, with so many bits behind the point; rounded after each axis, in the order of `axes`.
function inWhole(pixels, to, weigh, axes = [1, 0]) {
  let found = pixels;
  for (const axis of axes) {
    if (lengthOf(found, axis) === to[axis]) continue;
    const { taps: { indices, weights }, bits } = weigh(lengthOf(found, axis), to[axis]);
    const half = 2 ** (bits - 1);
    found = along(found, axis, to[axis], Uint8Array, (data, from, stride, place) => {
      let sum = half;
      for (let tap = 0; tap < indices.length; tap += 1) sum += data[from + indices[tap][place] * stride] * weights[tap][place];
      return clip8(sum >> bits);
    });
  }
  return found;
}

// Halves go away from zero.
const whole = (weights, bits) => weights.map((line) => Int32Array.from(line, (weight) => Math.trunc(weight * 2 ** bits + (weight < 0 ? -0.5 : 0.5))));

function asPillow(pixels, to, { filter }) {
  return inWhole(pixels, to, (size, length) => {
    const { indices, weights } = antialiased(size, length, filter, 'float64');
    return { taps: { indices, weights: whole(weights, PILLOW_BITS) }, bits: PILLOW_BITS };
  }, rowsFirst(pixels, to) ? [0, 1] : [1, 0]);
}

// Since version 13 Pillow begins with the rows where the height loses more than twice as many pixels as the width.
const rowsFirst = ({ height, width }, to) => to[0] < height && height - to[0] > 2 * (width - to[1]);

function asTorch(pixels, to, { filter, antialias }) {
  return inWhole(pixels, to, (size, length) => {
    const taps = antialias
      ? antialiased(size, length, filter, 'float64')
      : merged(between(size, length, 'half', filter === 'bicubic' ? CUBIC : null, 'float64'));
    const most = taps.weights.reduce((largest, line) => line.reduce((one, other) => Math.max(one, other), largest), -Infinity);
    let bits = 0;
    while (bits < TORCH_BITS && Math.trunc(0.5 + most * 2 ** (bits + 1)) < 2 ** 15) bits += 1;
    return { taps: { indices: taps.indices, weights: whole(taps.weights, bits) }, bits };
  });
}

// One weight for a pixel that occurs several times, at the edge: it is rounded once.
function merged({ indices, weights }) {
  for (let later = 1; later < indices.length; later += 1) {
    for (let earlier = 0; earlier < later; earlier += 1) {
      indices[later].forEach((index, place) => {
        if (index !== indices[earlier][place]) return;
        weights[earlier][place] += weights[later][place];
        weights[later][place] = 0;
      });
    }
  }
  return { indices, weights };
}

function asOpencv(pixels, to) {
  const [rows, columns] = [0, 1].map((axis) => {
    const { indices, weights } = between(lengthOf(pixels, axis), to[axis], 'half', null, 'rounded', axis === 1);
    return { indices, weights: weights.map((line) => Int32Array.from(line, (weight) => roundEven(f32(weight * 2 ** OPENCV_BITS)))) };
  });
  const across = along(pixels, 1, to[1], Int32Array, (data, from, stride, place) => {
    const sum = data[from + columns.indices[0][place] * stride] * columns.weights[0][place] + data[from + columns.indices[1][place] * stride] * columns.weights[1][place];
    return sum >> 4;
  });
  return along(across, 0, to[0], Uint8Array, (data, from, stride, place) => {
    const above = (data[from + rows.indices[0][place] * stride] * rows.weights[0][place]) >> 16;
    const below = (data[from + rows.indices[1][place] * stride] * rows.weights[1][place]) >> 16;
    return (above + below + 2) >> 2;
  });
}

function inFloats(pixels, to, how) {
  if (how.filter === 'bilinear' && !how.antialias && (how.like === 'pillow' || how.like === 'tf')) return lerped(pixels, to, how.centers);
  const [rows, columns] = [0, 1].map((axis) => floatTaps(lengthOf(pixels, axis), to[axis], how));
  return how.like === 'tf' ? summed(summed(pixels, 0, rows), 1, columns) : summed(summed(pixels, 1, columns), 0, rows);
}

function summed(pixels, axis, { indices, weights }) {
  return along(pixels, axis, indices[0].length, Float32Array, (data, from, stride, place) => {
    let sum = f32(data[from + indices[0][place] * stride] * weights[0][place]);
    for (let tap = 1; tap < indices.length; tap += 1) sum = f32(sum + f32(data[from + indices[tap][place] * stride] * weights[tap][place]));
    return sum;
  });
}

function floatTaps(size, length, how) {
  if (how.antialias) return antialiased(size, length, how.filter, 'float32', how.like === 'tf');
  if (how.like === 'tf' && how.filter === 'bicubic') return tabled(size, length, how.centers);
  return between(size, length, how.centers, how.filter === 'bicubic' ? CUBIC : null, how.like === 'opencv' ? 'rounded' : 'fused');
}

// From the left pixel a part of the way to the right one, then from the upper to the lower.
function lerped(pixels, to, centers) {
  let found = pixels;
  for (const axis of [1, 0]) {
    const { indices, weights } = between(lengthOf(pixels, axis), to[axis], centers, null);
    found = along(found, axis, to[axis], Float32Array, (data, from, stride, place) => {
      const first = data[from + indices[0][place] * stride];
      const second = data[from + indices[1][place] * stride];
      return f32(f32(f32(second - first) * weights[1][place]) + first);
    });
  }
  return found;
}

// TensorFlow's bicubic: weights by table; where centres are "half" with -0.5, and no weight for what lies past the edge.
function tabled(size, length, centers) {
  const a = centers === 'half' ? -0.5 : CUBIC;
  const found = empty(4, length, 'float32');
  for (let place = 0; place < length; place += 1) {
    const where = position(place, size, length, centers, 'float32');
    const first = Math.floor(where);
    const part = f32(roundEven(f32(f32(where - first) * TABLE)) / TABLE);
    let sum = 0;
    [f32(part + 1), part, f32(1 - part), f32(2 - part)].forEach((apart, tap) => {
      const unbound = first + tap - 1;
      const index = Math.min(Math.max(unbound, 0), size - 1);
      const weight = apart <= 1 ? near(a, apart, f32) : far(a, apart, f32);
      found.indices[tap][place] = index;
      found.weights[tap][place] = centers === 'half' && index !== unbound ? 0 : weight;
      sum = f32(sum + found.weights[tap][place]);
    });
    if (centers === 'half') for (const line of found.weights) line[place] = f32(line[place] / sum);
  }
  return found;
}
