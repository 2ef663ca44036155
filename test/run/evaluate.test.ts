import { describe, expect, it } from 'vitest';
import { acceptsSteps, evaluate, scoreOn } from '../../src/run/evaluate.ts';
import { type Metric, meanOf, metricsFor, scoreImages } from '../../src/run/metrics.ts';
import type { Translate } from '../../src/run/method.ts';
import { translateBy } from '../../src/models/translateBy.ts';
import { type DecodedPair, heldOutKey } from '../../src/run/validation.ts';
import { flow } from '../../src/schedules/processes/flow.ts';
import { regression } from '../../src/schedules/processes/regression.ts';
import { resShift } from '../../src/schedules/processes/residual.ts';
import type { Process } from '../../src/schedules/processes/process.ts';
import { normal, uniform } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';

const size = 12;
const length = size * size * 3;
/** A network that answers with its input. */
const by = (process: Process): Translate => (source, { keys, steps: calls = 4 }) => translateBy(process, (input) => input, source, { calls, keys });
const image = (at: number): Float32Array => Float32Array.from(uniform(heldOutKey(1, at), length), (value) => value * 2 - 1);
const pairs = Array.from({ length: 5 }, (_, i) => () => Promise.resolve<DecodedPair>({ id: `pair${i}`, source: image(i), target: image(i + 100) }));
const [metric] = metricsFor(size) as [Metric];
const trial = { pairs, size, metrics: [metric], batch: 2, shown: [0, 3] };
const psnrOf = (a: Float32Array, b: Float32Array): number => 10 * Math.log10(4 / (a.reduce((sum, value, i) => sum + (value - (b[i] as number)) ** 2, 0) / a.length));

describe('acceptsSteps', () => {
  it('asks the model itself', leakFree(() => {
    expect([1, 3].map((steps) => acceptsSteps(by(flow()), steps, 8))).toEqual([{ accepts: true, asks: true }, { accepts: true, asks: true }]);
    expect([1, 2].map((steps) => acceptsSteps(by(regression()), steps, 8).accepts)).toEqual([true, false]);
    expect([1, 4, 8].map((steps) => acceptsSteps(by(resShift({ steps: 4 })), steps, 8).accepts)).toEqual([false, true, false]);
    expect(acceptsSteps(by(regression()), 2, 8)).toEqual({ accepts: false, why: 'regression: expected one step but received 2' });
  }));

  it('tells a model that has one way only', leakFree(() => { expect(acceptsSteps((source) => tf.clone(source), 8, 8)).toEqual({ accepts: true, asks: false }); }));

  it('lets other errors through', () => { expect(() => acceptsSteps(() => { throw new TypeError('broken'); }, 1, 8)).toThrow('broken'); });
});

const sourcesOf = (some: readonly DecodedPair[]): Promise<Float32Array[]> => Promise.resolve(some.map(({ source }) => source));

describe('scoreOn', () => {
  it('scores every pair, whatever the batch, keeps what is shown and times the making alone', leakFree(async () => {
    let clock = 0;
    const now = (): number => (clock += 30);
    const scored = await scoreOn(trial, sourcesOf, { now });
    expect(scored.scores.map(({ PSNR }) => PSNR)).toEqual(pairs.map((_, i) => expect.closeTo(psnrOf(image(i), image(i + 100)), 3)));
    expect(scored.pictures).toEqual([image(0), image(3)]);
    expect(scored.msPerImage).toBe(3 * 30 / 6);
    const whole = await scoreOn({ ...trial, batch: 5 }, sourcesOf, { now });
    expect(whole.msPerImage).toBe(30 / 5);
    let calls = 0;
    const slow = (some: readonly DecodedPair[]) => { clock += calls++ === 0 ? 1000 : 0; return sourcesOf(some); };
    expect((await scoreOn(trial, slow, { untimed: 1, now })).msPerImage).toBe(2 * 30 / 4);
    expect(meanOf(whole.scores, 'PSNR')).toBeCloseTo(meanOf(scored.scores, 'PSNR'), 4);
  }));
});

describe('evaluate', () => {
  it('scores at every number of steps the model takes, and says which it does not', leakFree(async () => {
    const { results, refused } = await evaluate(by(regression()), trial, { sweep: [1, 2], seed: 0, multiple: 4 });
    expect(results.map(({ steps }) => steps)).toEqual([1]);
    expect(refused).toEqual([{ steps: 2, why: 'regression: expected one step but received 2' }]);
  }));

  it('tells a model what is said of each pair, at every number of steps', leakFree(async () => {
    const heard: (readonly (string | undefined)[])[] = [];
    const listening: Translate = (source, { steps, prompts }) => { if (prompts) heard.push([`${steps}`, ...prompts]); return tf.clone(source); };
    const some = pairs.map((load, i) => async () => ({ ...await load(), ...(i !== 1 && { prompt: `p${i}` }) }));
    await evaluate(listening, { ...trial, pairs: some, batch: 2 }, { sweep: [1, 2], seed: 0, multiple: 4 });
    expect(heard).toEqual(['1', '2'].flatMap((steps) => [[steps, 'p0', undefined], [steps, 'p2', 'p3'], [steps, 'p4', 'p4']]));
  }));

  it('scores a model with one way once, and one that takes none of the numbers with its own', leakFree(async () => {
    const only = await evaluate((source) => tf.clone(source), trial, { sweep: [1, 4], seed: 0, multiple: 4 });
    expect(only.results.map(({ steps }) => steps)).toEqual([1]);
    const own = await evaluate(by(resShift({ steps: 4 })), trial, { sweep: [2], seed: 0, multiple: 4 });
    expect(own.results.map(({ steps }) => steps)).toEqual([undefined]);
  }));

  it('gives each pair the noise of its own key: the same for every model, step count and batch', leakFree(async () => {
    const noise: Translate = (source, { keys, steps = 0 }) => tf.add(tf.mul(source, steps * 0), tf.tensor4d(keys.flatMap((key) => [...normal(key, source.size / keys.length)]), source.shape));
    const made = await evaluate(noise, trial, { sweep: [1, 2], seed: 6, multiple: 4 });
    const other = await evaluate(noise, { ...trial, batch: 3 }, { sweep: [8], seed: 6, multiple: 4 });
    const clamped = (at: number): Float32Array => Float32Array.from(normal(heldOutKey(6, at), length), (value) => Math.min(1, Math.max(-1, value)));
    for (const { pictures } of [...made.results, ...other.results]) expect(pictures).toEqual([clamped(0), clamped(3)]);
  }));
});

describe('metricsFor', () => {
  it('leaves MS-SSIM out where images are too small for it, and LPIPS without weights', () => {
    expect(metricsFor(160).map(({ name }) => name)).toEqual(['PSNR', 'SSIM']);
    expect(metricsFor(161).map(({ name }) => name)).toEqual(['PSNR', 'SSIM', 'MS-SSIM']);
  });

  it('finds an image equal to itself', leakFree(async () => {
    const [score] = await scoreImages(metricsFor(size), [image(0)], [image(0)], [size, size], 2);
    expect(score).toEqual({ PSNR: Infinity, SSIM: expect.closeTo(1, 5) });
  }));
});
