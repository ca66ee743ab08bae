// The steps of a bundle, by their kind: from decoded pixels to the sample that the model takes.

import { asFloat, cut, isFloat, padded, sizeOf } from './pixels.js';
import { resize } from './resample.js';
import { aspectCrop, cropBox, fittedSize, fractionCrop, pair, paddedSize, resizedSize } from './sizes.js';
import { grey, normalize } from './values.js';

const STEPS = {
  resize: (step, pixels) => resized(pixels, resizedSize(sizeOf(pixels), step.size, step.longest), step),
  letterbox(step, pixels) {
    const size = pair(step.size);
    const fitted = fittedSize(sizeOf(pixels), size, step.scale_up);
    const how = { filter: step.filter, antialias: step.antialias, centers: 'half', rounded: true, like: step.antialias ? 'pillow' : 'opencv' };
    return padded(resized(pixels, fitted, how), paddedSize(fitted, size, step.stride), step.value, step.centered);
  },
  crop(step, pixels) {
    const [size, wanted] = [sizeOf(pixels), pair(step.size)];
    if (step.larger === 'resize' && (size[0] < wanted[0] || size[1] < wanted[1])) {
      const how = { filter: 'bilinear', antialias: false, centers: 'half', rounded: false, like: 'pillow' };
      return resize(cut(pixels, aspectCrop(size, wanted)), wanted, how);
    }
    const found = size[0] === wanted[0] && size[1] === wanted[1] ? pixels : cut(pixels, cropBox(size, wanted, step.rounding));
    return step.larger === 'resize' ? asFloat(found) : found;
  },
  crop_fraction: (step, pixels) => cut(pixels, fractionCrop(sizeOf(pixels), step.fraction)),
  crop_to_aspect: (step, pixels) => cut(pixels, aspectCrop(sizeOf(pixels), pair(step.size))),
  grey: (step, pixels) => (pixels.channels === 1 && step.channels === 1 ? pixels : grey(pixels, step.like, step.channels)),
  reverse_channels(step, pixels) {
    const { channels, data } = pixels;
    const found = data.slice();
    for (let at = 0; at < data.length; at += channels) for (let channel = 0; channel < channels; channel += 1) found[at + channel] = data[at + channels - 1 - channel];
    return { ...pixels, data: found };
  },
  channels_first(step, pixels) {
    const { height, width, channels, data } = pixels;
    const area = height * width;
    const found = new data.constructor(data.length);
    for (let place = 0; place < area; place += 1) for (let channel = 0; channel < channels; channel += 1) found[channel * area + place] = data[place * channels + channel];
    return { ...pixels, data: found, first: true };
  },
  normalize: (step, pixels) => ({ ...pixels, data: normalize(step, pixels, pixels.first) }),
};

/** One sample without its batch axis, { dtype, shape, data }, of decoded pixels; the first step, decode, was carried out. */
export function sample(steps, decoded) {
  let pixels = decoded;
  for (const step of steps.slice(1)) pixels = STEPS[step.kind](step, pixels);
  const { height, width, channels, data, first } = pixels;
  return { dtype: dtypeOf(data), shape: first ? [channels, height, width] : [height, width, channels], data };
}

function resized(pixels, to, step) {
  if (pixels.height === to[0] && pixels.width === to[1]) return step.rounded ? pixels : asFloat(pixels);
  return resize(pixels, to, isFloat(pixels) ? { ...step, rounded: false } : step);
}

const dtypeOf = (data) => (data instanceof Uint8Array ? 'uint8' : data instanceof Int8Array ? 'int8' : 'float32');
