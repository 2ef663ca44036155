/**
 * What a diffusion-like method is, as numbers: how a training input is mixed, what the network regresses, and how its answer becomes an estimate of the
 * target. One operator trains them all and one executor samples them all, so that two methods differ by the process that is handed over.
 */
import type { Recipe } from '../samplers/sampler.ts';

/** Weights of target, source and unit-normal noise in a sum. */
export type Mixture = Readonly<{ target: number; source: number; eps: number }>;

/** The estimate of the target as x * (state, before `inputScale`) + output * (network output) + source * (source). */
export type Estimate = Readonly<{ x: number; output: number; source: number }>;

/** What one image is trained on. */
export type Draw = Readonly<{
  /** What the network is told, on the scale of its embedding (about 0..1000). */
  t: number;
  /** The network's input before `inputScale`. */
  noisy: Mixture;
  inputScale: number;
  /** What the network is to answer. */
  goal: Mixture;
  estimate: Estimate;
  /** Factor on the squared error of this image. */
  weight: number;
}>;

export type Process = Readonly<{
  name: string;
  /** What a training image meets. @param u uniform in [0, 1) */
  draw: (u: number) => Draw;
  /** Whether any draw mixes noise in. */
  noisy: boolean;
  /**
   * How to sample with `calls` network calls: where the state starts, the recipe, and for each call what the network is told and what its answer means.
   * `shift` is added after each step, as a multiple of the source.
   */
  sample: (calls: number) => Readonly<{ start: Mixture; recipe: Recipe; calls: readonly Readonly<{ t: number; estimate: Estimate }>[]; shift?: readonly number[] }>;
}>;

/** Signal to noise ratio of a mixture: target^2 / (eps^2 + source^2), since on a path from the source that takes the place of noise; infinite where there is neither. */
export const snrOfDraw = ({ noisy: { target, eps, source } }: Draw): number => (eps === 0 && source === 0 ? Infinity : target ** 2 / (eps ** 2 + source ** 2));

/** What lies at the other end of the path from the target: the noise, or the source where the path leads there and the network is not asked for noise. */
export const endOf = ({ noisy, goal }: Draw): 'eps' | 'source' => (noisy.source !== 0 && goal.eps === 0 ? 'source' : 'eps');

/**
 * Min-SNR weight of a draw, whatever the network answers: min(SNR, gamma) on the squared error of x0, and that error is `estimate.output` times the answer's.
 * @param gamma 5 in the paper
 * @source Hang et al. 2023, arXiv 2303.09556, section 3.4
 */
export const minSnrWeight = (draw: Draw, gamma: number): number => Math.min(snrOfDraw(draw), gamma) * draw.estimate.output ** 2;

/** Checks a number of network calls. @throws RangeError when it is not an integer in 1..most */
export const checkCalls = (name: string, calls: number, most = Infinity): void => {
  if (!Number.isInteger(calls) || calls < 1 || calls > most) throw new RangeError(`${name}: expected steps in 1..${most} but received ${calls}`);
};
