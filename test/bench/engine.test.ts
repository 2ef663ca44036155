import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { main } from '../../bench/engine.ts';
import { enter } from '../../bench/engine/contestant.ts';
import { median } from '../../bench/engine/median.ts';

describe('median', () => {
  it('is the middle value', () => expect(median([3, 1, 2])).toBe(2));
  it('is the mean of the two in the middle', () => expect(median([4, 1, 2, 3])).toBe(2.5));
  it('needs a value', () => expect(() => median([])).toThrow(RangeError));
});

describe('enter', () => {
  const withScript = async <T>(text: string, use: (path: string) => Promise<T>): Promise<T> => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-bench-'));
    try {
      await writeFile(join(folder, 'script.mjs'), text);
      return await use(join(folder, 'script.mjs'));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };

  it('asks for steps and reads the answers, line by line', () => withScript(`
    import { createInterface } from 'node:readline';
    console.log(JSON.stringify({ batch: 4, parameters: { a: 1 }, version: process.env.SETTING }));
    for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify({ seconds: Array(Number(line)).fill(0.5), cpuSeconds: 1, loss: 2, peakBytes: 3 }));
  `, async (path) => {
    const contestant = await enter(process.execPath, [path], { SETTING: 'x' });
    expect(contestant.greeting).toEqual({ batch: 4, parameters: { a: 1 }, version: 'x' });
    expect((await contestant.lap(2)).seconds).toEqual([0.5, 0.5]);
    expect((await contestant.lap(1)).seconds).toEqual([0.5]);
    await contestant.leave();
  }));

  it('says what a contestant that ends early complained of', () => withScript('console.error("no torch here"); process.exit(3);', async (path) => {
    await expect(enter(process.execPath, [path])).rejects.toThrow(/no torch here/);
  }));
});

it('refuses what it cannot run', async () => {
  await expect(main(['resnet'])).rejects.toThrow('expected workloads among convstack, taesd, pix2pix, dit but received resnet');
  await expect(main(['--steps', '0'])).rejects.toThrow('expected --steps to be a positive integer but received 0');
});
