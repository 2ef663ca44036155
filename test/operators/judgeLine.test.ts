import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { from, lastValueFrom, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { identity } from '../../src/models/codec.ts';
import { latentVelocity, lineAutoencoder } from '../../src/models/lineAutoencoder.ts';
import { makeNet } from '../../src/models/net.ts';
import { judgeLine } from '../../src/operators/judgeLine.ts';
import { fold, seeded } from '../../src/random.ts';
import type { RunContext, Translate } from '../../src/run/method.ts';
import type { RunFolder } from '../../src/run/runFolder.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { madeUp } from '../run/heldOut.ts';
import { withRun } from '../run/support.ts';
import { leakFree, marbles } from '../support.ts';
import { letsPass, settled } from './plain.ts';

const size = 16;
const autoencoder = lineAutoencoder('line', { channels: 3, size, base: 4, strides: 2, latent: 2 });
const make = () => Object.fromEntries(['plain', 'line', 'shuffled'].flatMap((name) => [
  [name, makeNet(autoencoder, { key: fold(seeded(1), name) })], [`${name}Flow`, makeNet(latentVelocity(name, { channels: 2, width: 4 }), { key: fold(seeded(2), name) })],
])) as unknown as Record<'plain' | 'line' | 'shuffled', ReturnType<typeof makeNet<[tf.Tensor4D], tf.Tensor4D>>> & Record<'plainFlow' | 'lineFlow' | 'shuffledFlow', ReturnType<typeof makeNet<[tf.Tensor4D, tf.Tensor1D], tf.Tensor4D>>>;
const context = (folder: RunFolder, steps: number) => {
  const lines: string[] = [];
  return { folder, steps, seed: 7, lines, strict: false, dataset: {} as RunContext['dataset'], skippedFiles: {} as RunContext['skippedFiles'], report: { line: (text: string) => { lines.push(text); }, bar: () => {} } };
};
const half: Translate = (source) => tf.mul(source, 0.8);

describe('judgeLine', () => {
  let nets: ReturnType<typeof make>;
  beforeAll(() => { nets = make(); });
  afterAll(() => { free(nets); });
  const judge = (run: ReturnType<typeof context>, count: number) => judgeLine<ReturnType<typeof settled>>(run, size, {
    plain: { net: nets.plain, flow: nets.plainFlow, autoencoder }, line: { net: nets.line, flow: nets.lineFlow, autoencoder }, shuffled: { net: nets.shuffled, flow: nets.shuffledFlow, autoencoder, shuffled: true }, direct: half,
  }, { kind: 'shift', codec: identity, data: { unseen: madeUp(count, size), seen: madeUp(3, size) } });

  letsPass(() => judge(context({} as RunFolder, 1000), 2));

  it('waits for the last step', marbles(({ cold, expectObservable }) => {
    const values = { a: settled(0), b: settled(1) };
    expectObservable(cold('-a-b-|', values).pipe(judge(context({} as RunFolder, 3), 2))).toBe('-a-b-|', values);
  }));

  it('then says its verdict and writes it down', leakFree(() => withRun(async (folder) => {
    const run = context(folder, 2);
    const frames = await lastValueFrom(from([settled(0), settled(1)]).pipe(judge(run, 4), toArray()));
    expect(frames).toEqual([settled(0), settled(1)]);
    expect(run.lines[0]).toBe('straight line (shift), on 4 held-out pairs: it does not work');
    const written = JSON.parse(await readFile(join(folder.path, 'verdict.json'), 'utf8')) as Record<string, unknown> & { criteria: unknown[]; direct: unknown };
    expect(written).toMatchObject({ works: false, worthKeeping: false, kind: 'shift', step: 2, pairs: 4 });
    expect(written.criteria).toHaveLength(4);
    // The stand-in for direct regression knows the answer.
    expect(written.direct === 'Infinity' || (written.direct as number) > 100).toBe(true);
    expect(Object.keys(written)).toEqual(expect.arrayContaining(['plain', 'line', 'shuffled', 'lineOnTrainingPairs', 'explained', 'reading']));
  })()));

  it('says so when there are too few pairs', leakFree(() => withRun(async (folder) => {
    const run = context(folder, 1);
    await lastValueFrom(from([settled(0)]).pipe(judge(run, 1)));
    expect(run.lines).toEqual(['there are fewer than two pairs to judge the straight line on']);
  })()));
});
