import { from, map } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { gaussianBlur } from '../../src/models/gaussianBlur.ts';
import { regenerate } from '../../src/operators/regenerate.ts';
import { smooth } from '../../src/operators/smooth.ts';
import { fold, normal, seeded } from '../../src/random.ts';
import type { Translate } from '../../src/run/method.ts';
import type { Batch, Pair } from '../../src/streams/frames.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree } from '../support.ts';
import { keepsTheContract } from './contract.ts';

const key = seeded(2);
const image = (name: string): tf.Tensor4D => tf.tensor4d(normal(fold(key, name), 2 * 6 * 6 * 3), [2, 6, 6, 3]);
const load = (batch: Batch): Pair => ({ ...batch, source: image('source'), target: image('target') });
const sourceAfter = async (operator: ReturnType<typeof smooth<Pair>>, step = 4): Promise<number[]> => {
  const found: Pair[] = [];
  from([batchAt(step, ['a', 'b'])]).pipe(map(load), operator).subscribe((frame) => { found.push(frame); });
  const frame = found[0]!;
  try { return [...await frame.source.data()]; } finally { tf.dispose(frame as unknown as tf.TensorContainer); }
};
const valuesOf = async (make: () => tf.Tensor): Promise<number[]> => {
  const made = tf.tidy(make);
  try { return [...await made.data()]; } finally { made.dispose(); }
};

describe('smooth', () => {
  keepsTheContract(() => smooth<Pair>({ of: 'target', sigma: [1, 2], key }), load);

  it.each(['source', 'target'] as const)('puts a blurred %s in the place of the source', (of) => leakFree(async () => {
    expect(await sourceAfter(smooth({ of, sigma: [1.5, 1.5], key }))).toEqual(await valuesOf(() => gaussianBlur(image(of), tf.tensor1d([1.5, 1.5]))));
  })());

  it('draws the width as a function of seed and step', leakFree(async () => {
    const made = (step: number, from = key): Promise<number[]> => sourceAfter(smooth({ of: 'source', sigma: [1, 3], key: from }), step);
    expect(await made(4)).toEqual(await made(4));
    expect(await made(4)).not.toEqual(await made(5));
    expect(await made(4)).not.toEqual(await made(4, seeded(3)));
  }));

  it.each([[[0, 1]], [[2, 1]], [[NaN, 1]]])('refuses widths of %j', (sigma) => {
    expect(() => smooth({ of: 'source', sigma: sigma as unknown as [number, number], key })).toThrow(/smooth: expected 0 < low <= high but received/);
  });
});

describe('regenerate', () => {
  const doubled: Translate = (source) => tf.mul(source, 2);
  keepsTheContract(() => regenerate<Pair>((source) => gaussianBlur(source, 1), { of: 'target', key }), load);

  it.each(['source', 'target'] as const)('puts what is made of the %s in the place of the source, within its range', (of) => leakFree(async () => {
    expect(await sourceAfter(regenerate(doubled, { of, key }))).toEqual(await valuesOf(() => tf.clipByValue(tf.mul(image(of), 2), -1, 1)));
  })());

  it('gives each image a key of its own, which follows from seed and step', leakFree(async () => {
    const keys: string[] = [];
    const notes: Translate = (source, { keys: given }) => { keys.push(...given.map((one) => one.join())); return tf.clone(source); };
    for (const step of [4, 4, 5]) await sourceAfter(regenerate(notes, { of: 'source', key }), step);
    expect(keys).toHaveLength(6);
    expect(keys.slice(0, 2)).toEqual(keys.slice(2, 4));
    expect(new Set(keys).size).toBe(4);
  }));
});
