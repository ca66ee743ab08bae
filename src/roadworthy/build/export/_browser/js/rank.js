// The first output as ranked classes, as preprocess/answer.py reads it.

import { real } from './arrays.js';

/** The best classes [{ label, score }] of a call of one sample, best first; null where the output is not a row of scores. */
export function ranked(output, { activation, top_k: most, labels }, quantization) {
  const scores = scoresOf(output, activation, labels, quantization);
  if (!scores) return null;
  const order = scores.map((score, index) => ({ label: labels[index] ?? String(index), score, index }));
  return order.sort((a, b) => b.score - a.score || a.index - b.index).slice(0, most);
}

/** Whether the scores are shares of 1. */
export const areShares = ({ activation }) => activation !== 'none';

function scoresOf(output, activation, labels, quantization) {
  const { dtype, shape } = output;
  const whole = !dtype.startsWith('float');
  if (shape.length === 1 || (shape.length === 2 && shape[1] === 1)) {
    if ((whole && !quantization) || !['applied', 'sigmoid'].includes(activation) || labels.length !== 2) return null;
    const [value] = real(output, quantization);
    const second = activation === 'sigmoid' ? sigmoid(value) : value;
    return [1 - second, second];
  }
  if (shape.length !== 2 || dtype === 'bool') return null;
  const values = real(output, quantization).slice(0, shape[1]);
  if (activation === 'sigmoid') return values.map(sigmoid);
  return activation === 'softmax' || activation === 'auto' ? softmax(values) : values;
}

function sigmoid(value) {
  const small = Math.exp(-Math.abs(value));
  return (value >= 0 ? 1 : small) / (1 + small);
}

function softmax(values) {
  const most = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - most));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
