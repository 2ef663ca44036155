import { describe, expect, it } from 'vitest';
import { zeroCentred } from '../../src/losses/penalties.ts';
import { type AdaMultipliers, adaAugment, adaOver, adaSets, warped } from '../../src/models/ada.ts';
import { fold, normal, seeded, uniform } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';
import { differsFromDifferences, image } from '../losses/differences.ts';
import { leakFree } from '../support.ts';

const key = seeded(8);
const only = (changes: Partial<AdaMultipliers>): AdaMultipliers => ({ ...Object.fromEntries(Object.keys(adaSets.bgc).map((name) => [name, 0])) as AdaMultipliers, ...changes });
const run = async (x: () => tf.Tensor4D, multipliers: AdaMultipliers, p = 1, options: { coloured?: 0 | 3 } = {}): Promise<{ before: Float32Array; after: Float32Array }> => {
  const [before, after] = tf.tidy(() => { const given = x(); return [given, adaAugment(given, multipliers, tf.scalar(p), key, options)]; });
  const values = { before: await before.data() as Float32Array, after: await after.data() as Float32Array };
  tf.dispose([before, after]);
  return values;
};
const near = (a: ArrayLike<number>, b: ArrayLike<number>): boolean => Array.from(a).every((x, i) => Math.abs(x - b[i]!) < 1e-4);

describe('adaAugment', () => {
  it('changes nothing at p = 0', leakFree(async () => {
    const { before, after } = await run(() => image(1, [4, 8, 8, 3]), { ...adaSets.bgc, noise: 1, cutout: 1 }, 0);
    expect(near(after, before)).toBe(true);
  }));

  it('changes as many images as p says', leakFree(async () => {
    const { before, after } = await run(() => image(1, [400, 2, 2, 3]), only({ brightness: 1 }), 0.3);
    const changed = Array.from({ length: 400 }, (_, i) => after[i * 12] !== before[i * 12]).filter(Boolean).length / 400;
    expect(Math.abs(changed - 0.3)).toBeLessThan(4 * Math.sqrt(0.3 * 0.7 / 400));
  }));

  it('flips and turns exactly', leakFree(async () => {
    const size = 5;
    const at = (values: ArrayLike<number>, i: number, y: number, x: number): number => values[(i * size + y) * size + x]!;
    const flips = await run(() => image(2, [20, size, size, 1]), only({ flip: 1 }), 1, { coloured: 0 });
    const turns = await run(() => image(2, [40, size, size, 1]), only({ rotate90: 1 }), 1, { coloured: 0 });
    const equal = (values: typeof turns, i: number, from: (y: number, x: number) => [number, number]): boolean =>
      Array.from({ length: size * size }, (_, j) => [Math.floor(j / size), j % size] as const).every(([y, x]) => Math.abs(at(values.after, i, y, x) - at(values.before, i, ...from(y, x))) < 1e-4);
    const last = size - 1;
    const flipped = Array.from({ length: 20 }, (_, i) => [equal(flips, i, (y, x) => [y, x]), equal(flips, i, (y, x) => [y, last - x])]);
    expect(flipped.every(([a, b]) => a !== b)).toBe(true);
    expect(new Set(flipped.map(([a]) => a)).size).toBe(2);
    const turned = Array.from({ length: 40 }, (_, i) => [equal(turns, i, (y, x) => [y, x]), equal(turns, i, (y, x) => [x, last - y]), equal(turns, i, (y, x) => [last - y, last - x]), equal(turns, i, (y, x) => [last - x, y])].indexOf(true));
    expect(new Set(turned)).toEqual(new Set([0, 1, 2, 3]));
  }));

  it('shifts by whole pixels and continues by reflection', leakFree(async () => {
    const [b, n] = [12, 16];
    const { before, after } = await run(() => image(3, [b, n, n, 1]), only({ shift: 1 }), 1, { coloured: 0 });
    const by = (axis: string): number[] => Array.from(uniform(fold(key, `shift ${axis}`, 'draw'), b), (u) => Math.round((2 * u - 1) * 0.125 * n));
    const fold2 = (i: number): number => { const around = ((i % (2 * n - 2)) + 2 * n - 2) % (2 * n - 2); return Math.min(around, 2 * n - 2 - around); };
    const expected = Array.from({ length: b * n * n }, (_, j) => {
      const [i, y, x] = [Math.floor(j / n / n), Math.floor(j / n) % n, j % n];
      return before[(i * n + fold2(y - by('y')[i]!)) * n + fold2(x - by('x')[i]!)]!;
    });
    expect(near(after, expected)).toBe(true);
  }));

  it('scales, turns and stretches about the middle by its draws', leakFree(async () => {
    // The picture is its own coordinates, on which bilinear reading is exact where it does not reflect.
    const n = 9;
    const coordinates = (): tf.Tensor4D => tf.tensor4d(Float32Array.from({ length: 6 * n * n * 2 }, (_, i) => (i % 2 === 0 ? Math.floor(i / 2) % n : Math.floor(i / 2 / n) % n) - 4), [6, n, n, 2]);
    const { after } = await run(coordinates, only({ scale: 1, rotate: 1, stretch: 1 }), 1, { coloured: 0 });
    const [scale, stretch] = [normal(fold(key, 'scale', 'draw'), 6), normal(fold(key, 'stretch', 'draw'), 6)];
    const angles = ['before', 'after'].map((when) => uniform(fold(key, `rotate ${when}`, 'draw'), 6).map((u) => (2 * u - 1) * Math.PI));
    for (let i = 0; i < 6; i++) {
      // One pixel right of the middle.
      const [s, t, a, b] = [2 ** (-0.2 * scale[i]!), 2 ** (-0.2 * stretch[i]!), angles[0]![i]!, angles[1]![i]!];
      const [x1, y1] = [Math.cos(b) * t, Math.sin(b) / t];
      const expected = [s * (Math.cos(a) * x1 - Math.sin(a) * y1), s * (Math.sin(a) * x1 + Math.cos(a) * y1)];
      expect(after[((i * n + 4) * n + 5) * 2]).toBeCloseTo(expected[0]!, 4);
      expect(after[((i * n + 4) * n + 5) * 2 + 1]).toBeCloseTo(expected[1]!, 4);
    }
  }));

  it('recolours by matrices about the grey axis', leakFree(async () => {
    const { before, after } = await run(() => image(4, [3, 1, 1, 3]), only({ hue: 1, saturation: 1, brightness: 1, contrast: 1 }), 1);
    const of = (name: string): { u: Float32Array; n: Float32Array } => ({ u: uniform(fold(key, name, 'draw'), 3), n: normal(fold(key, name, 'draw'), 3) });
    for (let i = 0; i < 3; i++) {
      const contrast = 2 ** (0.5 * of('contrast').n[i]!);
      const angle = (2 * of('hue').u[i]! - 1) * Math.PI;
      const saturation = 2 ** of('saturation').n[i]!;
      const rgb = Array.from(before.slice(3 * i, 3 * i + 3), (x) => (x + 0.2 * of('brightness').n[i]!) * contrast);
      const grey = rgb.reduce((a, b) => a + b) / 3;
      // Rodrigues' formula about (1, 1, 1) / sqrt(3).
      const [r, g, b] = rgb.map((x) => x - grey) as [number, number, number];
      const across = [b - g, r - b, g - r].map((x) => x / Math.sqrt(3));
      [r, g, b].forEach((x, c) => { expect(after[3 * i + c]).toBeCloseTo(grey + saturation * (Math.cos(angle) * x + Math.sin(angle) * across[c]!), 4); });
    }
  }));

  it('leaves the condition\'s colours alone, and shares geometry', leakFree(async () => {
    const { before, after } = await run(() => { const x = image(5, [3, 8, 8, 3]); return tf.concat([x, x], 3); }, adaSets.bgc, 1, { coloured: 0 });
    expect(near(after, before)).toBe(false);
    expect(after.every((x, i) => i % 6 < 3 || x === after[i - 3])).toBe(true);
    const colours = await run(() => { const x = image(5, [3, 8, 8, 3]); return tf.concat([x, x], 3); }, only({ lumaFlip: 1, hue: 1 }), 1);
    expect(near(colours.after.filter((_, i) => i % 6 < 3), colours.before.filter((_, i) => i % 6 < 3))).toBe(true);
    expect(near(colours.after, colours.before)).toBe(false);
  }));

  it('can be differentiated, and twice', leakFree(async () => {
    const all = { ...adaSets.bgc, noise: 1, cutout: 1 };
    expect(await differsFromDifferences((x) => tf.sum(tf.square(adaAugment(x as tf.Tensor4D, all, tf.scalar(0.8), key))), image(6, [2, 6, 6, 3]))).toBeLessThan(2e-3);
    expect(await differsFromDifferences((w) => zeroCentred((x) => tf.mul(tf.square(adaAugment(x, all, tf.scalar(0.8), key)), w), image(6, [2, 6, 6, 3])), tf.tensor1d([0.3, -0.4, 0.5]))).toBeLessThan(2e-3);
  }));

  it('follows a course of p, as a tensor, and is left out where there is none', leakFree(async () => {
    const augment = adaOver(only({ flip: 1 }), (step) => step);
    const changed = async (step: number): Promise<boolean> => {
      const [before, after] = tf.tidy(() => { const x = image(1, [8, 8, 8, 3]); return [x, augment?.(x, key, step) as tf.Tensor4D]; }) as [tf.Tensor4D, tf.Tensor4D];
      const differs = !near(await before.data(), await after.data());
      tf.dispose([before, after]);
      return differs;
    };
    expect([await changed(0), await changed(1)]).toEqual([false, true]);
    expect(adaOver(adaSets.r3gan, undefined)).toBeUndefined();
  }));

  it('says what it cannot do', () => {
    expect(() => tf.tidy(() => adaAugment(tf.zeros([1, 4, 6, 3]), adaSets.b, tf.scalar(0), key))).toThrow('adaAugment: expected square images for quarter turns but received 6 x 4');
    expect(() => tf.tidy(() => adaAugment(tf.zeros([1, 4, 4, 1]), adaSets.bgc, tf.scalar(0), key))).toThrow('adaAugment: expected coloured to be 0 or 3 of 1 channels but received 3');
  });
});

describe('warped', () => {
  it('reads between pixels', leakFree(async () => {
    const y = tf.tidy(() => warped(tf.tensor4d([0, 1, 2, 3], [1, 1, 4, 1]), tf.tensor3d([1, 0, 0.25, 0, 1, 0, 0, 0, 1], [1, 3, 3])));
    expect(near(await y.data(), [0.25, 1.25, 2.25, 2.75])).toBe(true);
    y.dispose();
  }));
});
