import type { Process } from './process.ts';

/** No process at all: the network sees the source and answers the target, in one call. The baseline of every comparison. */
export const regression = (): Process => {
  const estimate = { x: 0, output: 1, source: 0 };
  return {
    name: 'regression',
    noisy: false,
    draw: () => ({ t: 0, noisy: { target: 0, source: 1, eps: 0 }, inputScale: 1, goal: { target: 1, source: 0, eps: 0 }, estimate, weight: 1 }),
    sample: (calls) => {
      if (calls !== 1) throw new RangeError(`regression: expected one step but received ${calls}`);
      return {
        start: { target: 0, source: 1, eps: 0 }, calls: [{ t: 0, estimate }],
        recipe: { start: 1, end: 1, steps: [{ level: { t: 0, alpha: 0, sigma: 0 }, inputScale: 1, denoised: { x: 0, output: 1 }, next: { x: [0], denoised: [1] } }] },
      };
    },
  };
};
