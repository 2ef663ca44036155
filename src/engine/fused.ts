/**
 * Functions that networks are full of, each as one kernel forward and one backward where the executor has them, and as TensorFlow.js's own operations where it has
 * not. Both give the same numbers up to rounding; second derivatives go through the operations everywhere.
 */
import * as tf from '../tf.ts';

type Attrs = Readonly<Record<string, number | boolean>>;
type Operations = (inputs: readonly tf.Tensor[], attrs: Attrs) => tf.Tensor;

/** A function that may be one kernel. */
type Fusion = Readonly<{
  kernel: string;
  /** Input names; the first is what is transformed, the rest are parameters. */
  inputs: readonly string[];
  /** The function, and its gradients by each input, in operations. */
  forward: Operations;
  backward: (dy: tf.Tensor, inputs: readonly tf.Tensor[], attrs: Attrs) => tf.Tensor[];
}>;

const run = <T extends tf.Tensor | tf.Tensor[]>(kernel: string, inputs: tf.NamedTensorMap, attrs: Attrs): T => tf.engine().runKernel(kernel, inputs, attrs as tf.NamedAttrMap) as T;
const record = (names: readonly string[], tensors: readonly tf.Tensor[]): tf.NamedTensorMap => Object.fromEntries(names.map((name, i) => [name, tensors[i] as tf.Tensor]));

/** Whether the executor has the kernel; the same executor from first to last, so it is looked up once. */
const has = (kernel: string): boolean => tf.getKernel(kernel, tf.getBackend()) !== undefined;

const fusions: Fusion[] = [];
const fusion = (definition: Fusion): ((inputs: readonly tf.Tensor[], attrs?: Attrs) => tf.Tensor) => {
  fusions.push(definition);
  const { kernel, inputs: names, forward } = definition;
  return (inputs, attrs = {}) => (has(kernel) ? run<tf.Tensor>(kernel, record(names, inputs), attrs) : forward(inputs, attrs));
};

const sumTo = (x: tf.Tensor, shape: readonly number[]): tf.Tensor => (x.shape.length === shape.length ? x : tf.sum(x, Array.from({ length: x.shape.length - shape.length }, (_, i) => i)));

/** dy in, gradients by x, weight and bias out, for y = xhat * weight + bias with xhat of zero mean and unit variance over `axes`. */
const standardGradients = (dy: tf.Tensor, x: tf.Tensor, weight: tf.Tensor, axes: number[], eps: number, group: (t: tf.Tensor) => tf.Tensor, ungroup: (t: tf.Tensor) => tf.Tensor): tf.Tensor[] => {
  const grouped = group(x);
  const centred = tf.sub(grouped, tf.mean(grouped, axes, true));
  const scale = tf.rsqrt(tf.add(tf.mean(tf.square(centred), axes, true), eps));
  const hat = tf.mul(centred, scale);
  const g = group(tf.mul(dy, weight));
  const dx = tf.mul(scale, tf.sub(tf.sub(g, tf.mean(g, axes, true)), tf.mul(hat, tf.mean(tf.mul(g, hat), axes, true))));
  return [ungroup(dx), sumTo(tf.mul(dy, ungroup(hat)), weight.shape), sumTo(dy, weight.shape)];
};

const standardised = (x: tf.Tensor, axes: number[], eps: number): tf.Tensor => {
  const centred = tf.sub(x, tf.mean(x, axes, true));
  return tf.mul(centred, tf.rsqrt(tf.add(tf.mean(tf.square(centred), axes, true), eps)));
};

const inGroups = (x: tf.Tensor, groups: number): tf.Tensor => tf.reshape(x, [x.shape[0] as number, -1, groups, (x.shape.at(-1) as number) / groups]);

const groups = fusion({
  kernel: 'GroupNormalise', inputs: ['x', 'weight', 'bias'],
  forward: ([x, weight, bias], { groups: count, eps }) => {
    const [input, scale, offset] = [x, weight, bias] as [tf.Tensor, tf.Tensor, tf.Tensor];
    return tf.add(tf.mul(tf.reshape(standardised(inGroups(input, count as number), [1, 3], eps as number), input.shape), scale), offset);
  },
  backward: (dy, [x, weight], { groups: count, eps }) =>
    standardGradients(dy, x as tf.Tensor, weight as tf.Tensor, [1, 3], eps as number, (t) => inGroups(t, count as number), (t) => tf.reshape(t, dy.shape)),
});

const layers = fusion({
  kernel: 'LayerNormalise', inputs: ['x', 'weight', 'bias'],
  forward: ([x, weight, bias], { eps }) => tf.add(tf.mul(standardised(x as tf.Tensor, [(x as tf.Tensor).rank - 1], eps as number), weight as tf.Tensor), bias as tf.Tensor),
  backward: (dy, [x, weight], { eps }) => standardGradients(dy, x as tf.Tensor, weight as tf.Tensor, [dy.rank - 1], eps as number, (t) => t, (t) => t),
});

const swish = fusion({
  kernel: 'Silu', inputs: ['x'],
  forward: ([x]) => tf.mul(x as tf.Tensor, tf.sigmoid(x as tf.Tensor)),
  backward: (dy, [x]) => {
    const s = tf.sigmoid(x as tf.Tensor);
    return [tf.mul(dy, tf.mul(s, tf.add(tf.mul(x as tf.Tensor, tf.sub(1, s)), 1)))];
  },
});

const cubic = 0.044715;
const rate = Math.sqrt(2 / Math.PI);

const gaussian = fusion({
  kernel: 'Gelu', inputs: ['x'],
  forward: ([input], { tanh }) => {
    const x = input as tf.Tensor;
    const inner = tanh ? tf.tanh(tf.mul(tf.add(x, tf.mul(tf.mul(tf.square(x), x), cubic)), rate)) : tf.erf(tf.mul(x, Math.SQRT1_2));
    return tf.mul(tf.mul(x, 0.5), tf.add(inner, 1));
  },
  backward: (dy, [input], { tanh }) => {
    const x = input as tf.Tensor;
    const square = tf.square(x);
    if (!tanh) return [tf.mul(dy, tf.add(tf.mul(tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1), 0.5), tf.mul(tf.mul(x, tf.exp(tf.mul(square, -0.5))), rate / 2)))];
    const t = tf.tanh(tf.mul(tf.mul(x, tf.add(tf.mul(square, cubic), 1)), rate));
    const slope = tf.mul(tf.mul(x, tf.sub(1, tf.square(t))), tf.add(tf.mul(square, 1.5 * cubic * rate), 0.5 * rate));
    return [tf.mul(dy, tf.add(tf.mul(tf.add(t, 1), 0.5), slope))];
  },
});

const attended: Operations = ([q, k, v], { scale }) => tf.matMul(tf.softmax(tf.mul(tf.matMul(q as tf.Tensor, k as tf.Tensor, false, true), scale as number)), v as tf.Tensor);

const attention = fusion({
  kernel: 'Attend', inputs: ['q', 'k', 'v'],
  forward: attended,
  backward: (dy, [q, k, v], { scale }) => {
    const shares = tf.softmax(tf.mul(tf.matMul(q as tf.Tensor, k as tf.Tensor, false, true), scale as number));
    const dShares = tf.matMul(dy, v as tf.Tensor, false, true);
    const dScores = tf.mul(tf.mul(shares, tf.sub(dShares, tf.sum(tf.mul(dShares, shares), -1, true))), scale as number);
    return [tf.matMul(dScores, k as tf.Tensor), tf.matMul(dScores, q as tf.Tensor, true, false), tf.matMul(shares, dy, true, false)];
  },
});

/** The gradient of a fused kernel is a kernel again; the gradient of that one is what differentiating the operations gives. */
export const fusedGradients = (): tf.GradConfig[] => fusions.flatMap(({ kernel, inputs: names, backward }) => {
  const gradientKernel = `${kernel}Grad`;
  const first: tf.GradConfig = {
    kernelName: kernel, inputsToSave: [...names],
    gradFunc: (dy, saved, attrs) => {
      const grads = has(gradientKernel)
        ? run<tf.Tensor[]>(gradientKernel, { dy: dy as tf.Tensor, ...record(names, saved) }, attrs as Attrs)
        : backward(dy as tf.Tensor, saved, attrs as Attrs);
      return Object.fromEntries(names.map((name, i) => [name, () => grads[i] as tf.Tensor]));
    },
  };
  const second: tf.GradConfig = {
    kernelName: gradientKernel, inputsToSave: ['dy', ...names],
    gradFunc: (given, [dy, ...inputs], attrs) => {
      const weights = (Array.isArray(given) ? given : [given]);
      const all = ['dy', ...names];
      const points = [dy as tf.Tensor, ...inputs];
      const { state } = tf.engine();
      const outer = state.activeTape;
      // Not every input matters to every gradient: a bias to none. A tape opened here takes the place of the one being walked, which is put back.
      const { grads } = tf.engine().gradients(() => backward(dy as tf.Tensor, inputs, attrs as Attrs)
        .map((grad, i) => tf.sum(tf.mul(grad, weights[i] as tf.Tensor))).reduce((a, b) => tf.add(a, b)) as tf.Scalar, points, undefined, true);
      state.activeTape = outer;
      const wanted = points.map((point, i) => grads[i] ?? tf.zerosLike(point));
      return Object.fromEntries(all.map((name, i) => [name, () => wanted[i] as tf.Tensor]));
    },
  };
  return [first, second];
});

/**
 * Group normalisation of [B, ..., C]: zero mean and unit variance per image and group of neighbouring channels, then weight and bias [C].
 * @throws RangeError when `groups` does not divide the channels
 */
export const groupNormalise = <T extends tf.Tensor>(x: T, { groups: count, eps, weight, bias }: { groups: number; eps: number; weight?: tf.Tensor; bias?: tf.Tensor }): T => {
  const channels = x.shape.at(-1) as number;
  if (channels % count !== 0) throw new RangeError(`groupNormalise: expected groups to divide ${channels} channels but received ${count}`);
  return groups([x, weight ?? tf.ones([channels]), bias ?? tf.zeros([channels])], { groups: count, eps }) as T;
};

/** Layer normalisation over the last axis: zero mean, unit variance, then weight and bias [C]. */
export const layerNormalise = <T extends tf.Tensor>(x: T, { eps, weight, bias }: { eps: number; weight?: tf.Tensor; bias?: tf.Tensor }): T => {
  const channels = x.shape.at(-1) as number;
  return layers([x, weight ?? tf.ones([channels]), bias ?? tf.zeros([channels])], { eps }) as T;
};

/** x * sigmoid(x). */
export const silu = <T extends tf.Tensor>(x: T): T => swish([x]) as T;

/** x * Phi(x), Phi the normal distribution function; `tanh` takes the usual approximation of it. */
export const gelu = <T extends tf.Tensor>(x: T, { tanh = false }: { tanh?: boolean } = {}): T => gaussian([x], { tanh }) as T;

/**
 * softmax(scale q k') v over [..., N, D], with k and v [..., M, D]. Where leading axes are the same in all three, the lazy executors compute no more than 64 MiB of
 * scores at once (or those of 128 queries): for some queries at a time where there would be more, and again for the gradient.
 */
export const attend = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, scale: number): tf.Tensor => {
  const alike = [k, v].every(({ shape }) => shape.length === q.shape.length && shape.slice(0, -2).every((size, axis) => size === q.shape[axis]));
  return (alike ? attention : attended)([q, k, v], { scale });
};
