import { mkdir, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readStateDict } from '../../src/models/weights/safetensors.ts';
import { follow, isPartial, pointAt } from '../../src/run/atomic.ts';
import { type CheckpointState, type Manifest, isDiskFull, listCheckpoints, pruneCheckpoints, saveCheckpoint, setAsideAfter, sha256, verifyCheckpoint } from '../../src/run/checkpoint.ts';
import { planFiles } from '../../src/run/checkpointPlan.ts';
import { createRunFolder } from '../../src/run/runFolder.ts';
import { tinyDisk } from '../resume/tinyDisk.ts';
import { leakFree } from '../support.ts';
import { left, right, tinyNets, withNets, withRun } from './support.ts';

const state = (step: number): CheckpointState => ({ method: 'tiny', step, epoch: 1, seed: 7 });

describe('planFiles', () => {
  it('restores every variable exactly once, to its last value', leakFree(() => withNets(tinyNets(), async (nets) => {
    const restored = new Map<unknown, number>();
    for (const { pieces } of planFiles(nets)) for (const piece of pieces) if (piece.restored) restored.set(piece.variable, (restored.get(piece.variable) ?? 0) + piece.size);
    const owned = Object.values(nets).flatMap(({ variables }) => Object.values(variables));
    expect(restored.size).toBe(owned.length);
    for (const variable of owned) expect(restored.get(variable)).toBe(variable.size);
  })));

  it('refuses two resources that want one file', leakFree(() => withNets(tinyNets(), async ({ generator, replay }) => {
    expect(() => planFiles({ generator, 'generator.ema': replay })).toThrow('want the file generator.ema.safetensors');
  })));
});

describe('saveCheckpoint', () => {
  it('writes weights, EMA and slots under state-dict names and a manifest that holds', leakFree(withRun((run) => withNets(tinyNets(), async (nets) => {
    const path = await right(saveCheckpoint(run, nets, state(12)));
    expect(path).toBe(join(run.checkpoints, 'checkpoint-12'));
    expect((await readdir(path)).sort()).toEqual([
      'config.resolved.json', 'generator.ema.safetensors', 'generator.optimizer.safetensors', 'generator.safetensors', 'manifest.json', 'replay.safetensors', 'state.json',
    ]);
    const weights = await right(readStateDict(join(path, 'generator.safetensors')));
    expect(Object.fromEntries(Object.entries(weights).map(([name, { shape }]) => [name, shape]))).toEqual({
      'first.bias': [2], 'first.weight': [2, 3, 3, 3], gain: [1], 'last.bias': [3], 'last.weight': [3, 2, 1, 1],
    });
    const flat = await nets.generator.weights.data();
    const { offset, size } = nets.generator.layout.find(({ name }) => name === 'last.weight') as { offset: number; size: number };
    expect([...weights['last.weight']?.data ?? []]).toEqual([...flat.slice(offset, offset + size)]);
    expect(Object.keys(await right(readStateDict(join(path, 'generator.ema.safetensors')))).sort()).toEqual(Object.keys(weights).sort());
    expect(Object.keys(await right(readStateDict(join(path, 'generator.optimizer.safetensors')))).sort()).toEqual(['count', 'velocity.first.bias', 'velocity.first.weight', 'velocity.last.bias', 'velocity.last.weight']);
    const manifest = JSON.parse(await readFile(join(path, 'manifest.json'), 'utf8')) as Manifest;
    expect(Object.keys(manifest.files).sort()).toEqual((await readdir(path)).filter((name) => name !== 'manifest.json').sort());
    expect(manifest.files['state.json']?.sha256).toBe(await sha256(join(path, 'state.json')));
    expect((await right(verifyCheckpoint(path))).state).toEqual(state(12));
    expect((await readdir(run.checkpoints)).some(isPartial)).toBe(false);
  }))));

  it('gives equal bytes for equal variables', withRun((run) => withNets(tinyNets(), async (nets) => {
    const one = await right(saveCheckpoint(run, nets, state(1)));
    const files = await readdir(one);
    const before = await Promise.all(files.map((name) => sha256(join(one, name))));
    const again = await right(saveCheckpoint(run, nets, state(1)));
    expect(await Promise.all(files.map((name) => sha256(join(again, name))))).toEqual(before);
    expect(await readdir(run.checkpoints)).toEqual(['checkpoint-1']);
  })));

  it('names a variable whose integers float32 cannot hold', withRun((run) => withNets(tinyNets(2 ** 24 + 1), async (nets) => {
    expect((await left(saveCheckpoint(run, nets, state(1)))).message).toContain('variable filled: expected integers within 2^24 but received 16777217');
    expect(await readdir(run.checkpoints)).toEqual([]);
  })));
});

describe('verifyCheckpoint', () => {
  const broken = (name: string, breakIt: (path: string) => Promise<void>, message: RegExp): void => {
    it(`says what is wrong: ${name}`, withRun((run) => withNets(tinyNets(), async (nets) => {
      const path = await right(saveCheckpoint(run, nets, state(3)));
      await breakIt(path);
      const error = await left(verifyCheckpoint(path));
      expect(error.message).toMatch(message);
      expect(error.message).toContain(path);
    })));
  };
  broken('a missing file', (path) => rm(join(path, 'generator.safetensors')), /generator\.safetensors is missing/);
  broken('a truncated file', (path) => truncate(join(path, 'generator.safetensors'), 100), /generator\.safetensors: expected \d+ bytes but found 100/);
  broken('a flipped bit', async (path) => {
    const bytes = await readFile(join(path, 'generator.ema.safetensors'));
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) ^ 1;
    await writeFile(join(path, 'generator.ema.safetensors'), bytes);
  }, /generator\.ema\.safetensors: its bytes changed since it was written/);
  broken('no manifest', (path) => rm(join(path, 'manifest.json')), /manifest\.json is missing: it was never finished/);
  broken('a torn manifest', (path) => truncate(join(path, 'manifest.json'), 20), /expected JSON/);
  broken('another format', (path) => writeFile(join(path, 'manifest.json'), '{"format": 2}'), /expected a manifest of format 1/);
  broken('a manifest of another checkpoint', async (path) => {
    const manifest = JSON.parse(await readFile(join(path, 'manifest.json'), 'utf8')) as Manifest;
    await writeFile(join(path, 'manifest.json'), JSON.stringify({ ...manifest, step: 4 }));
  }, /state\.json speaks of step 3 but the manifest of 4/);
});

describe('listCheckpoints and pruneCheckpoints', () => {
  it('keeps the newest and the spared, by number and not by name', withRun(async (run) => {
    for (const name of ['checkpoint-5', 'checkpoint-10', 'checkpoint-100', 'checkpoint-20', 'best', '.checkpoint-7.1-0.partial', 'checkpoint-x']) await mkdir(join(run.checkpoints, name));
    expect((await listCheckpoints(run.checkpoints)).map(({ step }) => step)).toEqual([100, 20, 10, 5]);
    await pruneCheckpoints(run.checkpoints, 2, [5]);
    expect((await listCheckpoints(run.checkpoints)).map(({ step }) => step)).toEqual([100, 20, 5]);
    expect(await listCheckpoints(join(run.checkpoints, 'missing'))).toEqual([]);
  }));
});

describe('a full disk', () => {
  it('is named, and leaves the earlier checkpoint intact', async (context) => {
    const disk = await tinyDisk('128k');
    if (typeof disk === 'string') return context.skip(disk);
    try {
      const run = await right(createRunFolder({ root: disk.path, method: 'tiny', config: {}, env: {} }));
      await withNets(tinyNets(), async (nets) => {
        await right(saveCheckpoint(run, nets, state(1)));
        await writeFile(join(disk.path, 'filler'), Buffer.alloc(128 * 1024)).catch(() => undefined);
        const error = await left(saveCheckpoint(run, nets, state(2)));
        expect(error.message).toMatch(/checkpoint-2: the disk is full: expected room for [\d.]+ kB but found [\d.]+ kB \(intact: checkpoint-1\)/);
        expect(isDiskFull(error)).toBe(true);
        expect(await readdir(run.checkpoints)).toEqual(['checkpoint-1']);
        await right(verifyCheckpoint(join(run.checkpoints, 'checkpoint-1')));
        expect((await run.metrics.append({ step: 1, loss: 0.5, pad: 'x'.repeat(10_000) }))?.code).toBe('ENOSPC');
        expect(await readFile(run.metrics.path, 'utf8')).toBe('');
        await rm(join(disk.path, 'filler'));
        expect(await run.metrics.append({ step: 2, loss: 0.25 })).toBeUndefined();
        expect((await readFile(run.metrics.path, 'utf8')).split('\n').map((line) => line.length)).toEqual([10_030, 22, 0]);
        await right(saveCheckpoint(run, nets, state(2)));
      });
    } finally {
      await disk.remove();
    }
  });
});

describe('setAsideAfter', () => {
  const made = async (folder: string): Promise<string[]> => (await readdir(folder)).filter((name) => !name.startsWith('.')).sort();

  it('leaves nothing of another course under a name that is looked for, and loses nothing', leakFree(withRun((run) => withNets(tinyNets(), async (nets) => {
    for (const step of [2, 4, 6]) await right(saveCheckpoint(run, nets, state(step)));
    const links = async (): Promise<string[]> => Promise.all(['latest', 'best'].map(async (name) => basename(await follow(join(run.checkpoints, name)))));
    await pointAt(join(run.checkpoints, 'latest'), join(run.checkpoints, 'checkpoint-6'));
    await pointAt(join(run.checkpoints, 'best'), join(run.checkpoints, 'checkpoint-6'));
    expect(await setAsideAfter(run.checkpoints, { step: 6 })).toEqual([]);
    expect(await links()).toEqual(['checkpoint-6', 'checkpoint-6']);
    expect(await setAsideAfter(run.checkpoints, { step: 4, best: { step: 2, psnr: 20 } })).toEqual(['checkpoint-6.aside']);
    expect(await links()).toEqual(['checkpoint-4', 'checkpoint-2']);
    await right(saveCheckpoint(run, nets, state(6)));
    expect(await setAsideAfter(run.checkpoints, { step: 2 })).toEqual(['checkpoint-6.aside-2', 'checkpoint-4.aside']);
    expect(await made(run.checkpoints)).toEqual(['checkpoint-2', 'checkpoint-4.aside', 'checkpoint-6.aside', 'checkpoint-6.aside-2', 'latest']);
    await right(verifyCheckpoint(join(run.checkpoints, 'checkpoint-6.aside')));
    expect((await listCheckpoints(run.checkpoints)).map(({ step }) => step)).toEqual([2]);
  }))));
});
