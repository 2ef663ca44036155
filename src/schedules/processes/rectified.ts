import { distillationTimes, uShapedTimes } from '../draws.ts';
import { flow } from './flow.ts';
import type { Process } from './process.ts';

/**
 * Rectified flow: straight lines without path noise. What is trained on when is all that sets its phases apart.
 * @param options.from where the lines begin: noise, the source being a condition, or the source itself
 * @param options.times `uniform`; `uShaped`, dense at both ends, for a flow on its own pairs; or `calls`: only those times that a sampler of so many calls meets
 * @param options.calls what the student of `calls` is distilled for
 * @throws RangeError when `calls` is not a positive integer
 * @source Liu et al. 2022, arXiv 2209.03003, algorithm 1 and section 2.2; Lee et al. 2024, arXiv 2405.20320, section 4 (U-shaped)
 */
export const rectified = ({ from = 'noise', times = 'uniform', calls = 1 }: { from?: 'noise' | 'source'; times?: 'uniform' | 'uShaped' | 'calls'; calls?: number } = {}): Process => {
  if (!Number.isInteger(calls) || calls < 1) throw new RangeError(`rectified: expected calls to be a positive integer but received ${calls}`);
  const draw = { uniform: undefined, uShaped: (u: number) => uShapedTimes([u])[0] as number, calls: (u: number) => distillationTimes([u], { calls, eps: 0 })[0] as number }[times];
  return { ...flow({ from, noise: 0, ...(draw && { times: draw }) }), name: 'rectified' };
};
