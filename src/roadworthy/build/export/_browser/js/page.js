// The page: opens the model, checks it on the golden samples, and answers images that are dropped, pasted or chosen.

import { check, fromCall, toCall } from './check.js';
import { readNpz } from './npz.js';
import { fetched, openModel } from './open.js';
import { decode } from './preprocess/decode.js';
import { sample } from './preprocess/steps.js';
import { areShares, ranked } from './rank.js';

const root = document.documentElement;
const find = (id) => document.getElementById(id);
const say = (id, text) => { find(id).textContent = text; };
const made = (tag, text, name = '') => Object.assign(document.createElement(tag), { textContent: text, className: name });

let model;
let page;
// What the model has to answer, one call after the other: the self-check, then images.
let waiting = start().catch(failed);

async function start() {
  page = JSON.parse(new TextDecoder().decode(await fetched('page.json')));
  document.title = page.name;
  say('name', page.name);
  say('version', `version ${page.version}`);
  page.described.forEach((step) => find('steps').append(made('li', step)));
  model = await openModel({ threads: page.threads });
  const { flavour } = model.description;
  say('runtime', `${flavour} on ${model.threads} ${model.threads === 1 ? 'thread' : 'threads'}${threadsNote()}${model.note && `; ${model.note}`}`);
  if (page.refused) say('said', page.refused);
  else listen();
  await selfCheck();
  root.dataset.state = 'ready';
}

function threadsNote() {
  if (page.threads === 1 || crossOriginIsolated) return '';
  return '; this server does not isolate the page, which is what more threads need (see README.md)';
}

async function selfCheck() {
  const golden = readNpz(await fetched('golden.npz'));
  const found = await check(model, page, golden, (done, all) => say('verdict', `Checking golden sample ${done} of ${all}…`));
  const holds = found.every(({ error }) => error <= page.gate);
  for (const { name, error } of found) {
    const row = made('tr', '');
    row.append(made('th', name), made('td', exponent(error)), made('td', exponent(page.gate)), made('td', error <= page.gate ? 'same' : 'different'));
    find('outputs').append(row);
  }
  verdict(holds, holds ? 'Ready: this browser gives the original’s answers.' : 'This browser gives other answers than the original: do not use it.');
  root.dataset.errors = JSON.stringify(found);
}

const exponent = (value) => (value === 0 ? '0' : value.toExponential(1));

function verdict(good, words) {
  say('verdict', words);
  find('verdict').className = `verdict ${good ? 'good' : 'bad'}`;
}

function failed(problem) {
  verdict(false, problem.message);
  root.dataset.state = 'failed';
  throw problem;
}

function listen() {
  find('drop').hidden = false;
  find('file').addEventListener('change', ({ target }) => {
    take(target.files);
    // The same file, changed meanwhile, can then be chosen again.
    target.value = '';
  });
  addEventListener('paste', ({ clipboardData }) => take(clipboardData.files));
  addEventListener('dragover', (event) => event.preventDefault());
  addEventListener('drop', (event) => {
    event.preventDefault();
    take(event.dataTransfer.files);
  });
}

function take([file]) {
  if (!file) {
    say('said', 'That has no image file in it.');
    return;
  }
  root.dataset.state = 'asked';
  waiting = waiting.then(() => answer(file)).catch((problem) => say('said', problem.message)).then(() => { root.dataset.state = 'answered'; });
}

async function answer(file) {
  find('ranking').replaceChildren();
  preview(file);
  say('said', 'Reading the image…');
  const begun = performance.now();
  const pixels = await decode(page.steps[0], new Uint8Array(await file.arrayBuffer()));
  const [input] = page.inputs;
  const feeds = { [input.name]: toCall(sample(page.steps, pixels), input) };
  const prepared = performance.now();
  const outputs = await model.run(feeds);
  const ended = performance.now();
  say('said', `${(ended - prepared).toFixed(1)} ms for the model, ${(prepared - begun).toFixed(1)} ms for the pixels.`);
  show(outputs);
}

function show(outputs) {
  const [first] = page.outputs;
  const classes = ranked(outputs[first.name], page.answer, first.quantization);
  root.dataset.outputs = JSON.stringify(page.outputs.map((spec) => Array.from(fromCall(outputs[spec.name], spec).data, Number).slice(0, 1000)));
  if (!classes) {
    say('said', `${find('said').textContent} The first output is not a row of classes: ${first.name} [${outputs[first.name].shape}].`);
    return;
  }
  const share = areShares(page.answer);
  for (const { label, score } of classes) {
    const line = made('li', '');
    line.append(made('span', label, 'label'), made('span', share ? `${(score * 100).toFixed(1)} %` : score.toPrecision(4), 'share'));
    if (share) line.append(Object.assign(document.createElement('meter'), { max: 1, value: score, ariaHidden: 'true' }));
    find('ranking').append(line);
  }
}

function preview(file) {
  const image = find('preview');
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(file);
  image.hidden = false;
}
