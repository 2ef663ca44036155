/**
 * Real processes, killed. Two kills by default; the long suite is `MILLRACE_KILLS=20 npm test -- test/resume` (any number; half of them hit a checkpoint
 * while it is being written).
 */
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isPartial } from '../../src/run/atomic.ts';
import { listCheckpoints, verifyCheckpoint } from '../../src/run/checkpoint.ts';
import { right } from '../run/support.ts';
import { type Ended, remains, runIn, steps, train } from './processes.ts';

const kills = Number(process.env['MILLRACE_KILLS'] ?? 2);
const between = (low: number, high: number): number => low + Math.floor(Math.random() * (high - low + 1));

const startOf = ({ lines }: Ended): number => Number(lines.find((line) => line.startsWith('start '))?.slice(6));
const checkpointsOf = async (root: string): Promise<string> => join(await runIn(root), 'checkpoints');

/** Kills a little after a step that is drawn by chance. */
const killAtRandom = (root: string): Promise<Ended> => {
  const [at, delay] = [between(1, 12), between(0, 30)];
  let seen = 0;
  return train(root, { watch: (line, child) => { if (line.startsWith('step') && ++seen === at) setTimeout(() => child.kill('SIGKILL'), delay); } });
};

/** Kills while a checkpoint is being written: its hidden folder is there, its name is not. */
const killWhileWriting = async (root: string): Promise<Ended> => {
  const delay = between(0, 100);
  let looking: NodeJS.Timeout | undefined;
  const ended = await train(root, { slow: true, watch: (line, child) => {
    if (looking || !line.startsWith('start ')) return;
    const folder = checkpointsOf(root);
    looking = setInterval(() => {
      void folder.then((path) => {
        if (existsSync(path) && readdirSync(path).some((name) => isPartial(name) && name.startsWith('.checkpoint-'))) {
          clearInterval(looking);
          setTimeout(() => child.kill('SIGKILL'), delay);
        }
      });
    }, 1);
  } });
  clearInterval(looking);
  return ended;
};

describe('a run that is killed and resumed', () => {
  let home: string;
  let whole: Record<string, string>;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'millrace-kill-'));
    const ended = await train(join(home, 'whole'));
    expect(ended, ended.errors).toMatchObject({ code: 0 });
    whole = await remains(join(home, 'whole', 'tiny'));
    expect(Object.keys(whole)).toEqual(expect.arrayContaining(['metrics.jsonl', 'dropped.jsonl', 'validation.json', join('samples', 'latest.png'), join('checkpoints', `checkpoint-${steps}`, 'memory.safetensors')]));
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

  it.each(Array.from({ length: Math.ceil(kills / 2) }, (_, i) => i))('leaves what an unbroken one leaves, byte for byte (%d)', async (i) => {
    const root = join(home, `broken-${i}`);
    for (const kill of [killAtRandom, killWhileWriting]) {
      const killed = await kill(root);
      expect(killed, killed.errors).toMatchObject({ signal: 'SIGKILL' });
      const folder = await checkpointsOf(root);
      const partial = readdirSync(folder).filter(isPartial).filter((name) => name.startsWith('.checkpoint-'));
      if (kill === killWhileWriting) expect(partial).toHaveLength(1);
      // Whatever has its real name is whole.
      for (const { path } of await listCheckpoints(folder)) await right(verifyCheckpoint(path));
    }
    const newest = (await listCheckpoints(await checkpointsOf(root)))[0]?.step ?? 0;
    const ended = await train(root);
    expect(ended, ended.errors).toMatchObject({ code: 0 });
    expect(startOf(ended)).toBe(newest);
    expect(ended.lines.filter((line) => line.startsWith('broken'))).toEqual([]);
    expect(await remains(join(root, 'tiny'))).toEqual(whole);
    expect(readdirSync(await checkpointsOf(root)).filter(isPartial)).toEqual([]);
    await rm(root, { recursive: true });
  }, 120_000);

  it('is left as it is when it was through already', async () => {
    const root = join(home, 'whole');
    const id = basename(await runIn(root));
    const again = await train(root);
    expect(again).toMatchObject({ code: 0, lines: [`start ${steps}`, 'done'] });
    expect(basename(await runIn(root))).toBe(id);
    expect(await remains(join(root, 'tiny'))).toEqual(whole);
  });
});
