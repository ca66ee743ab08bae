// ONNX Runtime compiled to WebAssembly: opens model.onnx and answers.

export async function open(files, options) {
  const ort = await import(new URL('ort.wasm.min.mjs', options.runtime));
  ort.env.wasm.numThreads = options.threads;
  // Given as bytes, which Node cannot fetch. The module beside it is found by itself.
  ort.env.wasm.wasmBinary = (await options.read(new URL('ort-wasm-simd-threaded.wasm', options.runtime))).buffer;
  ort.env.logLevel = 'error';
  const session = await ort.InferenceSession.create(files['model.onnx'], { executionProviders: ['wasm'], graphOptimizationLevel: 'all' });
  const wanted = options.outputs.map((output) => output.inner);

  async function run(feeds) {
    const given = {};
    for (const [name, { dtype, shape, data }] of Object.entries(feeds)) given[name] = new ort.Tensor(dtype, data, shape);
    const found = await session.run(given, wanted);
    return Object.fromEntries(wanted.map((name) => [name, { dtype: found[name].type, shape: [...found[name].dims], data: found[name].data }]));
  }

  return { run, close: () => session.release(), threads: ort.env.wasm.numThreads };
}
