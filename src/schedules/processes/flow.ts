import { flowPath } from '../paths.ts';
import { euler } from '../samplers/euler.ts';
import { heun } from '../samplers/heun.ts';
import { flowTimes, shiftTime } from '../shift.ts';
import { type Draw, type Estimate, type Mixture, type Process, checkCalls } from './process.ts';

/**
 * Conditional flow matching along straight lines to the target: z_t = (1 - t) target + t end + noise sqrt(t (1 - t)) eps, and the network answers the
 * velocity end - target. Papers that run from noise (t = 0) to data (t = 1) have the opposite sign and direction.
 * @param options.from `noise`: the end is unit normal noise and the source a condition; `source`: the end is the source image itself
 * @param options.noise scale of the bridge noise on a path from the source, which keeps both ends exact; 0.1
 * @param options.shift moves training and sampling times towards the end (1 is uniform)
 * @param options.times the time that a uniform draw stands for, in (0, 1]; uniform and shifted by default
 * @param options.sampler euler, or heun: two calls a step, of which the last has one
 * @throws RangeError when noise is negative, or heun is asked for with an even number of calls
 * @source Lipman et al. 2022, arXiv 2210.02747; Tong et al. 2023, arXiv 2302.00482, table 1; Esser et al. 2024, arXiv 2403.03206, eq. 23 for the shift
 */
export const flow = ({ from = 'noise', noise = 0.1, shift = 1, times = (u) => shiftTime(1 - u, shift), sampler = 'euler' }: {
  from?: 'noise' | 'source'; noise?: number; shift?: number; times?: (u: number) => number; sampler?: 'euler' | 'heun';
} = {}): Process => {
  if (!(noise >= 0)) throw new RangeError(`flow: expected noise to be at least 0 but received ${noise}`);
  const ended = (t: number): Mixture => (from === 'noise' ? { target: 1 - t, source: 0, eps: t } : { target: 1 - t, source: t, eps: noise * Math.sqrt(t * (1 - t)) });
  const goal: Mixture = from === 'noise' ? { target: -1, source: 0, eps: 1 } : { target: -1, source: 1, eps: 0 };
  const estimateAt = (t: number): Estimate => ({ x: 1, output: -t, source: 0 });
  const told = (t: number): number => 1000 * t;
  return {
    name: 'flow',
    noisy: from === 'noise' || noise > 0,
    draw: (u): Draw => {
      // By default never exactly 0: there the velocity says nothing of the path.
      const t = times(u);
      return { t: told(t), noisy: ended(t), inputScale: 1, goal, estimate: estimateAt(t), weight: 1 };
    },
    sample: (calls) => {
      checkCalls('flow', calls);
      if (sampler === 'heun' && calls % 2 === 0) throw new RangeError(`flow: expected an odd number of calls for heun (2 n - 1 for n steps) but received ${calls}`);
      const recipe = sampler === 'heun' ? heun(flowPath)(flowTimes((calls + 1) / 2, shift)) : euler(flowPath)(flowTimes(calls, shift));
      return {
        start: from === 'noise' ? { target: 0, source: 0, eps: 1 } : { target: 0, source: 1, eps: 0 },
        recipe, calls: recipe.steps.map(({ level }) => ({ t: told(level.t), estimate: estimateAt(level.t) })),
      };
    },
  };
};
