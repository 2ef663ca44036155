import { brownianBridgeStd, lbmTimes } from '../bridges.ts';
import { latentBridge } from '../samplers/bridge.ts';
import { type Estimate, type Process, checkCalls } from './process.ts';

/**
 * Latent bridge matching: z = t source + (1 - t) target + noise sqrt(t (1 - t)) eps at a few fixed times, and the network answers source - target (the
 * released code's target, which leaves out the paper's noise term; both agree as noise goes to 0). t = 1 is the source, as in the code; the paper has 1 - t.
 * @param options.noise scale of the Brownian bridge; 0.005
 * @param options.times the times that are trained, each in (0, 1]; sampling with K calls needs 1, 1 - 1/K, ... among them
 * @param options.shares how often each is drawn; equally often by default
 * @throws RangeError when times and shares do not fit
 * @source Chadebec et al. 2025, arXiv 2503.07535, eq. 4-7
 */
export const lbm = ({ noise = 0.005, times = [0.25, 0.5, 0.75, 1], shares = times.map(() => 1 / times.length) }: {
  noise?: number; times?: readonly number[]; shares?: readonly number[];
} = {}): Process => {
  if (!(noise >= 0)) throw new RangeError(`lbm: expected noise to be at least 0 but received ${noise}`);
  if (times.length === 0 || !times.every((t) => t > 0 && t <= 1)) throw new RangeError(`lbm: expected times in (0, 1] but received [${times.join(', ')}]`);
  const total = shares.reduce((a, b) => a + b, 0);
  if (shares.length !== times.length || !shares.every((share) => share >= 0) || !(total > 0)) throw new RangeError(`lbm: expected ${times.length} shares but received [${shares.join(', ')}]`);
  const told = (t: number): number => 1000 * t;
  const estimateAt = (t: number): Estimate => ({ x: 1, output: -t, source: 0 });
  return {
    name: 'lbm',
    noisy: noise > 0 && times.some((t) => t < 1),
    draw: (u) => {
      let rest = u * total;
      const at = shares.findIndex((share) => (rest -= share) < 0);
      const t = times[at < 0 ? times.length - 1 : at] as number;
      return {
        t: told(t), noisy: { target: 1 - t, source: t, eps: brownianBridgeStd(t, noise) }, inputScale: 1,
        goal: { target: -1, source: 1, eps: 0 }, estimate: estimateAt(t), weight: 1,
      };
    },
    sample: (calls) => {
      checkCalls('lbm', calls, times.length);
      const grid = lbmTimes(calls);
      const recipe = latentBridge({ noise })(grid);
      return { start: { target: 0, source: 1, eps: 0 }, recipe, calls: recipe.steps.map(({ level }) => ({ t: told(level.t), estimate: estimateAt(level.t) })) };
    },
  };
};
