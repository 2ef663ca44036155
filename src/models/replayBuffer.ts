/**
 * A memory of past images, as variables of a run, and the rules by which one batch enters it and another leaves. Random draws come in as tensors, and how full the
 * buffer is stands in a variable, so the graph is the same at every step and a resumed run continues exactly.
 */
import * as tf from '../tf.ts';
import { type Key, fold, integers, uniform } from '../random.ts';

/** Images (or whatever is remembered) by name: each [B, ...], one row per sample; rows of equal index belong together. */
export type Memories = Readonly<Record<string, tf.Tensor>>;

export type ReplayBuffer<M extends string = string> = Readonly<{
  capacity: number;
  shapes: Readonly<Record<M, readonly number[]>>;
  /** `count`: how many places are taken, float32 scalar; `memory.<name>`: float32 [capacity, ...shape]. */
  variables: Readonly<Record<string, tf.Variable>>;
}>;

/**
 * Makes an empty buffer. Its variables belong to the caller (see `scoped`).
 * @param options.capacity how many samples it holds; every step rewrites all of it, so its bytes are a cost in time too
 * @param options.shapes per name, the shape of one sample; a conditional critic's buffer holds the condition beside the image
 * @throws RangeError when capacity is not a positive integer or no shape is given
 */
export const replayBuffer = <M extends string>({ capacity, shapes }: { capacity: number; shapes: Readonly<Record<M, readonly number[]>> }): ReplayBuffer<M> => {
  const names = Object.keys(shapes) as M[];
  if (!Number.isInteger(capacity) || capacity < 1) throw new RangeError(`replayBuffer: expected capacity to be a positive integer but received ${capacity}`);
  if (names.length === 0) throw new RangeError('replayBuffer: expected at least one shape but received none');
  const variables = tf.tidy(() => Object.fromEntries([
    ['count', tf.variable(tf.scalar(0), false)],
    ...names.map((name) => [`memory.${name}`, tf.variable(tf.zeros([capacity, ...shapes[name]]), false)] as const),
  ])) as Record<string, tf.Variable>;
  return { capacity, shapes, variables };
};

/** Where rows come from, as indices into [the buffer before the step, then the batch]: what leaves, and what every place of the buffer holds afterwards. */
export type Moves = Readonly<{ leaves: tf.Tensor1D; holds: tf.Tensor1D; count: tf.Scalar }>;

/** A rule: which samples enter and which leave, given how full the buffer is. Pure; records the same graph for every step. */
export type ReplayPolicy = (at: Readonly<{ count: tf.Scalar; capacity: number; batch: number; key: Key }>) => Moves;

const positions = (n: number): tf.Tensor1D => tf.tensor1d(Float32Array.from({ length: n }, (_, i) => i));

/** For each row of a [n, batch] table of hits: the index of the last sample that hits, as a row of the pool, or else `otherwise`. */
const lastHit = (hits: tf.Tensor, otherwise: tf.Tensor1D, capacity: number): tf.Tensor1D => {
  const last = tf.max(tf.mul(hits, tf.add(positions(hits.shape[1] as number), 1)), 1);
  return tf.where(tf.greater(last, 0), tf.add(last, capacity - 1), otherwise);
};

/** What every place holds once the samples that enter were written to their places, in order. */
const written = (place: tf.Tensor1D, enters: tf.Tensor1D, capacity: number): tf.Tensor1D => {
  const places = positions(capacity);
  return lastHit(tf.mul(tf.cast(tf.equal(tf.expandDims(places, 1), tf.expandDims(place, 0)), 'float32'), tf.expandDims(enters, 0)), places, capacity);
};

const float = (x: tf.Tensor): tf.Tensor1D => tf.cast(x as tf.Tensor1D, 'float32');

/** While there is room, samples take the next free place; then a random one. */
const placesOf = ({ count, capacity, batch, key }: Parameters<ReplayPolicy>[0]): { place: tf.Tensor1D; full: tf.Tensor1D } => {
  const next: tf.Tensor1D = tf.add(positions(batch), count);
  const full: tf.Tensor1D = tf.greaterEqual(next, capacity);
  return { full, place: tf.where(full, tf.tensor1d(Float32Array.from(integers(fold(key, 'place'), batch, capacity))), next) };
};

const grown = (count: tf.Scalar, batch: number, capacity: number): tf.Scalar => tf.minimum(tf.add(count, batch), capacity);

/**
 * The classic history: until the buffer is full every sample enters and leaves at once; then, with probability `share`, a sample takes a random place and
 * the one that was there leaves, or else it leaves itself. As many leave as came. Samples are taken in turn, so one may leave a place that an earlier one
 * of its batch has just taken.
 * @source Shrivastava et al. 2016, arXiv 1612.07828, section 2.3, in the form of CycleGAN's image pool
 */
export const classicHistory = ({ share = 0.5 }: { share?: number } = {}): ReplayPolicy => {
  if (!(share >= 0 && share <= 1)) throw new RangeError(`classicHistory: expected share to be a probability but received ${share}`);
  return (at) => {
    const { count, capacity, batch, key } = at;
    const { place, full } = placesOf(at);
    const swaps = float(tf.logicalAnd(full, tf.less(tf.tensor1d(uniform(fold(key, 'swap'), batch)), share)));
    const enters = tf.maximum(swaps, float(tf.logicalNot(full))) as tf.Tensor1D;
    const earlier = float(tf.greater(tf.expandDims(positions(batch), 1), tf.expandDims(positions(batch), 0)));
    const same = float(tf.equal(tf.expandDims(place, 1), tf.expandDims(place, 0)));
    const found = lastHit(tf.mul(tf.mul(same, earlier), tf.expandDims(enters, 0)), place, capacity);
    return {
      leaves: tf.where(tf.greater(swaps, 0), found, tf.add(positions(batch), capacity)),
      holds: written(place, enters, capacity), count: grown(count, batch, capacity),
    };
  };
};

/**
 * Seraena's rule: every sample enters (a random place, once the buffer is full); half the batch leaves as it came, followed by as many draws, with
 * replacement, from the buffer as it is then.
 * @throws RangeError (when used) for an odd batch
 * @source madebyollin/seraena, `Seraena._disc_train_step`
 */
export const seraenaHistory: ReplayPolicy = (at) => {
  const { count, capacity, batch, key } = at;
  if (batch % 2 !== 0) throw new RangeError(`seraenaHistory: expected an even number of images a batch but received ${batch}`);
  const half = batch / 2;
  const holds = written(placesOf(at).place, tf.ones([batch]), capacity);
  const after = grown(count, batch, capacity);
  const drawn = tf.minimum(tf.floor(tf.mul(tf.tensor1d(uniform(fold(key, 'draw'), half)), after)), tf.sub(after, 1));
  return { holds, count: after, leaves: tf.concat([tf.add(positions(half), capacity), tf.gather(holds, tf.cast(drawn, 'int32')) as tf.Tensor1D]) };
};

/**
 * Moves one batch through the buffer: assigns its variables and returns what leaves. Call inside a tidy.
 * @param key of this step
 */
export const remember = <R extends Memories>(buffer: ReplayBuffer<keyof R & string>, batch: R, policy: ReplayPolicy, key: Key): R => {
  const { capacity, variables } = buffer;
  const names = Object.keys(batch);
  const count = variables['count'] as tf.Variable<tf.Rank.R0>;
  const moves = policy({ count, capacity, batch: (batch[names[0] as string] as tf.Tensor).shape[0] as number, key });
  const leaves = tf.cast(moves.leaves, 'int32');
  const holds = tf.cast(moves.holds, 'int32');
  const left = Object.fromEntries(names.map((name) => {
    const memory = variables[`memory.${name}`] as tf.Variable;
    const pool = tf.concat([memory, batch[name] as tf.Tensor], 0);
    const out = tf.gather(pool, leaves);
    memory.assign(tf.gather(pool, holds));
    return [name, out];
  }));
  count.assign(moves.count);
  return left as R;
};
