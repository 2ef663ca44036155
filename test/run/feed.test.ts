/** How a run is fed from real files by real threads: what it says it waited for, and what it decodes. */
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { map, pipe } from 'rxjs';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { PairFile } from '../../src/data/dataset.ts';
import type { DecodePool, PoolOptions } from '../../src/data/decodePool.ts';
import type { KeptPools } from '../../src/data/keptPools.ts';
import { scanDataset } from '../../src/data/scan.ts';
import { weighted } from '../../src/losses/objective.ts';
import { backward } from '../../src/operators/backward.ts';
import { report } from '../../src/operators/report.ts';
import { sgd } from '../../src/optim/sgd.ts';
import { controlPanel } from '../../src/run/control.ts';
import { datasetsOnDisk } from '../../src/run/datasets.ts';
import type { Method } from '../../src/run/method.ts';
import { augmentOptions, dataOptions, feedOptions, seedOption, stepsOption, trackOptions } from '../../src/run/options.ts';
import { runMethod } from '../../src/run/runPipeline.ts';
import { pairsOf } from '../../src/run/stages.ts';
import type { Summary } from '../../src/run/summary.ts';
import type { Pair } from '../../src/streams/frames.ts';
import { release } from '../../src/streams/mapTensors.ts';
import { settle } from '../../src/streams/settle.ts';
import { type Line, type Point, halfMse, makeLine, point } from '../operators/line.ts';
import { leakFree } from '../support.ts';
import { right } from './support.ts';

const schema = z.object({
  data: dataOptions({ root: '', size: 256, batch: 2 }),
  feed: feedOptions({ credits: 3, workers: 2, cache: '64MB' }),
  augment: augmentOptions({ shift: 0, rotate: 0, crop: 1, flip: 0, hue: 0, saturation: 0 }),
  track: trackOptions({ halfLife: 1, logEvery: 100, sampleEvery: 100, validateEvery: 100, saveEvery: 100, keep: 1 }),
  steps: stepsOption(12),
  seed: seedOption(0),
});
type Config = z.output<typeof schema>;

/** Pools of the runs, each as it was when the run began to use it. */
const pools: DecodePool[] = [];

/** Looks at the images and trains next to nothing. */
const idle: Method<Config, { line: Line }> = {
  name: 'idle', summary: 'waits for images', schema,
  nets: () => ({ line: makeLine({ optimizer: sgd({}), lr: () => 0.05 }) }),
  train: (config, run, { line }) => {
    const gate = run.gate(config.feed.credits);
    const decoders = (options: PoolOptions): DecodePool => { const pool = (run.decoders as KeptPools['open'])(options); pools.push(pool); return pool; };
    const look = map((frame: Pair): Point => { release(frame); const { step, epoch, ids } = frame; return point({ step, epoch, ids }); });
    const learn = pipe(look, backward(line, (net, { x }: Point) => ({ out: net(x) }), weighted({ error: [1, halfMse] })), settle());
    return pairsOf({ ...run, decoders }, gate, config).pipe(gate.stage('engine', learn), gate.stage('disk', report(run, gate, { every: 100 })), gate.settle());
  },
  translate: () => (source) => source,
  multipleOf: () => 1,
};

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-bottleneck-'));
  const bytes = 1024 * 1024 * 3;
  const noise = Uint8Array.from({ length: bytes + 8 }, (_, at) => Math.imul(at, 2_654_435_761) >>> 24);
  for (const [k, side] of ['source', 'target'].entries()) {
    await mkdir(join(folder, 'pairs', side), { recursive: true });
    for (let i = 0; i < 4; i++) {
      const from = 2 * i + k;
      await writeFile(join(folder, 'pairs', side, `${i}.jpg`), await sharp(noise.subarray(from, from + bytes), { raw: { width: 1024, height: 1024, channels: 3 } }).jpeg().toBuffer());
    }
  }
});
afterAll(() => rm(folder, { recursive: true }));

const run = async (out: string, ...flags: string[]): Promise<Readonly<{ summary: Summary; bar: string; lines: string[] }>> => {
  const lines: string[] = [];
  let bar = '';
  const surroundings = { datasets: datasetsOnDisk, report: { line: (text: string) => { lines.push(text); }, bar: (text: string) => { bar = text; }, end: () => {} }, panel: controlPanel(), script: 'idle.ts' };
  expect(await runMethod(idle, ['--data', join(folder, 'pairs'), '--out', join(folder, out), ...flags], surroundings)).toBe(0);
  const [id = ''] = (await readdir(join(folder, out, 'idle'))).filter((name) => name !== 'latest');
  return { summary: JSON.parse(await readFile(join(folder, out, 'idle', id, 'summary.json'), 'utf8')) as Summary, bar, lines };
};

describe('a run that waits for its images', () => {
  it('says so: for decoding, where every image is decoded anew', leakFree(async () => {
    const { summary, bar, lines } = await run('decode', '--set', 'feed.cache=off', '--set', 'augment.rotate=1');
    expect(summary).toMatchObject({ bottleneck: 'decode', maxInFlight: 3, steps: 12 });
    expect(summary.engineBusy).toBeLessThan(0.9);
    expect(bar).toContain('busy, waits for decode');
    expect(lines.join('\n')).toContain('(waited for decode)');
  }));

  it('says so: for augmentation, where images are large, turned and in the cache', leakFree(async () => {
    const { summary, bar, lines } = await run('augment', '--size', '512', '--steps', '16', '--set', 'augment.rotate=45');
    expect(summary).toMatchObject({ bottleneck: 'augment', maxInFlight: 3, steps: 16 });
    expect(summary.engineBusy).toBeLessThan(0.9);
    expect(bar).toContain('busy, waits for augment');
    expect(lines.join('\n')).toContain('(waited for augment)');
  }));
});

describe('a run in watch mode', () => {
  it('decodes after a change what is different, and nothing else', leakFree(async () => {
    const watched = join(folder, 'watched');
    await cp(join(folder, 'pairs'), watched, { recursive: true });
    const panel = controlPanel();
    const lines: string[] = [];
    const said = async (text: string, times: number): Promise<void> => {
      for (let i = 0; i < 400 && lines.filter((line) => line.includes(text)).length < times; i++) await new Promise((resolve) => { setTimeout(resolve, 25); });
      expect(lines.filter((line) => line.includes(text)), lines.join('\n')).toHaveLength(times);
    };
    const report = { line: (text: string) => { lines.push(text); }, bar: () => {}, end: () => {} };
    pools.length = 0;
    const code = runMethod(idle, ['--data', watched, '--out', join(folder, 'watch'), '--watch', '--size', '32', '--steps', '4'], { datasets: datasetsOnDisk, report, panel, script: 'idle.ts', quiet: 60 });
    await said('waiting for changes', 1);
    // Three pairs are trained on: one is held out.
    const first = (pools[0] as DecodePool).stats;
    expect(first).toMatchObject({ misses: 6 });
    const { train } = await right(scanDataset(watched));
    // The source, since what is held out is chosen by the targets.
    const changed = (train[0] as PairFile).source.file;
    await writeFile(changed, await sharp(changed).negate().jpeg().toBuffer());
    await said('waiting for changes', 2);
    expect(lines.join('\n')).toContain(`changed 1 file: source/${basename(changed)}`);
    const second = (pools[1] as DecodePool).stats;
    expect(second.misses - first.misses).toBe(1);
    expect(second.hits - first.hits).toBeGreaterThan(10);
    panel.requestStop();
    expect(await code).toBe(0);
  }));
});
