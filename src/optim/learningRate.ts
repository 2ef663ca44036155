/** Learning rates as functions of the step. Each is the rate of the update that follows `step` finished ones, as `diffusers.optimization.get_scheduler` has it. */
import type { LearningRate } from './optimizer.ts';

const checkPhases = (name: string, warmUp: number, steps: number): void => {
  if (!(warmUp >= 0)) throw new RangeError(`${name}: expected warmUp to be a non-negative number of steps but received ${warmUp}`);
  if (!(steps > 0)) throw new RangeError(`${name}: expected steps to be positive but received ${steps}`);
};

/** A factor on the base rate: linear from 0 over `warmUp` steps, then `after(progress)` with progress from 0 at its end to 1 at `steps`. */
const warmed = (lr: number, warmUp: number, steps: number, after: (progress: number) => number): LearningRate => (step) =>
  lr * (step < warmUp ? step / Math.max(1, warmUp) : after((step - warmUp) / Math.max(1, steps - warmUp)));

/** The same rate at every step. */
export const constant = (lr: number): LearningRate => () => lr;

/** A linear rise from 0 over `warmUp` steps, then `lr`. */
export const constantWithWarmUp = (lr: number, { warmUp }: { warmUp: number }): LearningRate => {
  checkPhases('constantWithWarmUp', warmUp, 1);
  return (step) => lr * Math.min(1, step / Math.max(1, warmUp));
};

/** A linear rise over `warmUp` steps and a linear fall to 0 at `steps`, where it stays. */
export const linear = (lr: number, { warmUp = 0, steps }: { warmUp?: number; steps: number }): LearningRate => {
  checkPhases('linear', warmUp, steps);
  return warmed(lr, warmUp, steps, (progress) => Math.max(0, 1 - progress));
};

/**
 * A linear rise over `warmUp` steps, then end + (lr - end) (1 + cos(2 pi cycles progress)) / 2; with the default half cycle it falls to `end` (0) at `steps`. Past
 * `steps` the wave goes on, as it does in the source: stop there.
 * @source Loshchilov and Hutter 2016, arXiv 1608.03983, eq. 5 without restarts
 */
export const cosine = (lr: number, { warmUp = 0, steps, cycles = 0.5, end = 0 }: { warmUp?: number; steps: number; cycles?: number; end?: number }): LearningRate => {
  checkPhases('cosine', warmUp, steps);
  const floor = end / lr;
  return warmed(lr, warmUp, steps, (progress) => floor + (1 - floor) * Math.max(0, 0.5 * (1 + Math.cos(2 * Math.PI * cycles * progress))));
};

/** A linear rise over `warmUp` steps, then `cycles` falls from `lr` to 0 along half a cosine, each with a hard restart; 0 from `steps` on. */
export const cosineWithRestarts = (lr: number, { warmUp = 0, steps, cycles = 1 }: { warmUp?: number; steps: number; cycles?: number }): LearningRate => {
  checkPhases('cosineWithRestarts', warmUp, steps);
  return warmed(lr, warmUp, steps, (progress) => (progress >= 1 ? 0 : Math.max(0, 0.5 * (1 + Math.cos(Math.PI * ((cycles * progress) % 1))))));
};

/**
 * A linear rise over `warmUp` steps, then from `lr` to `end` at `steps` as (1 - progress)^power; `end` from there on.
 * @throws RangeError when `end` is not below `lr`
 */
export const polynomial = (lr: number, { warmUp = 0, steps, end = 1e-7, power = 1 }: { warmUp?: number; steps: number; end?: number; power?: number }): LearningRate => {
  checkPhases('polynomial', warmUp, steps);
  if (!(end < lr)) throw new RangeError(`polynomial: expected end to be below lr ${lr} but received ${end}`);
  return (step) => {
    if (step < warmUp) return (lr * step) / Math.max(1, warmUp);
    return step > steps ? end : (lr - end) * (1 - (step - warmUp) / Math.max(1, steps - warmUp)) ** power + end;
  };
};

/**
 * One schedule after another, each counting from its own start; `last` goes on for ever.
 * @example piecewise([[1000, constant(1e-4)]], constant(1e-5))
 */
export const piecewise = (phases: readonly (readonly [steps: number, rate: LearningRate])[], last: LearningRate): LearningRate => (step) => {
  let from = step;
  for (const [steps, rate] of phases) {
    if (from < steps) return rate(from);
    from -= steps;
  }
  return last(from);
};
