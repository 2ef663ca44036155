import { describe, expect, it } from 'vitest';
import { normal, seeded } from '../../../src/random.ts';
import { residualShift, schroedingerBridge, symmetricBetas } from '../../../src/schedules/bridges.ts';
import { cosineBetas, linearBetas, rescaleZeroTerminalSnr, scaledLinearBetas, vpSchedule } from '../../../src/schedules/betas.ts';
import { type Path, type Prediction, flowPath, vePath, vpPath } from '../../../src/schedules/paths.ts';
import { i2sb, latentBridge, resShift } from '../../../src/schedules/samplers/bridge.ts';
import { ancestralSplit, churned } from '../../../src/schedules/samplers/churn.ts';
import { consistency, consistencyVe, lcm, lcmBoundary } from '../../../src/schedules/samplers/consistency.ts';
import { ddim, ddimStd } from '../../../src/schedules/samplers/ddim.ts';
import { ddpm, ddpmPosterior } from '../../../src/schedules/samplers/ddpm.ts';
import { dpm2, dpm2Ancestral } from '../../../src/schedules/samplers/dpm2.ts';
import { dpmSolver } from '../../../src/schedules/samplers/dpmSolver.ts';
import { dpmpp2sAncestral, dpmppSde } from '../../../src/schedules/samplers/dpmppSde.ts';
import { euler } from '../../../src/schedules/samplers/euler.ts';
import { eulerAncestral } from '../../../src/schedules/samplers/eulerAncestral.ts';
import { heun } from '../../../src/schedules/samplers/heun.ts';
import { lms } from '../../../src/schedules/samplers/lms.ts';
import { type Denoise, type Plan, runRecipe, sampler } from '../../../src/schedules/samplers/sampler.ts';
import { appendZero, karrasSigmas } from '../../../src/schedules/sigmas.ts';
import { flowTimes } from '../../../src/schedules/shift.ts';
import { spaceTimesteps } from '../../../src/schedules/timesteps.ts';
import * as tf from '../../../src/tf.ts';
import { leakFree } from '../../support.ts';

type Image = tf.Tensor4D;
const shape: [number, number, number, number] = [2, 2, 2, 1];
const image = (seed: number): Image => tf.tensor4d(normal(seeded(seed), 8), shape);
const noise = (i: number): Image => image(1000 + i);

const values = async (f: () => Image): Promise<number[]> => {
  const x = tf.tidy(f);
  const data = Array.from(await x.data());
  x.dispose();
  return data;
};
const apart = (a: readonly number[], b: readonly number[]): number => Math.max(...a.map((value, i) => Math.abs(value - (b[i] as number))));

const linear = vpPath(vpSchedule(linearBetas(1000)));
const sigmaGrid = [...appendZero(karrasSigmas(6, { sigmaMin: 0.02, sigmaMax: 10 }))];
const grids: Readonly<Record<string, readonly [Path, readonly number[]]>> = {
  sigmas: [vePath, sigmaGrid], timesteps: [linear, [...spaceTimesteps('trailing', 6, 1000), -1]], flow: [flowPath, flowTimes(6)],
};
const solvers: Readonly<Record<string, (path: Path) => Plan>> = {
  euler, heun, dpm2, lms, ddim, dpmpp2m: dpmSolver, dpmpp3m: (path) => dpmSolver(path, { order: 3, solverType: 'heun' }),
  eulerAncestral, dpm2Ancestral, dpmpp2sAncestral, dpmppSde, dpmpp2mSde: (path) => dpmSolver(path, { algorithm: 'sde-dpmsolver++' }), consistency,
};
/** Solvers that divide by the middle of a step in ln sigma have none that ends on a flow's t = 1. */
const usable = (kind: string, name: string): boolean => kind !== 'flow' || !['dpmpp2mSde', 'dpmpp2sAncestral', 'dpmppSde'].includes(name);

describe.each(Object.entries(grids))('on %s', (kind, [path, grid]) => {
  it.each(Object.entries(solvers).filter(([name]) => usable(kind, name)))('%s ends at x0 when the network knows it', async (_, make) => {
    const x0 = image(1);
    const start = path.level(grid[0] as number);
    const end = await values(() => sampler(make(path))(() => image(1), tf.add(tf.mul(x0, start.alpha), tf.mul(image(2), start.sigma)), grid, noise));
    expect(apart(end, Array.from(await x0.data()))).toBeLessThan(2e-5);
    x0.dispose();
  });
});

it('ddpm and lcm end at x0 too', leakFree(async () => {
  const grid = [...spaceTimesteps('trailing', 6, 1000), -1];
  for (const make of [ddpm, lcm]) expect(apart(await values(() => sampler(make(linear))(() => image(1), image(2), grid, noise)), await values(() => image(1)))).toBeLessThan(2e-5);
}));

/** Some network that is no solution. */
const flat: Denoise = (x) => tf.tanh(tf.mul(x, 0.7)) as Image;

describe('solvers that are the same thing', () => {
  it('DDIM without noise and Euler in sigma-space', async () => {
    const grid = [...spaceTimesteps('trailing', 7, 1000), -1];
    const [a, b] = [await values(() => sampler(ddim(linear))(flat, image(3), grid)), await values(() => sampler(euler(linear))(flat, image(3), grid))];
    expect(apart(a, b)).toBeLessThan(2e-5);
  });
  it('DDIM and Euler on a flow', async () => {
    const [a, b] = [await values(() => sampler(ddim(flowPath))(flat, image(3), flowTimes(5))), await values(() => sampler(euler(flowPath))(flat, image(3), flowTimes(5)))];
    expect(apart(a, b)).toBeLessThan(1e-5);
  });
  it('DDIM with eta 1 and the ancestral sampler', async () => {
    const grid = [...spaceTimesteps('trailing', 5, 1000), -1];
    const [a, b] = [await values(() => sampler(ddim(linear, { eta: 1 }))(flat, image(3), grid, noise)), await values(() => sampler(ddpm(linear))(flat, image(3), grid, noise))];
    expect(apart(a, b)).toBeLessThan(1e-4);
  });
  it('DPM-Solver of order 1 and DDIM; its noise form and its data form', async () => {
    const grid = [900, 600, 300, 50];
    const [a, b, c] = await Promise.all([dpmSolver(linear, { order: 1 }), ddim(linear), dpmSolver(linear, { order: 1, algorithm: 'dpmsolver' })].map((plan) => values(() => sampler(plan)(flat, image(3), grid))));
    expect(apart(a as number[], b as number[])).toBeLessThan(1e-5);
    expect(apart(a as number[], c as number[])).toBeLessThan(1e-4);
  });
  it('ancestral Euler without eta and Euler', async () => {
    const [a, b] = [await values(() => sampler(eulerAncestral(vePath, { eta: 0 }))(flat, image(3), sigmaGrid)), await values(() => sampler(euler(vePath))(flat, image(3), sigmaGrid))];
    expect(apart(a, b)).toBe(0);
  });
});

it('along a constant velocity one step is as good as twenty', async () => {
  const constant: Denoise = () => image(5);
  const [one, twenty] = [await values(() => sampler(euler(flowPath), { prediction: 'flow' })(constant, image(3), flowTimes(1))), await values(() => sampler(euler(flowPath), { prediction: 'flow' })(constant, image(3), flowTimes(20)))];
  expect(apart(one, twenty)).toBeLessThan(1e-5);
});

describe('accuracy', () => {
  // Data of variance 1/4: D = x / (1 + 4 s^2), and the exact path is x(s) = x(S) sqrt((s^2 + 1/4) / (S^2 + 1/4)).
  const gaussian: Denoise = (x, s) => tf.div(x, tf.reshape(tf.add(1, tf.mul(4, tf.square(s))), [-1, 1, 1, 1]));
  const exact = Math.sqrt(0.25 / (10 ** 2 + 0.25));
  const error = async (plan: Plan, n: number): Promise<number> => {
    const end = await values(() => sampler(plan)(gaussian, tf.mul<Image>(tf.ones(shape), 10), [...appendZero(karrasSigmas(n, { sigmaMin: 1e-3, sigmaMax: 10 }))]));
    return Math.abs((end[0] as number) / (10 * exact) - 1);
  };
  it('Heun is of second order, Euler of first; two calls are worth it', async () => {
    const [e8, e32, h8, h32] = [await error(euler(vePath), 8), await error(euler(vePath), 32), await error(heun(vePath), 8), await error(heun(vePath), 32)];
    expect(e8 / e32).toBeGreaterThan(3);
    expect(e8 / e32).toBeLessThan(6);
    expect(h8 / h32).toBeGreaterThan(9);
    expect(h32).toBeLessThan(e32 / 6);
  });
  it('multistep solvers gain on Euler at the same number of calls', async () => {
    const base = await error(euler(vePath), 24);
    for (const plan of [dpmSolver(vePath), dpmSolver(vePath, { order: 3 }), lms(vePath)]) expect(await error(plan, 24)).toBeLessThan(base / 4);
  });
});

describe('numbers', () => {
  it('the ancestral posterior: (1, 0) and no variance at 0; .54529, .45471, 5.4532e-5 at 1; .01005134 at 500', () => {
    const posterior = (t: number): ReturnType<typeof ddpmPosterior> => ddpmPosterior(linear.level(t), linear.level(t - 1));
    expect(posterior(0)).toEqual({ x: 0, denoised: expect.closeTo(1, 5), small: 0, large: expect.closeTo(1e-4, 7) });
    expect(posterior(1).denoised).toBeCloseTo(0.54529, 3);
    expect(posterior(1).x).toBeCloseTo(0.45471, 3);
    expect(posterior(1).small / 5.4532e-5).toBeCloseTo(1, 3);
    expect(posterior(500).small).toBeCloseTo(0.01005134, 6);
    expect(ddimStd(linear.level(500), linear.level(499), 1) ** 2).toBeCloseTo(0.01005134, 6);
  });
  it('the LCM boundary: f(x, 0) = x; 6.925e-6 of x at 19; the estimate alone at 999', () => {
    const at = lcmBoundary();
    expect(at(0)).toEqual({ cSkip: 1, cOut: 0 });
    expect(at(19).cSkip).toBeCloseTo(6.925e-6, 9);
    expect(at(999).cOut).toBeCloseTo(1, 8);
  });
  it('an ancestral step splits the variance, and churn adds it', () => {
    const { down, up } = ancestralSplit(2, 1);
    expect(down ** 2 + up ** 2).toBeCloseTo(1, 12);
    expect(ancestralSplit(2, 0)).toEqual({ down: 0, up: 0 });
    const { sigma, churn } = churned(2, 10, { sChurn: 1 });
    expect(sigma).toBeCloseTo(2.2, 12);
    expect(churn.churn?.std).toBeCloseTo(Math.sqrt(2.2 ** 2 - 4), 12);
    expect(churned(2, 10, { sChurn: 1, sTmax: 1 })).toEqual({ sigma: 2, churn: {} });
    expect(churned(1, 1, { sChurn: 99 }).sigma).toBeCloseTo(Math.SQRT2, 12);
  });
  it('Heun calls 2 n - 1 times, EDM\'s 18 steps 35', () => expect(heun(vePath)([...appendZero(karrasSigmas(18, { sigmaMin: 0.002, sigmaMax: 80 }))]).steps.length).toBe(35));
});

describe('bridges', () => {
  const bridge = schroedingerBridge(symmetricBetas(1000));
  it('I2SB without noise ends at the mean of its last step', async () => {
    const end = await values(() => sampler(i2sb(bridge, { otOde: true }))(() => image(1), image(2), [999, 600, 200, 0]));
    const [x0, x1] = [await values(() => image(1)), await values(() => image(2))];
    const weight = 0.01 ** 2 / (bridge.stdForward[999] as number) ** 2;
    expect(apart(end, x0.map((value, i) => value * (1 - weight) + (x1[i] as number) * weight))).toBeLessThan(1e-5);
  });
  it('LBM in one call is source minus the displacement; in four, with the exact one, the target', async () => {
    for (const grid of [[1, 0], [1, 0.75, 0.5, 0.25, 0]]) {
      const end = await values(() => sampler(latentBridge({ noise: 0 }), { prediction: 'flow' })(() => tf.sub(image(2), image(1)), image(2), grid));
      expect(apart(end, await values(() => image(1)))).toBeLessThan(1e-5);
    }
  });
  it('ResShift returns the estimate of its last call, whatever came before', async () => {
    const shift = residualShift(4);
    const end = await values(() => sampler(resShift(shift))(() => image(1), image(2), [3, 2, 1, 0, -1], noise));
    expect(apart(end, await values(() => image(1)))).toBeLessThan(1e-5);
    expect(() => resShift(shift)([3, 1, 0, -1])).toThrow(RangeError);
  });
});

describe('predictions', () => {
  it.each(['epsilon', 'v_prediction'] as const)('%s of the same x0 samples the same', async (prediction: Prediction) => {
    // At one level the network's answer can be written without knowing its time.
    const grid = [500, -1];
    const { alpha, sigma } = linear.level(500);
    const tell: Denoise = (x, t) => {
      const x0 = flat(x, t);
      const eps = tf.div(tf.sub(x, tf.mul(x0, alpha)), sigma) as Image;
      return prediction === 'epsilon' ? eps : tf.sub(tf.mul(eps, alpha), tf.mul(x0, sigma));
    };
    const [a, b] = [await values(() => sampler(ddim(linear))(flat, image(3), grid)), await values(() => sampler(ddim(linear), { prediction })(tell, image(3), grid))];
    expect(apart(a, b)).toBeLessThan(1e-5);
  });
  it('v starts from pure noise at zero terminal SNR, where eps cannot', async () => {
    const path = vpPath(vpSchedule(rescaleZeroTerminalSnr(scaledLinearBetas(1000))));
    const grid = [...spaceTimesteps('trailing', 4, 1000), -1];
    expect(path.level(999).alpha).toBe(0);
    const end = await values(() => sampler(ddim(path), { prediction: 'v_prediction' })((x) => tf.mul(x, 0.3), image(3), grid));
    expect(end.every(Number.isFinite)).toBe(true);
    const solved = await values(() => sampler(dpmSolver(path), { prediction: 'v_prediction' })((x) => tf.mul(x, 0.3), image(3), grid));
    expect(solved.every(Number.isFinite)).toBe(true);
    expect(() => euler(path)(grid)).toThrow('alpha > 0');
  });
});

describe('what goes wrong is said', () => {
  it('too short a grid, no noise, a noise form without noise at the end, an eta below 0', leakFree(() => {
    expect(() => euler(vePath)([1])).toThrow('at least two times but received 1');
    expect(() => dpmSolver(linear, { algorithm: 'dpmsolver' })([900, -1])).toThrow('dpmsolver++');
    expect(() => ddim(linear, { eta: -1 })).toThrow(RangeError);
    expect(() => lms(vePath, { order: 5 })).toThrow(RangeError);
    expect(() => linear.level(1000)).toThrow('999');
    tf.tidy(() => { expect(() => sampler(eulerAncestral(vePath))(flat, image(1), [2, 1, 0])).toThrow('adds noise but no noise was given'); });
  }));
});

it('limits every estimate, replaces every state, and shows what happened', leakFree(async () => {
  const seen: number[] = [];
  const end = await values(() => tf.tidy(() => runRecipe((x) => tf.mul(x, 9), tf.mul<Image>(tf.ones(shape), 2), euler(vePath)([2, 1, 0]), {
    limit: (x) => tf.clipByValue(x, -1, 1), after: (x) => tf.mul(x, 2), observe: (i) => { seen.push(i); },
  })));
  // 2 -> D 1, x 1.5, doubled 3 -> D 1, x 1, doubled 2.
  expect(end[0]).toBeCloseTo(2, 6);
  expect(seen).toEqual([0, 1]);
}));

it('noise of a call is asked for by its position', leakFree(async () => {
  const asked: number[] = [];
  await values(() => sampler(eulerAncestral(vePath))(flat, image(1), [4, 2, 1, 0], (i) => { asked.push(i); return noise(i); }));
  expect(asked).toEqual([0, 1]);
}));

it('consistency in sigma-space returns with the variance above sigmaMin', () => {
  const { steps } = consistencyVe(vePath)([80, 2, 0.002]);
  expect(steps.map(({ next }) => next.noise)).toEqual([expect.closeTo(Math.sqrt(4 - 0.002 ** 2), 12), 0]);
});

it('paths agree: a place found by its ratio is the place', () => {
  const path = vpPath(vpSchedule(cosineBetas(500)));
  for (const t of [3, 77, 400]) {
    const level = path.level(t);
    const found = path.at(level.sigma / level.alpha);
    expect(found.t).toBeCloseTo(t, 4);
    expect(found.alpha).toBeCloseTo(level.alpha, 6);
  }
  expect(path.at(0)).toEqual({ t: -1, alpha: 1, sigma: 0 });
  expect(flowPath.at(0.3)).toEqual({ t: 0.3, alpha: 0.7, sigma: 0.3 });
  expect(path.level(77.5).sigma).toBeGreaterThan(path.level(77).sigma);
});
