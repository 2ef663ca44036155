import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { defer, lastValueFrom, throwError, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixtures } from '../../fixtures/index.ts';
import { compare } from '../../pipelines/compare.ts';
import { ddpm } from '../../pipelines/ddpm.ts';
import { flow } from '../../pipelines/flow.ts';
import { regression } from '../../pipelines/regression.ts';
import { type AnyMethod, methodOf } from '../../src/run/pipelineFiles.ts';
import { parseConfig } from '../../src/run/config.ts';
import { controlPanel } from '../../src/run/control.ts';
import { datasetsOnDisk } from '../../src/run/datasets.ts';
import type { Method, RunContext } from '../../src/run/method.ts';
import { type StagesConfig, pairsOf } from '../../src/run/stages.ts';
import { creditGate } from '../../src/streams/creditGate.ts';
import { mapTensors } from '../../src/streams/mapTensors.ts';
import { releaseFrames } from '../../src/streams/releaseFrames.ts';
import type { Pair } from '../../src/streams/frames.ts';
import type { Dataset } from '../../src/data/dataset.ts';
import { leakFree } from '../support.ts';
import { right } from '../run/support.ts';

let folder = '';
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'millrace-compare-')); });
afterAll(async () => { await rm(folder, { recursive: true, force: true }); });

const tiny = ['--data', fixtures.tiny.root, '--size', '16', '--batch', '2', '--set', 'network.base=8', '--set', 'network.multipliers=[1,2]', '--points', '2'];
type Written = Readonly<{
  sameBatches: number; commonBatches: number; pairs: string[]; budget: string;
  entries: { label: string; steps: number; seconds: number; folder: string; config: Record<string, unknown>; curve: { step: number; psnr: number }[]; results: { steps: number; scores: { PSNR: number }[] }[]; refused: { steps: number }[] }[];
  baselines: { label: string; scores: { PSNR: number }[] }[];
}>;

// Vitest's modules are not those that a path put together at run time leads to.
const known = { flow, ddpm, regression } as unknown as Readonly<Record<string, AnyMethod>>;
const load = async (name: string): Promise<AnyMethod> => known[name] ?? methodOf(name);

/** Runs a comparison and reads what it wrote. */
const run = async (...argv: readonly string[]): Promise<Readonly<{ written: Written; lines: string[]; html: string }>> => {
  const lines: string[] = [];
  const { folder: made = '', code } = await compare([...tiny, '--out', join(folder, 'runs'), ...argv], { report: { line: (text) => { lines.push(text); }, bar: () => {}, end: () => {} }, panel: controlPanel(), load });
  expect(code, lines.join('\n')).toBe(0);
  return { written: JSON.parse(await readFile(join(made, 'comparison.json'), 'utf8')) as Written, lines, html: await readFile(join(made, 'report.html'), 'utf8') };
};

/** The pixels of the first batches that a method is trained on. */
const batchesOf = async (method: Method<never, never>, seed: number, dataset: Dataset): Promise<string[]> => {
  const config = parseConfig(method.schema, ['--data', fixtures.tiny.root, '--size', '16', '--batch', '2', '--seed', `${seed}`, '--set', 'augment.rotate=20']);
  if (E.isLeft(config)) throw config.left;
  const gate = creditGate(2);
  const context = { dataset, start: 0, steps: 3, seed, strict: true, skippedFiles: { count: 0, add: () => {} } } as unknown as RunContext;
  const seen: Promise<string>[] = [];
  const read = mapTensors('read', (frame: Pair) => {
    seen.push(Promise.all([frame.source.clone().data(), frame.target.clone().data()]).then((values) => JSON.stringify([frame.ids, values.map((value) => [...value])])));
    return frame;
  });
  await lastValueFrom(defer(() => pairsOf(context, gate, config.right as unknown as StagesConfig)).pipe(read, releaseFrames(), gate.settle(), toArray()));
  return Promise.all(seen);
};

describe('compare', () => {
  it('trains methods on the same images, scores them on the same pairs, and writes a report', leakFree(async () => {
    const { written, lines, html } = await run('--methods', 'flow,regression', '--steps', '4', '--sweep', '1,2', '--set', 'flow.noise=0.2');
    expect(written.entries.map(({ label, steps, results }) => [label, steps, results.map((result) => result.steps)])).toEqual([['flow', 4, [1, 2]], ['regression', 4, [1]]]);
    expect(written.entries[1]?.refused.map(({ steps }) => steps)).toEqual([2]);
    expect([written.sameBatches, written.commonBatches]).toEqual([4, 4]);
    for (const { results, curve, seconds } of written.entries) {
      for (const { scores } of results) expect(scores.map(({ PSNR }) => Number.isFinite(PSNR))).toEqual(written.pairs.map(() => true));
      expect(curve.map(({ step }) => step)).toEqual([2, 4]);
      expect(seconds).toBeGreaterThan(0);
    }
    // A regression's only number of steps is its own, so the score on the way and the final one are of the same pictures.
    const mean = (scores: readonly { PSNR: number }[]): number => scores.reduce((sum, { PSNR }) => sum + PSNR, 0) / scores.length;
    expect(mean(written.entries[1]?.results[0]?.scores ?? [])).toBeCloseTo(written.entries[1]?.curve[1]?.psnr as number, 3);
    expect(written.baselines.map(({ label }) => label)).toEqual(['copy the source', 'mean target']);
    expect(lines).toContain('regression goes without --set flow.noise=0.2: it has no such key');
    expect(lines.at(-1)).toMatch(/^report {2}.*report\.html$/);
    expect(html).toContain('<!doctype html>');
    expect(await readdir(join(folder, 'runs'))).toEqual(expect.arrayContaining(['compare', 'flow', 'regression']));
  }), 300_000);

  it('compares variants of one method within a budget of seconds', async () => {
    const { written } = await run('--methods', 'regression', '--swap', 'l2=0,1', '--budget', '0.3s', '--sweep', '1');
    expect(written.entries.map(({ label, config }) => [label, (config['loss'] as { l2: number }).l2])).toEqual([['regression 0', 0], ['regression 1', 1]]);
    expect(written.budget).toBe('about 0.3s of training each');
    for (const { steps } of written.entries) expect(steps).toBeGreaterThan(0);
  }, 300_000);

  it('says what is wrong before anything is trained', async () => {
    await expect(run('--methods', 'flow,nothing')).rejects.toThrow('pipelines/nothing.ts: expected the file of a method');
    await expect(run('--methods', 'flow,../x')).rejects.toThrow('expected the name of a pipeline file');
    await expect(run('--methods', 'flow')).rejects.toThrow('at least two methods');
    await expect(run('--methods', 'ddpm', '--swap', 'data.size=16,24')).rejects.toThrow('data.size: expected the same in all that are compared but received 16 and 24');
  });
});

describe('a method that fails', () => {
  const broken = (change: Partial<AnyMethod>): AnyMethod => ({ ...flow as unknown as AnyMethod, name: 'broken', ...change });
  const compared = async (method: AnyMethod): Promise<Readonly<{ lines: string[]; folder: string | undefined; code: number }>> => {
    const lines: string[] = [];
    const report = { line: (text: string) => { lines.push(text); }, bar: () => {}, end: () => {} };
    return { lines, ...await compare([...tiny, '--out', join(folder, 'runs'), '--methods', 'regression,broken', '--steps', '2', '--sweep', '[1]'], {
      report, panel: controlPanel(), load: async (name) => (name === 'broken' ? method : load(name)) }).then(({ folder: made, code }) => ({ folder: made, code })) };
  };

  it('is told before anything is trained where its nets cannot be made', async () => {
    await expect(compared(broken({ nets: () => { throw new RangeError('expected a size of 32'); } }))).rejects.toThrow('broken: expected a size of 32');
  });

  it('is left out of the report where it fails under way', async () => {
    const { lines, folder: made = '', code } = await compared(broken({ train: () => throwError(() => new Error('out of luck')) }));
    expect(code).toBe(1);
    expect(lines.filter((line) => line.includes('broken failed and is left out: out of luck'))).toHaveLength(2);
    const { entries, failures } = JSON.parse(await readFile(join(made, 'comparison.json'), 'utf8')) as { entries: { label: string }[]; failures: { label: string; why: string }[] };
    expect(entries.map(({ label }) => label)).toEqual(['regression']);
    expect(failures).toEqual([{ label: 'broken', why: 'out of luck' }]);
    expect(await readFile(join(made, 'report.html'), 'utf8')).toContain('broken failed and is left out');
  }, 240_000);
});

describe('batches', () => {
  it('are a function of seed and step: methods with one seed see the same pixels', leakFree(async () => {
    const dataset = await right(datasetsOnDisk.open(fixtures.tiny.root));
    const [one, other, third] = [await batchesOf(flow as never, 3, dataset), await batchesOf(ddpm as never, 3, dataset), await batchesOf(flow as never, 4, dataset)];
    expect(one).toHaveLength(3);
    expect(one).toEqual(other);
    expect(one).not.toEqual(third);
  }));
});
