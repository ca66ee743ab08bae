// For each new pixel along one axis: which old pixels it is made of, and with which weights; as preprocess/resampling/weights.py.
// Taps are { indices, weights }, one typed array of the new length for each tap.

const f32 = Math.fround;
const SUPPORT = { bilinear: 1, bicubic: 2, lanczos: 3, box: 0.5, hamming: 1 };

const clip = (value, most) => Math.min(Math.max(value, 0), most);
const ratio = (size, length) => f32(f32(size) / f32(length));

/** What rounds to a precision: float32 after every operation, or not at all. */
export const rounder = (precision) => (precision === 'float64' ? (value) => value : f32);

export function nearest(size, length, how) {
  const found = new Int32Array(length);
  for (let place = 0; place < length; place += 1) found[place] = clip(nearestTo(place, size, length, how), size - 1);
  return found;
}

function nearestTo(place, size, length, { centers, like }) {
  if (centers === 'aligned' && length > 1) return Math.floor(f32(f32(place * f32((size - 1) / (length - 1))) + f32(0.5)));
  if (centers === 'half' && (like === 'pillow' || like === 'tf')) return Math.floor(f32(f32(place + f32(0.5)) * ratio(size, length)));
  if (like === 'opencv') return Math.floor(place * (1 / (length / size)));
  return Math.floor(f32(place * ratio(size, length)));
}

/** The place of Pillow's own nearest pixel, which adds up steps; -1 where that leaves the image. */
export function nearestOfPillow(size, length) {
  const step = size / length;
  const found = new Int32Array(length);
  for (let place = 0, at = step * 0.5; place < length; place += 1, at += step) found[place] = Math.trunc(at) < size ? Math.trunc(at) : -1;
  return found;
}

/** The two nearest pixels, or with the parameter `cubic` the four. */
export function between(size, length, centers, cubic, precision = 'float32', clipped = true) {
  const r = rounder(precision);
  const taps = cubic === null ? [0, 1] : [-1, 0, 1, 2];
  const found = empty(taps.length, length, precision);
  for (let place = 0; place < length; place += 1) {
    let where = position(place, size, length, centers, precision);
    if (cubic === null && clipped) where = clip(where, size - 1);
    const first = Math.floor(where);
    const part = r(where - first);
    const weights = cubic === null ? [r(1 - part), part] : [far(cubic, r(part + 1), r), near(cubic, part, r), near(cubic, r(1 - part), r), far(cubic, r(2 - part), r)];
    taps.forEach((tap, index) => {
      found.indices[index][place] = clip(first + tap, size - 1);
      found.weights[index][place] = weights[index];
    });
  }
  return found;
}

/** All pixels below the filter, which is made wider where the image gets smaller. */
export function antialiased(size, length, filter, precision, inverse = false) {
  const r = rounder(precision);
  const scale = inverse ? r(1 / r(length / size)) : r(size / length);
  const widened = Math.max(scale, 1);
  const support = r(SUPPORT[filter] * widened);
  const bounds = Array.from({ length }, (_, place) => {
    const center = r(r(place + 0.5) * scale);
    const first = Math.max(0, Math.trunc(r(r(center - support) + 0.5)));
    const last = Math.min(size, Math.trunc(r(r(center + support) + 0.5)));
    return { center, first, last };
  });
  const found = empty(Math.max(...bounds.map(({ first, last }) => last - first)), length, precision);
  bounds.forEach(({ center, first, last }, place) => {
    let sum = 0;
    found.indices.forEach((indices, tap) => {
      const index = first + tap;
      const distance = r(index - center + 0.5);
      const weight = index < last ? height(filter, Math.abs(r(distance / widened)), r) : 0;
      indices[place] = Math.min(index, size - 1);
      found.weights[tap][place] = weight;
      sum = tap ? r(sum + weight) : weight;
    });
    for (const weights of found.weights) weights[place] = r(weights[place] / sum);
  });
  return found;
}

/** Where a new pixel lies between the old ones. */
export function position(place, size, length, centers, precision) {
  if (precision === 'rounded') return f32(position(place, size, length, centers, 'float64'));
  const r = rounder(precision);
  if (centers === 'aligned') return r(place * r(length > 1 ? (size - 1) / (length - 1) : 0));
  if (centers === 'corner') return r(place * r(size / length));
  if (precision === 'fused') return f32((place + 0.5) * ratio(size, length) - 0.5);
  return r(r(r(place + 0.5) * r(size / length)) - 0.5);
}

export function empty(taps, length, precision) {
  const kind = precision === 'float64' ? Float64Array : Float32Array;
  return {
    indices: Array.from({ length: taps }, () => new Int32Array(length)),
    weights: Array.from({ length: taps }, () => new kind(length)),
  };
}

// Keys' kernel (1981) with the parameter a: below a distance of 1, and from 1 to 2.
export const near = (a, d, r) => r(r(r(r(r(r((a + 2) * d) - r(a + 3)) * d) * d)) + 1);
export const far = (a, d, r) => r(r(r(r(r(r(r(a * d) - r(5 * a)) * d) + r(8 * a)) * d)) - r(4 * a));

function height(name, distance, r) {
  switch (name) {
    case 'bilinear': return Math.max(0, r(1 - distance));
    case 'bicubic': return distance < 1 ? near(-0.5, distance, r) : distance < 2 ? far(-0.5, distance, r) : 0;
    case 'box': return distance <= 0.5 ? 1 : 0;
    case 'hamming': return distance < 1 ? r(sinc(distance, r) * r(0.54 + r(0.46 * r(Math.cos(r(Math.PI * distance)))))) : 0;
    default: return distance < 3 ? r(sinc(distance, r) * sinc(r(distance / 3), r)) : 0;
  }
}

function sinc(distance, r) {
  const angle = r(Math.PI * distance);
  return angle === 0 ? 1 : r(r(Math.sin(angle)) / angle);
}
