import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assign, squaredDistances } from '../../../src/losses/diffusion/assignment.ts';
import { bridgeLabel, bridgePoint, bridgeTarget, latentBridgePoint, residualNoisePoint, residualNoiseStep, residualPoint, residualStart } from '../../../src/losses/diffusion/bridges.ts';
import { consistencyPair, neighbours } from '../../../src/losses/diffusion/consistency.ts';
import { dream } from '../../../src/losses/diffusion/dream.ts';
import { edm2Loss, edmLoss, preconditioned } from '../../../src/losses/diffusion/edm.ts';
import { flowPoint, flowStd, flowTarget, scoreWeight, straightness } from '../../../src/losses/diffusion/flow.ts';
import { consistencyOutput, ddimGrid, ddimSolve, guidanceEmbedding, guided } from '../../../src/losses/diffusion/lcm.ts';
import { absoluteError, diffuse, levelTensors, normHuber, perImage, pseudoHuber, squaredError, weightedMean } from '../../../src/losses/diffusion/levels.ts';
import { convert, targetOf, toNoise, toX0 } from '../../../src/losses/diffusion/predictions.ts';
import { shortcutPoint, shortcutSizes, shortcutTarget, shortcutTimes } from '../../../src/losses/diffusion/shortcut.ts';
import { stopGradient } from '../../../src/losses/diffusion/stopGradient.ts';
import { gradientsOf } from '../../../src/models/tape.ts';
import { normal, seeded, uniform } from '../../../src/random.ts';
import { linearBetas, snrOf, vpSchedule } from '../../../src/schedules/betas.ts';
import { residualNoise, residualShift, schroedingerBridge, symmetricBetas } from '../../../src/schedules/bridges.ts';
import { flowPath, vpPath } from '../../../src/schedules/paths.ts';
import { boundaryScalings, edmScalings, edmWeight } from '../../../src/schedules/scalings.ts';
import { minSnr } from '../../../src/schedules/weightings.ts';
import * as tf from '../../../src/tf.ts';
import { leakFree } from '../../support.ts';

type Image = tf.Tensor4D;
const shape: [number, number, number, number] = [3, 2, 2, 2];
const image = (seed: number): Image => tf.tensor4d(normal(seeded(seed), 24), shape);

const read = async (f: () => tf.Tensor): Promise<number[]> => {
  const x = tf.tidy(f);
  const data = Array.from(await x.data());
  x.dispose();
  return data;
};
/** Largest distance of two results computed in one graph. */
const gap = async (f: () => readonly [tf.Tensor, tf.Tensor]): Promise<number> => (await read(() => { const [a, b] = f(); return tf.max(tf.abs(tf.sub(a, b))); }))[0] as number;
const schedule = vpSchedule(linearBetas(1000));
const vp = () => levelTensors(vpPath(schedule), [5, 400, 990]);

describe('predictions', () => {
  it('each stands for the same x0 and noise', leakFree(async () => {
    for (const prediction of ['epsilon', 'sample', 'v_prediction'] as const) {
      const errors = await read(() => {
        const [x0, noise, level] = [image(1), image(2), vp()];
        const x = diffuse(x0, noise, level);
        const output = targetOf(prediction, x0, noise, level);
        return tf.stack([tf.max(tf.abs(tf.sub(toX0(prediction, output, x, level), x0))), tf.max(tf.abs(tf.sub(toNoise(prediction, output, x, level), noise)))]);
      });
      expect(errors[0]).toBeLessThan(1e-3);
      expect(errors[1]).toBeLessThan(1e-3);
    }
    const flow = await gap(() => { const level = levelTensors(flowPath, [0.1, 0.5, 0.9]); const x = diffuse(image(1), image(2), level); return [toX0('flow', targetOf('flow', image(1), image(2), level), x, level), image(1)]; });
    expect(flow).toBeLessThan(1e-5);
  }));
  it('there and back is the identity', leakFree(async () => {
    for (const [from, to] of [['epsilon', 'v_prediction'], ['v_prediction', 'sample'], ['sample', 'epsilon']] as const) {
      expect(await gap(() => { const [level, x, output] = [levelTensors(vpPath(schedule), [100, 400, 700]), image(3), image(4)]; return [convert(to, from, convert(from, to, output, x, level), x, level), output]; })).toBeLessThan(1e-4);
    }
  }));
  it('Min-SNR is one loss for all of them', leakFree(async () => {
    const times = [50, 300, 800];
    const snr = snrOf(schedule);
    const losses = await read(() => {
      const level = levelTensors(vpPath(schedule), times);
      const [x0, noise] = [image(1), image(2)];
      const x = diffuse(x0, noise, level);
      return tf.stack((['sample', 'epsilon', 'v_prediction'] as const).map((prediction) => weightedMean(
        squaredError(convert('sample', prediction, image(9), x, level), targetOf(prediction, x0, noise, level)), tf.tensor1d(times.map((t) => minSnr(snr[t] as number, prediction))),
      )));
    });
    expect((losses[1] as number) / (losses[0] as number)).toBeCloseTo(1, 4);
    expect((losses[2] as number) / (losses[0] as number)).toBeCloseTo(1, 4);
  }));
});

describe('errors', () => {
  it('per image, weighted, and robust', leakFree(async () => {
    const [a, b] = [tf.tensor4d([0, 1, 5, 5], [2, 1, 1, 2]), tf.tensor4d([0, 0, 5, 2], [2, 1, 1, 2])];
    expect(await read(() => squaredError(a, b))).toEqual([0.5, 4.5]);
    expect(await read(() => absoluteError(a, b))).toEqual([0.5, 1.5]);
    expect(await read(() => weightedMean(squaredError(a, b), tf.tensor1d([2, 0])))).toEqual([0.5]);
    expect(await read(() => pseudoHuber(a, a))).toEqual([0, 0]);
    expect((await read(() => pseudoHuber(tf.tensor4d([1], [1, 1, 1, 1]), tf.tensor4d([0], [1, 1, 1, 1]))))[0]).toBeCloseTo(0.9990005, 6);
    expect(await read(() => normHuber(a, a))).toEqual([0, 0]);
    tf.dispose([a, b]);
  }));
  it('the norm Huber of a large residual grows as its norm over the size; c is 1.65888 at 32 x 32 x 3', leakFree(async () => {
    const size = 32 * 32 * 3;
    const [near, far] = await read(() => tf.concat([1000, 1001].map((height) => normHuber(tf.fill([1, 32, 32, 3], height), tf.zeros([1, 32, 32, 3])))));
    expect(((far as number) - (near as number)) / (Math.sqrt(size) / size)).toBeCloseTo(1, 2);
    expect(0.00054 * size).toBeCloseTo(1.65888, 5);
  }));
});

describe('DREAM', () => {
  it('a perfect estimate changes nothing; an estimate of 0 makes (1 + lambda) eps', leakFree(async () => {
    expect(await gap(() => [dream(image(2), image(2), vp()), image(2)])).toBe(0);
    expect(await gap(() => { const level = vp(); return [dream(image(2), tf.zeros(shape), level), tf.mul(image(2), tf.add(level.sigma, 1))]; })).toBeLessThan(1e-6);
  }));
  it('the new input still stands for x0', leakFree(async () => {
    expect(await gap(() => {
      const level = levelTensors(vpPath(schedule), [100, 300, 500]);
      const eps = dream(image(2), image(7), level, { p: 2 });
      return [toX0('epsilon', eps, diffuse(image(1), eps, level), level), image(1)];
    })).toBeLessThan(1e-4);
  }));
  it('p = 0 rectifies fully, infinity not at all', leakFree(async () => {
    expect(await gap(() => [dream(image(2), image(7), vp(), { p: 0 }), tf.sub(tf.mul(image(2), 2), image(7))])).toBeLessThan(1e-6);
    expect(await gap(() => [dream(image(2), image(7), vp(), { p: Infinity }), image(2)])).toBe(0);
    tf.tidy(() => { expect(() => dream(image(2), image(7), vp(), { p: -1 })).toThrow(RangeError); });
  }));
});

describe('flows', () => {
  const t = () => perImage([0.2, 0.5, 0.9]);
  it('the velocity is the derivative of the path', leakFree(async () => {
    const step = 1e-2;
    for (const options of [{}, { kind: 'target', sigma: 0.1 }, { kind: 'bridge', sigma: 0.3 }, { kind: 'trigonometric' }] as const) {
      const away = await gap(() => {
        const at = (shift: number): ReturnType<typeof flowPoint> => flowPoint(image(1), image(2), tf.add(t(), shift), options, image(3));
        const slope = tf.div(tf.sub(at(step).z, at(-step).z), 2 * step);
        return [slope, at(0).velocity];
      });
      expect(away).toBeLessThan(5e-3);
    }
  }));
  it('ends at the target and at the source', leakFree(async () => {
    expect(await gap(() => [flowPoint(image(1), image(2), perImage([0, 0, 0])).z, image(1)])).toBe(0);
    expect(await gap(() => [flowPoint(image(1), image(2), perImage([1, 1, 1]), { kind: 'trigonometric' }).z, image(2)])).toBeLessThan(1e-6);
    expect(await gap(() => [flowPoint(image(1), image(2), perImage([0, 1, 0]), { kind: 'bridge', sigma: 9 }, image(3)).z, flowPoint(image(1), image(2), perImage([0, 1, 0])).z])).toBe(0);
  }));
  it("Lipman's smallest noise is 1e-5, and its velocity target minus noise", leakFree(async () => {
    const options = { kind: 'target', sigma: 1e-5 } as const;
    expect((await read(() => flowStd(perImage([0]), options)))[0]).toBeCloseTo(1e-5, 10);
    expect(await gap(() => [flowPoint(image(1), image(2), t(), options, image(2)).velocity, tf.sub(tf.mul(image(2), 1 - 1e-5), image(1))])).toBeLessThan(1e-4);
  }));
  it('a velocity points to its target from anywhere', leakFree(async () => {
    expect(await gap(() => { const { z, velocity } = flowPoint(image(1), image(2), t()); return [flowTarget(z, velocity, t()), image(1)]; })).toBeLessThan(1e-6);
  }));
  it('a straight path is straight, a detour is not; the score weighs 2 s / sigma^2', leakFree(async () => {
    const line = await read(() => straightness([1, 0.5, 0].map((share) => tf.add<Image>(tf.mul(image(1), 1 - share), tf.mul(image(2), share)))));
    expect(line[0]).toBeLessThan(1e-10);
    expect((await read(() => straightness([image(1), image(5), image(2)])))[0]).toBeGreaterThan(0.1);
    expect((await read(() => scoreWeight(perImage([0.5]), { kind: 'bridge', sigma: 1 })))[0]).toBeCloseTo(1, 5);
    expect(() => straightness([])).toThrow(RangeError);
  }));
  it('the exact flow between independent normals bends by 2 - pi / 2 per element', leakFree(async () => {
    // z(t) = z(1) sqrt(1 - 2 t + 2 t^2) comes back to where it started.
    const steps = 400;
    const bend = await read(() => straightness(Array.from({ length: steps + 1 }, (_, i) => tf.fill<tf.Rank.R4>([1, 1, 1, 1], Math.sqrt(1 - 2 * (1 - i / steps) + 2 * (1 - i / steps) ** 2)))));
    expect(bend[0]).toBeCloseTo(2 - Math.PI / 2, 3);
  }));
  it('for independent normal ends the best velocity leaves pi / 2 per element', leakFree(async () => {
    const count = 40_000;
    const times = Array.from(uniform(seeded(1), count));
    const [a, b] = [normal(seeded(2), count), normal(seeded(3), count)];
    const rest = times.reduce((sum, time, i) => {
      const z = (1 - time) * (a[i] as number) + time * (b[i] as number);
      return sum + ((b[i] as number) - (a[i] as number) - ((2 * time - 1) / (1 - 2 * time + 2 * time ** 2)) * z) ** 2;
    }, 0) / count;
    expect(rest).toBeCloseTo(Math.PI / 2, 1);
  }));
  it('says what is missing', () => tf.tidy(() => {
    expect(() => flowPoint(image(1), image(2), t(), { kind: 'bridge' })).toThrow(RangeError);
    expect(() => flowPoint(image(1), image(2), t(), { sigma: 0.1 })).toThrow('expected eps');
  }));
});

describe('optimal transport', () => {
  it('pairs 0 with 1 and 10 with 9', () => {
    expect(assign(squaredDistances(Float32Array.of(0, 10), Float32Array.of(9, 1), 2))).toEqual([1, 0]);
    expect(() => assign([[1, 2]])).toThrow(RangeError);
    expect(assign([])).toEqual([]);
  });
  it('is never worse than any permutation', () => {
    const permutations = (items: number[]): number[][] => (items.length < 2 ? [items] : items.flatMap((item, i) => permutations([...items.slice(0, i), ...items.slice(i + 1)]).map((rest) => [item, ...rest])));
    fc.assert(fc.property(fc.array(fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 4, maxLength: 4 }), { minLength: 4, maxLength: 4 }), (cost) => {
      const total = (p: readonly number[]): number => p.reduce((sum, j, i) => sum + (cost[i]?.[j] as number), 0);
      expect(total(assign(cost))).toBe(Math.min(...permutations([0, 1, 2, 3]).map(total)));
    }), { numRuns: 50 });
  });
});

describe('bridges', () => {
  const bridge = schroedingerBridge(symmetricBetas(1000));
  const steps = [0, 400, 999];
  it("I2SB's label stands for the target", leakFree(async () => {
    expect(await gap(() => { const x = bridgePoint(bridge, image(1), image(2), steps, image(3)); return [bridgeTarget(bridge, x, bridgeLabel(bridge, image(1), x, steps), steps), image(1)]; })).toBeLessThan(1e-5);
    expect(await gap(() => [bridgePoint(bridge, image(1), image(2), steps), bridgePoint(bridge, image(1), image(2), steps, tf.zeros(shape))])).toBe(0);
  }));
  it('LBM is exactly the source at 1, and its velocity points to the target but for the noise', leakFree(async () => {
    expect(await gap(() => [latentBridgePoint(image(1), image(2), [1, 1, 1], { noise: 0.3 }, image(3)).z, image(2)])).toBe(0);
    expect(await gap(() => { const { z, velocity, t } = latentBridgePoint(image(1), image(2), [0.25, 0.5, 0.75], { noise: 0.1 }, image(3)); return [flowTarget(z, velocity, t), tf.add(image(1), tf.mul(image(3), perImage([0.25, 0.5, 0.75].map((s) => 0.1 * Math.sqrt(s * (1 - s))))))]; })).toBeLessThan(1e-6);
  }));
  it('ResShift starts at the source with all of the noise', leakFree(async () => {
    const shift = residualShift(4);
    expect(await gap(() => [residualStart(shift, image(2), image(3)), tf.add(image(2), tf.mul(image(3), 2 * 0.99))])).toBeLessThan(1e-6);
    // At the last step 0.0199 of the target is left.
    expect(await gap(() => [residualPoint(shift, image(1), image(2), [3, 3, 3], image(3)), tf.addN([tf.mul(image(1), 0.0199), tf.mul(image(2), 0.9801), tf.mul(image(3), 1.98)])])).toBeLessThan(1e-5);
  }));
  it('RDDM with perfect predictions arrives, in any number of steps', leakFree(async () => {
    const tables = residualNoise(1000);
    for (const grid of [[999, -1], [999, 500, 100, -1]]) {
      expect(await gap(() => {
        const predicted = { residual: tf.sub<Image>(image(2), image(1)), noise: image(3) };
        const start = residualNoisePoint(tables, image(1), image(2), [999, 999, 999], image(3));
        return [grid.slice(1).reduce((x, s, i) => residualNoiseStep(tables, x, predicted, grid[i] as number, s), start), image(1)];
      })).toBeLessThan(1e-5);
    }
  }));
});

describe('preconditioning', () => {
  it.each([[0.5, 0.5, 0.353553, 1.414214, -0.173287, 8], [1, 0.2, 0.447214, 0.894427, 0, 5], [80, 3.9061e-5, 0.49999, 0.0125, Math.log(80) / 4, 4.000156]])('at sigma %d', async (sigma, skip, out, cin, noise, weight) => {
    const row = await read(() => { const s = tf.tensor1d([sigma]); const { cSkip, cOut, cIn, cNoise } = edmScalings(s); return tf.concat([cSkip, cOut, cIn, cNoise, edmWeight(s), tf.mul(edmWeight(s), tf.square(cOut))]); });
    [skip, out, cin, noise, weight, 1].forEach((value, i) => expect(row[i]).toBeCloseTo(value, 5));
  });
  it('the boundary is the identity at sigmaMin', async () => {
    const row = await read(() => { const { cSkip, cOut } = boundaryScalings(tf.tensor1d([0.002])); return tf.concat([cSkip, cOut]); });
    expect(row[0]).toBe(1);
    expect(row[1]).toBeCloseTo(0, 8);
  });
  it('a network that says 0 on Gaussian data of the right width starts at a loss of 1', leakFree(async () => {
    const count = 4000;
    const loss = await read(() => {
      const [x0, n] = [tf.mul<Image>(tf.tensor4d(normal(seeded(1), count), [count, 1, 1, 1]), 0.5), tf.tensor4d(normal(seeded(2), count), [count, 1, 1, 1])];
      const sigma = tf.fill<tf.Rank.R4>([count, 1, 1, 1], 0.7);
      return tf.mean(edmLoss(preconditioned((x) => tf.zerosLike(x), tf.add(x0, tf.mul(n, sigma)), sigma), x0, sigma));
    });
    expect(loss[0]).toBeGreaterThan(0.93);
    expect(loss[0]).toBeLessThan(1.07);
  }));
  it("EDM2's loss with no uncertainty is EDM's", leakFree(async () => {
    expect(await gap(() => { const s = perImage([0.1, 1, 5]); return [tf.mean(edm2Loss(image(1), image(2), s, perImage([0, 0, 0])), [1, 2, 3]), edmLoss(image(1), image(2), s)]; })).toBeLessThan(1e-3);
  }));
});

describe('latent consistency', () => {
  it('a grid of 50: 19 to 999, before the first the product at 0', () => {
    const { timesteps, previous } = ddimGrid(schedule);
    expect([timesteps[0], timesteps[49]]).toEqual([19, 999]);
    expect([previous[0], previous[1]]).toEqual([schedule.alphasCumprod[0], schedule.alphasCumprod[19]]);
    expect(() => ddimGrid(schedule, 0)).toThrow(RangeError);
  });
  it('a perfect teacher lands on the path; at timestep 0 the output is the input', leakFree(async () => {
    const grid = ddimGrid(schedule);
    expect(await gap(() => [ddimSolve(grid, image(1), image(2), [0, 10, 49]), diffuse(image(1), image(2), levelTensors(vpPath(schedule), [0, 199, 979]))])).toBeLessThan(1e-5);
    expect(await gap(() => [consistencyOutput(image(1), image(2), [0, 0, 0]), image(1)])).toBe(0);
    expect(await gap(() => [guided(image(1), image(2), perImage([0, 0, 0])), image(1)])).toBe(0);
  }));
  it('embeds a guidance scale in sines and cosines', leakFree(async () => {
    const row = await read(() => guidanceEmbedding([0, 0.001], 5));
    expect(row.slice(0, 5)).toEqual([0, 0, 1, 1, 0]);
    expect(row[5]).toBeCloseTo(Math.sin(1), 6);
  }));
});

describe('consistency', () => {
  it('neighbours are Karras sigmas', () => {
    const { sigma, next } = neighbours([0, 3], 5);
    expect(sigma[0]).toBeCloseTo(80, 8);
    expect(next[0]).toBeCloseTo(17.52783, 4);
    expect(next[1]).toBeCloseTo(0.002, 8);
  });
  it('without a teacher the next state has the same noise; the target carries no gradient', leakFree(async () => {
    const { sigma, next } = neighbours([0, 1, 2], 5);
    expect(await gap(() => {
      const pair = consistencyPair((x) => x, (x) => x, image(1), image(2), { sigma: perImage(sigma), next: perImage(next) });
      return [pair.target, tf.add(image(1), tf.mul(image(2), perImage(next)))];
    })).toBeLessThan(1e-4);
    const [through, blocked] = await read(() => {
      const leaf = tf.scalar(3);
      const { grads } = gradientsOf([leaf], () => ({ loss: tf.mul(leaf, tf.add(leaf, stopGradient(leaf))) as tf.Scalar, extra: {} }));
      const whole = gradientsOf([leaf], () => ({ loss: tf.mul(leaf, tf.add(leaf, leaf)) as tf.Scalar, extra: {} }));
      return tf.stack([grads[0] as tf.Tensor, whole.grads[0] as tf.Tensor]);
    }) as [number, number];
    expect(through).toBe(9);
    expect(blocked).toBe(12);
  }));
});

describe('shortcuts', () => {
  it('32 rows of M = 128: sizes 6, 5, ... 0 four times each, then zeros', () => {
    const { dtBase, guided: rows } = shortcutSizes(32, 128);
    expect(dtBase).toEqual([...[6, 5, 4, 3, 2, 1, 0].flatMap((base) => [base, base, base, base]), 0, 0, 0, 0]);
    expect(rows).toBe(4);
    expect(shortcutSizes(16, 16, { bias: 1 }).dtBase).toEqual([3, 3, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(() => shortcutSizes(8, 12)).toThrow(RangeError);
  });
  it('times are whole steps from the noise', () => expect(shortcutTimes([0, 0.6, 0.99], [0, 1, 2])).toEqual([1, 0.5, 0.25]));
  it('a constant field is its own target; the field of a decay takes two half steps', leakFree(async () => {
    expect(await gap(() => [shortcutTarget(() => tf.fill(shape, 0.7), image(1), [1, 1, 0.5], [0, 0, 1], [0, 0, 0]), tf.fill(shape, 0.7)])).toBeLessThan(1e-6);
    // dz/dt = z here runs backwards in time: one step of size d multiplies z by 1 - d (1 - d / 4).
    expect(await gap(() => [shortcutTarget((x) => x, image(1), [1, 1, 1], [0, 0, 0], [0, 0, 0]), tf.mul(image(1), 0.75)])).toBeLessThan(1e-6);
  }));
  it('starts at the noise, and a unit step of the exact velocity arrives', leakFree(async () => {
    expect(await gap(() => [shortcutPoint(image(1), image(2), perImage([1, 1, 1])).z, image(2)])).toBe(0);
    expect(await gap(() => { const { z, velocity } = shortcutPoint(image(1), image(2), perImage([1, 1, 1])); return [tf.sub(z, velocity), image(1)]; })).toBeLessThan(1e-4);
  }));
  it('guides the rows it is told to, and only those', leakFree(async () => {
    const values = await read(() => shortcutTarget((x, _t, _d, labels) => tf.mul(tf.onesLike(x), perImage(labels)), tf.zeros([2, 1, 1, 1]), [1, 1], [1, 0], [2, 2], { guidance: { scale: 1.5, guided: 1, none: 1 } }));
    expect(values).toEqual([2.5, 2]);
  }));
});
