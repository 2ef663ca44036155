import * as tf from '../tf.ts';
import { tensorsOf } from '../streams/mapTensors.ts';

const mapDeep = (value: unknown, f: (tensor: tf.Tensor) => tf.Tensor): unknown => {
  if (value instanceof tf.Tensor) return f(value);
  if (Array.isArray(value)) return value.map((item) => mapDeep(item, f));
  if (value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, mapDeep(item, f)]));
  }
  return value;
};

/**
 * Puts the open tape in order of dependence. tfjs records the copy of an output that an operation saves for its gradient (sigmoid, tanh, exp and softmax do) before the
 * operation itself, and looks for dependence in one pass along the tape: unsorted, second derivatives would silently lose what flows through those copies.
 */
const sortTape = (): void => {
  const { activeTape } = tf.engine().state;
  const pending = new Set(activeTape.flatMap(({ outputs }) => outputs.map(({ id }) => id)));
  let waiting: typeof activeTape = [];
  const sorted: typeof activeTape = [];
  const isReady = ({ inputs }: (typeof activeTape)[number]): boolean => Object.values(inputs).every(({ id }) => !pending.has(id));
  const place = (node: (typeof activeTape)[number]): void => {
    sorted.push(node);
    for (const { id } of node.outputs) pending.delete(id);
  };
  for (const node of activeTape) {
    if (!isReady(node)) { waiting.push(node); continue; }
    place(node);
    for (let ready = waiting.filter(isReady); ready.length > 0; ready = waiting.filter(isReady)) {
      waiting = waiting.filter((held) => !ready.includes(held));
      ready.forEach(place);
    }
  }
  activeTape.splice(0, activeTape.length, ...sorted, ...waiting);
};

/** Frees what operations saved for their gradients, as tfjs does once a gradient was taken: where one fails, it forgets to. */
const freeTape = (): void => {
  const { state } = tf.engine();
  if (state.gradientDepth > 0) return;
  for (const { saved } of state.activeTape ?? []) for (const tensor of saved ?? []) tensor.dispose();
};

/**
 * The gradient tape, in one call: a scalar function of some tensors, its gradients, and whatever else it computed on the way (which tfjs would free).
 * Call inside a tidy; everything returned belongs to it. A leaf that the loss does not depend on has a gradient of zeros.
 * @param leaves what to differentiate by
 * @param f returns the loss, a scalar, and by-products as a record of tensors (gradients do not flow out through these)
 */
export const gradientsOf = <E>(leaves: readonly tf.Tensor[], f: () => Readonly<{ loss: tf.Scalar; extra: E }>):
Readonly<{ loss: tf.Scalar; grads: tf.Tensor[]; extra: E }> => {
  let kept: unknown;
  try {
    const { value, grads } = tf.engine().gradients(() => {
      const { loss, extra } = f();
      kept = mapDeep(extra, (tensor) => tf.keep(tf.clone(tensor)));
      sortTape();
      return loss;
    }, [...leaves], undefined, true);
    return {
      loss: value as tf.Scalar,
      grads: leaves.map((leaf, i) => grads[i] ?? tf.zerosLike(leaf)),
      extra: mapDeep(kept, (tensor) => tf.clone(tensor)) as E,
    };
  } catch (cause) {
    freeTape();
    throw cause;
  } finally {
    for (const tensor of tensorsOf(kept)) tensor.dispose();
  }
};

/**
 * Runs `f` with the tape stopped: its result is a constant to every gradient, whatever it was computed from. (No gradient can be taken inside.)
 */
export const constantOf = <T extends tf.Tensor>(f: () => T): T =>
  // A custom operation without inputs: what runs inside is not recorded, and nothing flows back.
  tf.customGrad(() => ({ value: tf.clone(f()), gradFunc: () => [] }))() as T;
