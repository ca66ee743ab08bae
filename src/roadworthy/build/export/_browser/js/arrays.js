// Arrays with a dtype and a shape, in C order: { dtype, shape, data }.

const KINDS = {
  float32: Float32Array, float64: Float64Array, float16: globalThis.Float16Array ?? Uint16Array, bool: Uint8Array,
  int8: Int8Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array,
  uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, uint64: BigUint64Array,
};

/** The typed array for a dtype of NumPy. */
export function kind(dtype) {
  const found = KINDS[dtype];
  if (!found) throw new Error(`JavaScript has no array for the dtype ${dtype}`);
  return found;
}

export const count = (shape) => shape.reduce((product, size) => product * size, 1);

/** An array over bytes, which are copied: they may begin anywhere. */
export function fromBytes(dtype, shape, bytes) {
  const type = kind(dtype);
  if (bytes.byteLength !== count(shape) * type.BYTES_PER_ELEMENT) throw new Error(`${bytes.byteLength} bytes are not ${dtype} [${shape}]`);
  return { dtype, shape, data: new type(bytes.slice().buffer) };
}

/** The bytes of an array, in the order of this machine. */
export const toBytes = ({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** The numbers that an array represents. */
export function real({ dtype, data }, quantization) {
  if (quantization && !dtype.startsWith('float')) return Array.from(data, (value) => Math.fround((Number(value) - quantization.zero_point) * quantization.scale));
  return Array.from(data, Number);
}

/** As numpy.transpose, a copy; the array itself where no axis moves. */
export function transpose(array, permutation) {
  if (permutation.every((axis, place) => axis === place)) return array;
  const { dtype, data } = array;
  const shape = permutation.map((axis) => array.shape[axis]);
  const strides = stridesOf(array.shape);
  const steps = permutation.map((axis) => strides[axis]);
  const moved = new data.constructor(data.length);
  const index = new Array(shape.length).fill(0);
  for (let place = 0, from = 0; place < moved.length; place += 1) {
    moved[place] = data[from];
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      index[axis] += 1;
      from += steps[axis];
      if (index[axis] < shape[axis]) break;
      from -= steps[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return { dtype, shape, data: moved };
}

function stridesOf(shape) {
  const strides = new Array(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis -= 1) strides[axis] = strides[axis + 1] * shape[axis + 1];
  return strides;
}
