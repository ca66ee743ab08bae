// LiteRT compiled to WebAssembly: opens model.tflite and answers one sample a call.

export async function open(files, options) {
  const { loadLiteRt, loadAndCompile, unloadLiteRt, Tensor } = await import(new URL('litert.js', options.runtime));
  // The folder: it takes the file with or without relaxed instructions, as the browser has them.
  await loadLiteRt(options.runtime);
  const model = await loadAndCompile(files['model.tflite'], { accelerator: 'wasm', cpuOptions: { numThreads: 1 } });
  const wanted = options.outputs.map((output) => output.inner);

  async function run(feeds) {
    const given = {};
    let found = {};
    try {
      for (const [name, { shape, data }] of Object.entries(feeds)) given[name] = new Tensor(data, shape);
      found = await model.run(given);
      const answers = {};
      for (const name of wanted) {
        answers[name] = { dtype: found[name].type.dtype, shape: [...found[name].type.layout.dimensions], data: found[name].toTypedArray() };
      }
      return answers;
    } finally {
      // Nothing else gives their memory back.
      for (const tensor of [...Object.values(given), ...Object.values(found)]) tensor.delete();
    }
  }

  function close() {
    model.delete();
    unloadLiteRt();
  }

  return { run, close, threads: 1 };
}
