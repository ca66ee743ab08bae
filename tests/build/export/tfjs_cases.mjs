// Runs every graph model below a folder on one backend of TensorFlow.js: feeds.json beside it in, answers.json out.
import {createRequire} from 'node:module';
import {readFileSync, readdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';

const [packages, folder, backend] = process.argv.slice(2);
const require = createRequire(join(packages, 'package.json'));
const tf = require('@tensorflow/tfjs-core');
const {loadGraphModel} = require('@tensorflow/tfjs-converter');
if (backend === 'wasm') {
  const wasm = require('@tensorflow/tfjs-backend-wasm');
  wasm.setWasmPaths(join(packages, 'node_modules/@tensorflow/tfjs-backend-wasm/dist/'));
} else {
  require('@tensorflow/tfjs-backend-cpu');
}
await tf.setBackend(backend);
await tf.ready();

const flat = (text) => text.map((value) => (value === null ? NaN : value));

for (const name of readdirSync(folder)) {
  const place = join(folder, name);
  let answers;
  try {
    const {modelTopology, weightsManifest, signature} = JSON.parse(readFileSync(join(place, 'model.json')));
    const weightData = Buffer.concat(weightsManifest[0].paths.map((path) => readFileSync(join(place, path))));
    const bytes = weightData.buffer.slice(weightData.byteOffset, weightData.byteOffset + weightData.byteLength);
    const model = await loadGraphModel({
      load: async () => ({modelTopology, signature, weightSpecs: weightsManifest[0].weights, weightData: bytes}),
    });
    answers = [];
    for (const feeds of JSON.parse(readFileSync(join(place, 'feeds.json')))) {
      const tensors = {};
      for (const [key, {shape, dtype, data}] of Object.entries(feeds)) tensors[key] = tf.tensor(flat(data), shape, dtype);
      const keys = Object.keys(signature.outputs);
      const found = [model.execute(tensors, keys)].flat();
      answers.push(Object.fromEntries(found.map((tensor, i) => [keys[i], {shape: tensor.shape, data: Array.from(tensor.dataSync())}])));
    }
  } catch (problem) {
    answers = {failed: String(problem.message || problem)};
  }
  writeFileSync(join(place, 'answers.json'), JSON.stringify(answers));
}
