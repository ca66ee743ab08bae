// The self-check: the model's answers to the golden samples beside the original's, by the rule that verified the export.

import { count, real, transpose } from './arrays.js';

/**
 * Runs every golden sample by itself and gives for each output { name, error }: the largest difference, relative to the output's scale.
 * `tensors` are those of page.json; `golden` holds `in.NAME` and `out.NAME`, samples first. `told(done, all)` is called after each.
 */
export async function check(model, tensors, golden, told = () => {}) {
  const all = golden[`out.${tensors.outputs[0].name}`].shape[0];
  const largest = Object.fromEntries(tensors.outputs.map(({ name }) => [name, 0]));
  for (let sample = 0; sample < all; sample += 1) {
    const feeds = Object.fromEntries(tensors.inputs.map((spec) => [spec.name, toCall(row(golden[`in.${spec.name}`], sample), spec)]));
    const found = await model.run(feeds);
    for (const spec of tensors.outputs) {
      const want = golden[`out.${spec.name}`];
      const error = difference(fromCall(found[spec.name], spec), row(want, sample), spec.quantization) / scaleOf(want, spec.quantization);
      largest[spec.name] = Math.max(largest[spec.name], error);
    }
    told(sample + 1, all);
    // The page stays alive between two samples.
    await new Promise((done) => setTimeout(done));
  }
  return tensors.outputs.map(({ name }) => ({ name, error: largest[name] }));
}

/** One sample as a call: with its axis where the model counts samples, repeated where it takes a fixed number of them. */
export function toCall(array, { shape, sample_axis: axis }) {
  if (axis === null || !shape.length) return array;
  const times = typeof shape[axis] === 'number' ? shape[axis] : 1;
  const data = new array.data.constructor(array.data.length * times);
  for (let time = 0; time < times; time += 1) data.set(array.data, time * array.data.length);
  const rows = { dtype: array.dtype, shape: [times, ...array.shape], data };
  return transpose(rows, moved(0, axis, rows.shape.length));
}

/** The first sample of an output; all of it where no axis counts samples. */
export function fromCall(array, { sample_axis: axis }) {
  return axis === null || !array.shape.length ? array : row(transpose(array, moved(axis, 0, array.shape.length)), 0);
}

// The permutation that moves an axis, as numpy.moveaxis does.
function moved(from, to, axes) {
  const order = Array.from({ length: axes }, (_, axis) => axis).filter((axis) => axis !== from);
  order.splice(to, 0, from);
  return order;
}

function row({ dtype, shape, data }, index) {
  const inner = shape.slice(1);
  const size = count(inner);
  return { dtype, shape: inner, data: data.slice(index * size, (index + 1) * size) };
}

const continuous = (dtype, quantization) => dtype.startsWith('float') || Boolean(quantization);

function scaleOf(array, quantization) {
  if (!continuous(array.dtype, quantization)) return 1;
  return real(array, quantization).reduce((most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 0) || 1;
}

// A NaN equals a NaN and an infinity the same infinity; else what is not finite is infinitely far.
function difference(got, want, quantization) {
  if (got.shape.length !== want.shape.length || got.shape.some((size, axis) => size !== want.shape[axis])) return Infinity;
  const [ours, theirs] = [real(got, quantization), real(want, quantization)];
  return ours.reduce((most, value, place) => {
    const other = theirs[place];
    if (Object.is(value, other) || value === other) return most;
    return Number.isFinite(value) && Number.isFinite(other) ? Math.max(most, Math.abs(value - other)) : Infinity;
  }, 0);
}
