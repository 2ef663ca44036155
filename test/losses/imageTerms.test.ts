import { describe, expect, it } from 'vitest';
import { frequencyAmplitude } from '../../src/losses/frequency.ts';
import { decoderObjective, recipeNames, taesdRecipes } from '../../src/losses/imageTerms.ts';
import { pooledMse } from '../../src/losses/pooledMse.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';
import { image } from './differences.ts';

const frame = () => ({ output: image(1, [2, 16, 16, 3]), target: image(2, [2, 16, 16, 3]) });
/** Loss and terms as numbers. */
const valuesOf = async (objective: ReturnType<typeof decoderObjective<ReturnType<typeof frame>>>): Promise<Record<string, number>> => {
  const scored = tf.tidy(() => { const { loss, terms } = objective(frame()); return { loss, ...terms } as Record<string, tf.Scalar>; });
  const values = Object.fromEntries(await Promise.all(Object.entries(scored).map(async ([name, value]) => [name, (await value.data())[0] as number] as const)));
  tf.dispose(scored);
  return values;
};
const number = async (f: () => tf.Scalar): Promise<number> => { const t = tf.tidy(f); const [value] = await t.data(); t.dispose(); return value as number; };

describe('decoderObjective', () => {
  it('sums the recipe\'s terms and the game under its factor, and reports the distance besides', leakFree(async () => {
    const none = { gan: 0, mse: 0, lpips: 0, amplitude: 0, low: 0, latentGan: 0 };
    const { loss, distance, amplitude, low, gan, ...rest } = await valuesOf(decoderObjective({ ...none, amplitude: 2, low: 3, gan: 10 }, { gan: ({ output }) => tf.mean(output), factor: 0.5 }));
    const { output, target } = frame();
    expect(amplitude).toBeCloseTo(await number(() => frequencyAmplitude(output, target)), 5);
    expect(low).toBeCloseTo(await number(() => pooledMse(output, target)), 6);
    expect(distance).toBeCloseTo(await number(() => tf.mean(tf.square(tf.sub(output, target)))), 6);
    expect(loss).toBeCloseTo(2 * (amplitude as number) + 3 * (low as number) + 10 * (gan as number), 4);
    expect(gan).toBeCloseTo(0.5 * await number(() => tf.mean(output)), 6);
    expect(rest).toEqual({});
    tf.dispose([output, target]);
  }));

  it('does without a critic, and without perceptual weights', leakFree(async () => {
    const { loss, mse, distance } = await valuesOf(decoderObjective(taesdRecipes['v1.1'], {}));
    expect([mse, distance]).toEqual([loss, loss]);
  }));
});

describe('the recipes', () => {
  it('are those that are described', () => {
    const active = (name: (typeof recipeNames)[number]) => Object.entries(taesdRecipes[name]).filter(([, weight]) => weight > 0).map(([term]) => term).sort();
    expect(Object.fromEntries(recipeNames.map((name) => [name, active(name)]))).toEqual({
      mse: ['mse'], 'v1.0': ['gan', 'mse'], 'v1.1': ['gan', 'lpips', 'mse'], auxiliary: ['amplitude', 'gan', 'low', 'lpips'], 'v1.2': ['gan', 'latentGan', 'low'],
    });
    expect(taesdRecipes['v1.1'].lpips).toBeLessThan(taesdRecipes['v1.1'].gan);
  });
});
