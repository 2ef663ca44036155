/**
 * Samplers as data. Whatever its name, a sampler is a list of network calls, each followed by a fixed linear combination of states, denoised estimates
 * and noise seen so far; so it is a pure function from a grid to numbers, one executor runs them all, and the recorded graph has a fixed structure.
 */
import * as tf from '../../tf.ts';
import { type Level, type Path, type Prediction, denoisedFrom } from '../paths.ts';

type Image = tf.Tensor4D;

/** One network call and what follows it. Lists run back in time: index 0 is this call's, 1 the one before. */
export type SamplerStep = Readonly<{
  /** Where on the path the network is called; `t` is what it is told. */
  level: Level;
  /** The network sees this times the state. */
  inputScale: number;
  /** Noise added to the state first, and whether the network sees it. */
  churn?: Readonly<{ std: number; seen: boolean }>;
  /** The denoised estimate as a combination of state and network output. */
  denoised: Readonly<{ x: number; output: number }>;
  /** The next state. `noise` is a standard deviation. */
  next: Readonly<{ x: readonly number[]; denoised: readonly number[]; output?: number; noise?: number }>;
  /** The second half of the channels of the output sets the noise: a variance, or a place between two log variances. */
  learned?: 'variance' | Readonly<{ min: number; max: number }>;
}>;

/** A whole run: the state is `start` times the given x, and the result `end` times the last state. */
export type Recipe = Readonly<{ start: number; steps: readonly SamplerStep[]; end: number }>;

/** A sampler before it knows its grid. @param grid times from noise to clean, both ends included: n calls (more for second-order ones) for n + 1 times */
export type Plan = (grid: readonly number[]) => Recipe;

/** A network during sampling. @param t float32 [B] */
export type Denoise = (x: Image, t: tf.Tensor1D) => Image;

/** What happened in one step, for whoever wants to look: tensors are valid during the call only. */
export type Seen = Readonly<{ input: Image; output: Image; denoised: Image; next: Image }>;

export type RunOptions = Readonly<{
  /** Unit normal noise of call `i`, in the shape of x. Required by plans that add noise. */
  noise?: (i: number) => Image;
  /** Applied to every denoised estimate, such as a clamp in pixel space. */
  limit?: (denoised: Image) => Image;
  /** Applied to every new state, such as pasting known regions. */
  after?: (x: Image, i: number) => Image;
  observe?: (i: number, seen: Seen) => void;
}>;

/** Adds up `weight * tensor`, leaving out weights of 0. */
const combine = (parts: readonly (readonly [number, tf.Tensor | undefined])[]): Image => {
  const terms = parts.filter(([weight]) => weight !== 0).map(([weight, tensor]) => {
    if (tensor === undefined) throw new RangeError('runRecipe: expected a step to use what earlier steps made, but there is none');
    return weight === 1 ? tensor : tf.mul(tensor, weight);
  });
  if (terms.length === 0) return tf.zerosLike((parts[0] as readonly [number, Image])[1]);
  return (terms.length === 1 ? tf.clone(terms[0] as tf.Tensor) : tf.addN(terms)) as Image;
};

const learnedNoise = (predicted: Image, learned: NonNullable<SamplerStep['learned']>): Image => {
  if (learned === 'variance') return tf.sqrt(predicted);
  const share = tf.div(tf.add(predicted, 1), 2);
  return tf.exp(tf.mul(tf.add(tf.mul(share, learned.max), tf.mul(tf.sub(1, share), learned.min)), 0.5));
};

/**
 * Runs a recipe. Call inside a tidy.
 * @param x float32 [B, H, W, C], where the recipe starts
 * @throws TypeError when a step needs noise and none is given
 */
export const runRecipe = (denoise: Denoise, x: Image, { start, steps, end }: Recipe, { noise, limit, after, observe }: RunOptions = {}): Image => {
  const [batch, , , channels] = x.shape;
  const draw = (i: number): Image => {
    if (!noise) throw new TypeError(`runRecipe: step ${i} adds noise but no noise was given`);
    return noise(i);
  };
  let states: Image[] = [start === 1 ? x : tf.mul(x, start)];
  let estimates: Image[] = [];
  steps.forEach(({ level, inputScale, churn, denoised: from, next, learned }, i) => {
    const made = tf.tidy((): [Image, Image, Image] => {
      const before = states[0] as Image;
      const state = churn ? tf.add<Image>(before, tf.mul(draw(i), churn.std)) : before;
      const input = tf.mul<Image>(churn?.seen === false ? before : state, inputScale);
      const raw = denoise(input, tf.fill([batch], level.t));
      const wide = raw.shape[3] === channels * 2;
      const output = wide ? tf.slice4d(raw, [0, 0, 0, 0], [-1, -1, -1, channels]) : raw;
      const estimate = combine([[from.x, state], [from.output, output]]);
      const denoised = limit ? limit(estimate) : estimate;
      const learnedStd = learned && wide ? learnedNoise(tf.slice4d(raw, [0, 0, 0, channels], [-1, -1, -1, channels]), learned) : undefined;
      const moved = combine([
        ...next.x.map((weight, age) => [weight, age === 0 ? state : states[age]] as const),
        ...next.denoised.map((weight, age) => [weight, age === 0 ? denoised : estimates[age - 1]] as const),
        [next.output ?? 0, output],
        ...(next.noise ? [[learnedStd ? 1 : next.noise, learnedStd ? tf.mul(draw(i), learnedStd) : draw(i)] as const] : []),
      ]);
      const result = after ? after(moved, i) : moved;
      observe?.(i, { input, output: raw, denoised, next: result });
      return [state, denoised, result];
    });
    states = [made[2], made[0], ...states.slice(1, 3)];
    estimates = [made[1], ...estimates.slice(0, 2)];
  });
  const last = states[0] as Image;
  return end === 1 ? last : tf.mul(last, end);
};

/** A sampler with the one signature they all have. */
export type Sampler = (denoise: Denoise, x: Image, grid: readonly number[], noise?: (i: number) => Image) => Image;

/** The same recipe for a network whose output is not x0. */
export const predicting = (prediction: Prediction, recipe: Recipe): Recipe => ({
  ...recipe,
  steps: recipe.steps.map((step) => {
    const { x, output } = denoisedFrom(prediction, step.level);
    return { ...step, denoised: { x: x * step.inputScale, output } };
  }),
});

/**
 * Makes a sampler of a plan: `sampler(heun(vePath))(denoise, x, [...sigmas, 0])`.
 * @param options.prediction what the network's output means; x0 by default
 */
export const sampler = (plan: Plan, { prediction = 'sample', ...options }: { prediction?: Prediction } & Omit<RunOptions, 'noise'> = {}): Sampler =>
  (denoise, x, grid, noise) => tf.tidy(() => runRecipe(denoise, x, prediction === 'sample' ? plan(grid) : predicting(prediction, plan(grid)), { ...options, ...(noise && { noise }) }));

/** A grid as levels. @throws RangeError when it has fewer than two times */
export const levelsOf = (name: string, path: Path, grid: readonly number[]): Level[] => {
  if (grid.length < 2) throw new RangeError(`${name}: expected a grid of at least two times but received ${grid.length}`);
  return grid.map(path.level);
};

/** Neighbouring pairs of levels, with the position. */
export const pairs = <T>(levels: readonly Level[], f: (from: Level, to: Level, i: number) => T): T[] => levels.slice(1).map((to, i) => f(levels[i] as Level, to, i));

/** A recipe whose state is scaled so that the solver moves in r = sigma / scale. */
export const inRatios = (name: string, path: Path, grid: readonly number[], f: (ratios: readonly number[]) => SamplerStep[]): Recipe => {
  const levels = levelsOf(name, path, grid);
  const scales = levels.map(path.scale);
  if (!(scales[0] as number > 0)) throw new RangeError(`${name}: expected a start with some signal left (alpha > 0) but received t = ${grid[0]}; use ddim or dpmSolver, or start lower`);
  return { start: 1 / (scales[0] as number), steps: f(levels.map(({ sigma }, i) => sigma / (scales[i] as number))), end: scales[scales.length - 1] as number };
};

/** A call at a ratio, as far as all solvers in ratios share it. */
export const callAt = (path: Path, ratio: number): Pick<SamplerStep, 'level' | 'inputScale' | 'denoised'> => {
  const level = path.at(ratio);
  return { level, inputScale: path.scale(level), denoised: { x: 0, output: 1 } };
};
