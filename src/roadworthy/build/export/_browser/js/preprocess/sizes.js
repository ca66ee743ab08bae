// Sizes and boxes, [height, width] and [left, top, right, bottom], as preprocess/pixels.py and preprocess/geometry.py compute them.

const f32 = Math.fround;

export const pair = (size) => (typeof size === 'number' ? [size, size] : size);

/** The nearest whole number, halves to the even one. */
export function roundEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest === 0.5) return below % 2 === 0 ? below : below + 1;
  return rest < 0.5 ? below : below + 1;
}

export function resizedSize([height, width], wanted, longest) {
  if (Array.isArray(wanted)) return wanted;
  let short = Math.min(height, width);
  let long = Math.max(height, width);
  if (wanted !== null) [short, long] = [wanted, Math.trunc((wanted * long) / short)];
  if (longest !== null && (wanted === null || long > longest)) [short, long] = [Math.max(1, Math.trunc((longest * short) / long)), longest];
  return width <= height ? [long, short] : [short, long];
}

export function fittedSize([height, width], inside, scaleUp) {
  let ratio = Math.min(inside[0] / height, inside[1] / width);
  if (!scaleUp) ratio = Math.min(ratio, 1);
  return [Math.max(1, roundEven(height * ratio)), Math.max(1, roundEven(width * ratio))];
}

export function paddedSize(fitted, inside, stride) {
  return stride === null ? inside : fitted.map((side) => Math.ceil(side / stride) * stride);
}

export function fractionCrop([height, width], fraction) {
  const [top, left] = [height, width].map((side) => Math.trunc((side - side * fraction) / 2));
  return [left, top, width - left, height - top];
}

export function aspectCrop(size, wanted) {
  const height = Math.max(1, Math.min(size[0], Math.trunc(f32(f32(size[1] * wanted[0]) / f32(wanted[1])))));
  const width = Math.max(1, Math.min(size[1], Math.trunc(f32(f32(size[0] * wanted[1]) / f32(wanted[0])))));
  const [top, left] = [Math.floor((size[0] - height) / 2), Math.floor((size[1] - width) / 2)];
  return [left, top, left + width, top + height];
}

export function cropBox(size, wanted, rounding) {
  const [left, right] = span(size[1], wanted[1], rounding);
  const [top, bottom] = span(size[0], wanted[0], rounding);
  return [left, top, right, bottom];
}

function span(length, wanted, rounding) {
  const margin = length - wanted;
  if (margin < 0 && rounding !== 'floor') {
    const before = Math.floor(-margin / 2);
    return [-before, wanted - before];
  }
  const start = rounding === 'even' ? roundEven(margin / 2) : Math.floor(margin / 2);
  return [start, start + wanted];
}
