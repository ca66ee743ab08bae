// TensorFlow.js: opens a graph model on WebAssembly, or on plain JavaScript where the browser has none, and answers.

const NUMBERS = { float32: Float32Array, int32: Int32Array, bool: Uint8Array };
const WIDE = { int64: BigInt64Array, uint64: BigUint64Array };
const NARROW = { int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array };

export async function open(files, options) {
  // They are not modules: each adds itself to the global tf.
  for (const name of ['tf-core.min.js', 'tf-converter.min.js']) await import(new URL(name, options.runtime));
  const tf = globalThis.tf;
  const note = await started(tf, options.runtime);
  const { modelTopology, signature, weightsManifest } = JSON.parse(new TextDecoder().decode(files['model.json']));
  const [{ paths, weights: weightSpecs }] = weightsManifest;
  const weightData = joined(paths.map((path) => files[path]));
  const model = await tf.loadGraphModel({ load: async () => ({ modelTopology, signature, weightSpecs, weightData }) });
  const wanted = options.outputs.map((output) => output.inner);
  const dtypes = Object.fromEntries(options.outputs.map((output) => [output.inner, output.dtype]));

  async function run(feeds) {
    const given = {};
    try {
      for (const [name, array] of Object.entries(feeds)) given[name] = toTensor(tf, name, array);
      const found = [model.execute(given, wanted)].flat();
      const answers = {};
      for (const [place, name] of wanted.entries()) {
        // Copied by slice: the memory is the runtime's.
        const data = (await found[place].data()).slice();
        answers[name] = { dtype: dtypes[name], shape: [...found[place].shape], data: asDtype(dtypes[name], data) };
      }
      tf.dispose(found);
      return answers;
    } finally {
      tf.dispose(given);
    }
  }

  return { run, close: () => model.dispose(), threads: 1, note };
}

/** Starts the backend on WebAssembly, or the one in plain JavaScript where that fails; why, in words, or nothing. */
async function started(tf, runtime) {
  await import(new URL('tf-backend-wasm.min.js', runtime));
  // One thread: several need workers from blob: URLs, and where a policy forbids these the page hangs without an error.
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  tf.wasm.setWasmPaths(runtime);
  if (await tf.setBackend('wasm')) return '';
  await import(new URL('tf-backend-cpu.min.js', runtime));
  if (!(await tf.setBackend('cpu'))) throw new Error('TensorFlow.js starts neither WebAssembly nor plain JavaScript in this browser');
  return 'WebAssembly does not start here, and TensorFlow.js runs in plain JavaScript, up to a hundred times slower';
}

function joined(parts) {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let place = 0;
  for (const part of parts) {
    bytes.set(part, place);
    place += part.byteLength;
  }
  return bytes.buffer;
}

function toTensor(tf, name, { dtype, shape, data }) {
  if (dtype in NUMBERS) return tf.tensor(data, shape, dtype);
  const numbers = Int32Array.from(data, Number);
  if (dtype in WIDE && data.some((value, place) => BigInt(numbers[place]) !== value)) throw new Error(`${name} has numbers beyond 32 bits, which TensorFlow.js lacks`);
  return tf.tensor(numbers, shape, 'int32');
}

function asDtype(dtype, data) {
  if (dtype in WIDE) return WIDE[dtype].from(data, BigInt);
  if (dtype in NARROW) return NARROW[dtype].from(data);
  return data;
}
