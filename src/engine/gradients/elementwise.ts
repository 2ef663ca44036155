/** Gradients of elementwise kernels. */
import * as tf from '../../tf.ts';
import { gradient, kernel, noGradient, output, sumTo } from './support.ts';

type Deciding = (a: tf.Tensor, b: tf.Tensor) => tf.Tensor;

/** `dy` where `decides`, zero elsewhere: unlike a product with a mask, it keeps an infinity of the other side out. */
const only = (decides: tf.Tensor, dy: tf.Tensor): tf.Tensor => tf.where(decides, dy, tf.zerosLike(dy));

/** max and min of two: the gradient goes to the one chosen, at a tie to `a`. TensorFlow.js does not sum over what was broadcast. */
const choice = (name: string, toA: Deciding, toB: Deciding) => gradient(name, ['a', 'b'], (dy, [a, b]: tf.Tensor[]) => ({
  a: () => sumTo(only(toA(a as tf.Tensor, b as tf.Tensor), dy), (a as tf.Tensor).shape),
  b: () => sumTo(only(toB(a as tf.Tensor, b as tf.Tensor), dy), (b as tf.Tensor).shape),
}));

/** A comparison, or another step function: its gradient is zero, and it has to say so, or nothing that it decides could be differentiated. */
const flat = (name: string, inputs: readonly string[]) => gradient(name, inputs, (_, saved) =>
  Object.fromEntries(inputs.map((input, i) => [input, () => noGradient(saved[i] as tf.Tensor)])));

/** A kernel whose derivative is a function of its own output. */
const byOutput = (name: string, compute: (x: tf.Tensor) => tf.Tensor, derivative: (dy: tf.Tensor, y: tf.Tensor) => tf.Tensor) =>
  gradient(name, ['x'], (dy, [x, y]) => ({ x: () => derivative(dy, output(y as tf.Tensor, () => compute(x as tf.Tensor))) }), { outputs: [true] });

export const elementwise: readonly tf.GradConfig[] = [
  // Zero at zero; TensorFlow.js has -1 there.
  gradient('Abs', ['x'], (dy, [x]) => ({ x: () => tf.mul(dy, tf.sign(tf.cast(x as tf.Tensor, 'float32'))) })),
  byOutput('Exp', tf.exp, (dy, y) => tf.mul(dy, y)),
  byOutput('Sigmoid', tf.sigmoid, (dy, y) => tf.mul(dy, tf.mul(y, tf.sub(1, y)))),
  byOutput('Tanh', tf.tanh, (dy, y) => tf.mul(dy, tf.sub(1, tf.square(y)))),
  byOutput('Elu', tf.elu, (dy, y) => kernel('EluGrad', { dy, y })),
  gradient('EluGrad', ['dy', 'y'], (ddx, [dy, y]) => ({
    dy: () => kernel('EluGrad', { dy: ddx, y: y as tf.Tensor }),
    y: () => only(tf.less(y as tf.Tensor, 0), tf.mul(ddx, dy as tf.Tensor)),
  })),
  choice('Maximum', tf.greaterEqual, tf.less),
  choice('Minimum', tf.lessEqual, tf.greater),
  gradient('SquaredDifference', ['a', 'b'], (dy, [a, b]) => {
    const slope = (): tf.Tensor => tf.mul(dy, tf.mul(2, tf.sub(a as tf.Tensor, b as tf.Tensor)));
    return { a: () => sumTo(slope(), (a as tf.Tensor).shape), b: () => sumTo(tf.neg(slope()), (b as tf.Tensor).shape) };
  }),
  gradient('Pow', ['a', 'b'], (dy, [a, b, y]) => {
    const [base, exponent] = [a as tf.Tensor, tf.cast(b as tf.Tensor, 'float32')];
    return {
      a: () => sumTo(tf.mul(dy, tf.mul(exponent, tf.pow(base, tf.sub(exponent, 1)))), base.shape),
      b: () => {
        // The power of a base that is not positive does not depend smoothly on the exponent: its gradient is taken as zero.
        const positive = tf.greater(base, 0);
        const logarithm = tf.where(positive, tf.log(tf.where(positive, base, tf.onesLike(base))), tf.zerosLike(base));
        return sumTo(tf.mul(dy, tf.mul(output(y as tf.Tensor, () => tf.pow(base, exponent)), logarithm)), exponent.shape);
      },
    };
  }, { outputs: [true] }),
  // a - floor(a / b) b.
  gradient('Mod', ['a', 'b'], (dy, [a, b]) => ({
    a: () => sumTo(dy, (a as tf.Tensor).shape),
    b: () => sumTo(tf.mul(dy, tf.neg(tf.floor(tf.div(a as tf.Tensor, b as tf.Tensor)))), (b as tf.Tensor).shape),
  })),
  gradient('Select', ['condition'], (dy, [condition]) => ({
    condition: () => noGradient(condition as tf.Tensor),
    t: () => only(condition as tf.Tensor, dy),
    e: () => only(tf.logicalNot(condition as tf.Tensor), dy),
  })),
  ...['Equal', 'NotEqual', 'Greater', 'GreaterEqual', 'Less', 'LessEqual', 'LogicalAnd', 'LogicalOr', 'LogicalXor', 'FloorDiv'].map((name) => flat(name, ['a', 'b'])),
  flat('LogicalNot', ['x']),
];
