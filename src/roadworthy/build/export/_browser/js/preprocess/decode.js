// The first step: an image file to 8-bit grey or RGB. PNG is decoded here, to the bit as Pillow does; the other formats by the browser.

import { format, metadata } from './metadata.js';
import { blank } from './pixels.js';
import { decodePng, pngSize } from './png.js';
import { grey } from './values.js';

const NAMES = 'JPEG, PNG, WebP, BMP or GIF';
// EXIF orientation: whether rows and columns change places, and then whether rows, and columns, run backwards.
const TURNS = {
  2: [false, false, true], 3: [false, true, true], 4: [false, true, false],
  5: [true, false, false], 6: [true, false, true], 7: [true, true, true], 8: [true, true, false],
};

/** Pixels by the bundle's step `decode`. `browser` decodes what is not PNG: (bytes, type) => RGBA pixels. Raises an Error in words. */
export async function decode(step, bytes, browser = byBrowser) {
  const kind = format(bytes);
  if (kind === 'tiff') throw new Error(`no browser decodes TIFF; give a ${NAMES} file`);
  if (!kind) throw new Error(`this is not a ${NAMES} image`);
  const { orientation, frame, upright } = metadata(bytes);
  const stated = kind === 'png' ? pngSize(bytes) : frame;
  if (stated) limit(step, stated);
  if (frame?.components === 4) throw new Error('browsers convert a JPEG in CMYK each in their own way; save it as RGB');
  const found = kind === 'png' ? await decodePng(bytes, step.deep) : opaque(await browser(upright, `image/${kind}`));
  limit(step, found);
  return turned(coloured(found, step.color), step.orient ? TURNS[orientation] : undefined);
}

function limit(step, { height, width }) {
  if (height * width > step.pixel_limit) throw new Error(`the image has ${width} x ${height} pixels, more than the limit of ${step.pixel_limit}`);
}

async function byBrowser(bytes, type) {
  const bitmap = await createImageBitmap(new Blob([bytes], { type }), { colorSpaceConversion: 'none', premultiplyAlpha: 'none' }).catch(() => {
    throw new Error('the browser cannot decode this image: it is damaged, or of a kind that it does not know');
  });
  const { height, width } = bitmap;
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { height, width });
  const context = canvas.getContext('2d', { willReadFrequently: true, colorSpace: 'srgb' });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { height, width, channels: 4, data: context.getImageData(0, 0, width, height).data };
}

// RGBA without A. Behind a transparent pixel browsers lose the colour, which training saw.
function opaque(pixels) {
  const { height, width } = pixels;
  const found = { height, width, channels: 3, data: new Uint8Array(height * width * 3) };
  for (let from = 0, to = 0; from < pixels.data.length; from += 4, to += 3) {
    if (pixels.data[from + 3] !== 255) throw new Error('the image is transparent in places, and browsers then lose its colours; save it as PNG');
    for (let channel = 0; channel < 3; channel += 1) found.data[to + channel] = pixels.data[from + channel];
  }
  return found;
}

function coloured(pixels, color) {
  const wanted = color === 'L' ? 1 : 3;
  return pixels.channels === wanted ? pixels : grey(pixels, 'pillow', wanted);
}

/** The pixels turned and mirrored as an EXIF orientation says. */
export function turned(pixels, turn) {
  if (!turn) return pixels;
  const [swapped, rows, columns] = turn;
  const { height, width, channels, data } = pixels;
  const found = blank(pixels, swapped ? [width, height] : [height, width]);
  for (let row = 0, place = 0; row < found.height; row += 1) {
    for (let column = 0; column < found.width; column += 1, place += channels) {
      const down = rows ? found.height - 1 - row : row;
      const across = columns ? found.width - 1 - column : column;
      const from = (swapped ? across * width + down : down * width + across) * channels;
      for (let channel = 0; channel < channels; channel += 1) found.data[place + channel] = data[from + channel];
    }
  }
  return found;
}
