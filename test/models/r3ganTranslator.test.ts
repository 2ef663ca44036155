import { describe, expect, it } from 'vitest';
import { applyNet, makeNet } from '../../src/models/net.ts';
import { countParams } from '../../src/models/network.ts';
import { noiseOf, r3ganGame } from '../../src/models/r3ganGame.ts';
import { lowToHigh, r3ganSizes, r3ganTranslator, stagesOf } from '../../src/models/r3ganTranslator.ts';
import { normal, seeded } from '../../src/random.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { image } from '../losses/differences.ts';
import { leakFree } from '../support.ts';

const sizes = { base: 8, most: 16, blocks: 1 };

describe('sizes', () => {
  it('double widths down to the lowest resolution, in groups of 16 channels after expansion', () => {
    expect(r3ganSizes({ stages: 4, base: 96, most: 384, blocks: 2 })).toEqual({ widths: [96, 192, 384, 384], cardinalities: [12, 24, 48, 48], blocks: [2, 2, 2, 2] });
    expect(lowToHigh(r3ganSizes({ stages: 2, ...sizes }))).toEqual({ widths: [16, 8], cardinalities: [2, 1], blocks: [1, 1] });
    expect([4, 64, 256].map(stagesOf)).toEqual([1, 5, 7]);
  });

  it('say what does not fit', () => {
    expect(() => r3ganSizes({ stages: 1, base: 12, most: 12, blocks: 1 })).toThrow('r3ganSizes: expected widths that are multiples of 8 but received 12');
    expect(() => stagesOf(96)).toThrow('r3gan: expected a size of 4, 8, 16, 32, 64 ... px but received 96');
  });
});

describe('r3ganTranslator', () => {
  it('keeps the size of images that halvings divide, and starts with blocks that change nothing', leakFree(async () => {
    const [deep, plain] = [2, 1].map((blocks) => makeNet(r3ganTranslator(r3ganSizes({ ...sizes, blocks, stages: 3 })), { key: seeded(1) })) as [ReturnType<typeof translator>, ReturnType<typeof translator>];
    const [one, other] = [deep, plain].map((net) => tf.tidy(() => applyNet(net)(image(1, [2, 12, 20, 3]))));
    expect(one?.shape).toEqual([2, 12, 20, 3]);
    expect(await one?.data()).toEqual(await other?.data());
    tf.dispose([one, other] as tf.Tensor[]);
    free({ deep, plain });
  }));

  it('sees the source at every resolution', leakFree(async () => {
    const net = translator();
    const at = (x: number, y: number): tf.Tensor4D => tf.tidy(() => tf.sub(applyNet(net)(tf.add(image(1, [1, 16, 16, 3]), tf.pad(tf.ones([1, 1, 1, 3]), [[0, 0], [y, 15 - y], [x, 15 - x], [0, 0]]) as tf.Tensor4D)), applyNet(net)(image(1, [1, 16, 16, 3]))));
    const change = at(5, 9);
    const values = await change.data();
    const moved = (x: number, y: number): number => Math.max(...[0, 1, 2].map((c) => Math.abs(values[3 * (16 * y + x) + c] as number)));
    expect(moved(8, 4)).toBeGreaterThan(1e-6);
    expect(moved(5, 9)).toBeGreaterThan(10 * moved(8, 4));
    change.dispose();
    free({ net });
  }));
});
const translator = () => makeNet(r3ganTranslator(r3ganSizes({ ...sizes, stages: 3 })), { key: seeded(1) });

describe('r3ganGame', () => {
  const game = (from: 'source' | 'noise') => r3ganGame({ from, size: 16, noise: 5, generator: { ...sizes, stages: 2 }, critic: sizes });
  const numbers = async (f: () => tf.Tensor): Promise<number[]> => { const t = tf.tidy(f); const values = [...await t.data()]; t.dispose(); return values; };
  const logits = (net: ReturnType<typeof live>['critic'], source: number) => numbers(() => applyNet(net)(image(3, [2, 16, 16, 3]), image(source, [2, 16, 16, 3])));
  const live = (from: 'source' | 'noise') => { const { generator, critic } = game(from); return { generator: makeNet(generator, { key: seeded(1) }), critic: makeNet(critic, { key: seeded(2) }) }; };

  it('on pairs looks at the source on both sides, and not at the noise', leakFree(async () => {
    const nets = live('source');
    expect(await logits(nets.critic, 1)).not.toEqual(await logits(nets.critic, 2));
    const made = (source: number, seed: number) => numbers(() => applyNet(nets.generator)(image(source, [2, 16, 16, 3]), noiseOf([seeded(seed), seeded(9)], 5)));
    expect(await made(1, 1)).toEqual(await made(1, 2));
    expect(await made(1, 1)).not.toEqual(await made(2, 1));
    free(nets);
  }));

  it('from noise looks at the noise alone, image by image, and enlarges where more is asked for', leakFree(async () => {
    const nets = live('noise');
    expect(await logits(nets.critic, 1)).toEqual(await logits(nets.critic, 2));
    const made = (side: number, ...seeds: number[]) => numbers(() => applyNet(nets.generator)(tf.zeros([seeds.length, side, side, 3]), noiseOf(seeds.map(seeded), 5)));
    const [both, second] = [await made(16, 1, 2), await made(16, 2)];
    const alike = (a: readonly number[], b: readonly number[]): void => { expect(a).toHaveLength(b.length); expect(Math.max(...a.map((x, i) => Math.abs(x - (b[i] as number))))).toBeLessThan(1e-6); };
    alike(both.slice(16 * 16 * 3), second);
    const large = await made(32, 2);
    alike(large.slice(0, 6), [...second.slice(0, 3), ...second.slice(0, 3)]);
    expect(countParams(game('source').critic)).toBe(countParams(game('noise').critic) + 3 * 8);
    free(nets);
  }));

  it('draws the noise of a key', async () => {
    expect(await numbers(() => noiseOf([seeded(4), seeded(5)], 3))).toEqual([...normal(seeded(4), 3), ...normal(seeded(5), 3)]);
  });
});
