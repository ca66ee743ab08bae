// Pixels between two steps: { height, width, channels, data }, rows of [H,W,C] in a Uint8Array or a Float32Array.

export const isFloat = (pixels) => pixels.data instanceof Float32Array;

export const sizeOf = ({ height, width }) => [height, width];

/** Pixels of zeros like these, at another size or with other channels. */
export function blank(pixels, [height, width], channels = pixels.channels) {
  return { height, width, channels, data: new pixels.data.constructor(height * width * channels) };
}

export function asFloat(pixels) {
  return isFloat(pixels) ? pixels : { ...pixels, data: Float32Array.from(pixels.data) };
}

/** The part in a box [left, top, right, bottom]; what lies past the image is zero. */
export function cut(pixels, [left, top, right, bottom]) {
  const { height, width, channels, data } = pixels;
  const part = blank(pixels, [bottom - top, right - left]);
  const from = Math.max(0, left);
  const until = Math.min(width, right);
  if (until <= from) return part;
  for (let row = Math.max(0, top); row < Math.min(height, bottom); row += 1) {
    const line = data.subarray((row * width + from) * channels, (row * width + until) * channels);
    part.data.set(line, ((row - top) * part.width + from - left) * channels);
  }
  return part;
}

/** These pixels in an image of `value` at the size `to`: in its middle, or at its top left. */
export function padded(pixels, to, value, centered) {
  const { height, width, channels, data } = pixels;
  if (height === to[0] && width === to[1]) return pixels;
  const larger = blank(pixels, to);
  larger.data.fill(value);
  const [top, left] = centered ? [Math.floor((to[0] - height) / 2), Math.floor((to[1] - width) / 2)] : [0, 0];
  for (let row = 0; row < height; row += 1) {
    larger.data.set(data.subarray(row * width * channels, (row + 1) * width * channels), ((row + top) * to[1] + left) * channels);
  }
  return larger;
}

/** One column of pixels for each place of `columns` and one row for each of `rows`; a place of -1 is zero. */
export function taken(pixels, rows, columns) {
  const { width, channels, data } = pixels;
  const found = blank(pixels, [rows.length, columns.length]);
  for (let row = 0, place = 0; row < rows.length; row += 1) {
    for (let column = 0; column < columns.length; column += 1, place += channels) {
      if (rows[row] < 0 || columns[column] < 0) continue;
      const from = (rows[row] * width + columns[column]) * channels;
      for (let channel = 0; channel < channels; channel += 1) found.data[place + channel] = data[from + channel];
    }
  }
  return found;
}
