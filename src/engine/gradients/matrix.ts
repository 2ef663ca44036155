/** Gradients of products of matrices. */
import * as tf from '../../tf.ts';
import { gradient, sumTo } from './support.ts';

/** The products by which a matrix product is differentiated, for each way of transposing; TensorFlow.js does not sum over batches that were broadcast. */
const matMul = gradient<{ transposeA: boolean; transposeB: boolean }>('BatchMatMul', ['a', 'b'], (dy, saved, { transposeA, transposeB }) => {
  const [a, b] = saved as [tf.Tensor, tf.Tensor];
  return {
    a: () => sumTo(transposeA ? tf.matMul(b, dy, transposeB, true) : tf.matMul(dy, b, false, !transposeB), a.shape),
    b: () => sumTo(transposeB ? tf.matMul(dy, a, true, transposeA) : tf.matMul(a, dy, !transposeA, false), b.shape),
  };
});

/** Keeps of `dy` and the other operand what operand `index` has axes for, and repeats along the axes that only it had. */
const einsumOperand = (equation: string, dy: tf.Tensor, operands: readonly tf.Tensor[], index: number): tf.Tensor => {
  const [left = '', out = ''] = equation.replaceAll(' ', '').split('->');
  const terms = left.split(',');
  const [term, target] = [terms[index] as string, operands[index] as tf.Tensor];
  const others = operands.map((tensor, i) => ({ tensor, term: terms[i] as string })).filter((_, i) => i !== index);
  const known = [...term].filter((letter) => out.includes(letter) || others.some((other) => other.term.includes(letter)));
  const found = tf.einsum(`${[out, ...others.map((other) => other.term)].join(',')}->${known.join('')}`, dy, ...others.map(({ tensor }) => tensor));
  return tf.broadcastTo(tf.reshape(found, target.shape.map((size, i) => (known.includes(term[i] as string) ? size : 1))), target.shape);
};

export const matrix: readonly tf.GradConfig[] = [
  matMul,
  {
    kernelName: 'Einsum', saveAllInputs: true,
    gradFunc: (dy, operands, { equation }) => Object.fromEntries(operands.map((_, i) => [i, () => einsumOperand(equation as string, dy as tf.Tensor, operands, i)])),
  },
];
