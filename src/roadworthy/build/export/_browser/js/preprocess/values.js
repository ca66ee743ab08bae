// Normalisation, in the order of operations of each library, in float32; and grey.

import { roundEven } from './sizes.js';

const f32 = Math.fround;

/** The values of a sample [H,W,C], or [C,H,W] where `first`; float32 or int8. */
export function normalize(step, { height, width, channels, data }, first) {
  const area = height * width;
  const compute = Array.from({ length: channels }, (_, channel) => computed(step, channel));
  const values = new Float32Array(data.length);
  for (let place = 0; place < data.length; place += 1) values[place] = compute[first ? Math.floor(place / area) : place % channels](data[place]);
  return step.dtype === 'float32' ? values : Int8Array.from(values, (value) => Math.min(Math.max(roundEven(value), -128), 127));
}

function computed({ scale, mean, std, arithmetic }, channel) {
  const [less, by] = [mean, std].map((values) => values[values.length === 1 ? 0 : channel]);
  if (arithmetic === 'fused') {
    const [factor, offset] = [f32(scale / by), f32(-less / by)];
    return mean.some((value) => value !== 0) ? (pixel) => f32(f32(pixel * factor) + offset) : (pixel) => f32(pixel * factor);
  }
  const scaled = scaling(scale, arithmetic);
  const [lower, divisor] = [f32(less), f32(by)];
  return (pixel) => f32(f32(scaled(pixel) - lower) / divisor);
}

function scaling(scale, arithmetic) {
  if (arithmetic === 'numpy') return (pixel) => f32(pixel * scale);
  // torch divides where the scale is one over a number.
  const divisor = Number((1 / scale).toFixed(6));
  if (arithmetic === 'torch' && divisor && 1 / divisor === scale) return (pixel) => f32(pixel / f32(divisor));
  return (pixel) => f32(pixel * f32(scale));
}

const GREY = {
  pillow: (red, green, blue) => (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16,
  torch: (red, green, blue) => Math.trunc(f32(f32(f32(red * f32(0.2989)) + f32(green * f32(0.587))) + f32(blue * f32(0.114)))),
};

/** uint8 RGB as grey in `channels` equal channels. */
export function grey(pixels, like, channels) {
  const { height, width, data } = pixels;
  const from = pixels.channels;
  const found = new Uint8Array(height * width * channels);
  for (let place = 0; place < height * width; place += 1) {
    const at = place * from;
    found.fill(from === 1 ? data[at] : GREY[like](data[at], data[at + 1], data[at + 2]), place * channels, (place + 1) * channels);
  }
  return { height, width, channels, data: found };
}
