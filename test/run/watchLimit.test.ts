/** A run whose system cannot watch as many folders as its dataset has: the limit is a real one, of a user namespace. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { node } from '../resume/processes.ts';

/** Runs a command in a namespace in which three folders can be watched. */
const limited = ['unshare', '-Ur', 'sh', '-c', 'echo 3 > /proc/sys/user/max_inotify_watches && exec "$@"', 'sh'] as const;
const canLimit = process.platform === 'linux' && spawnSync(limited[0], [...limited.slice(1), 'true']).status === 0;

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-limit-'));
  for (const deep of ['a', 'b', 'c', 'd']) await mkdir(join(folder, 'points', deep), { recursive: true });
  await writeFile(join(folder, 'points', '1.txt'), '1 3');
});
afterAll(() => rm(folder, { recursive: true }));

const start = (env: Readonly<Record<string, string>> = {}) => {
  const [command, ...args] = [...limited, node, join(import.meta.dirname, 'linePipeline.ts'), '--data', join(folder, 'points'), '--out', join(folder, 'runs'), '--steps', '3', '--watch'] as [string, ...string[]];
  const child = spawn(command, args, { env: { ...process.env, MILLRACE_BACKEND: 'cpu', ...env } });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => { text += data.toString(); });
  const ended = new Promise<number | null>((resolve) => { child.on('close', resolve); });
  const said = async (words: string): Promise<void> => {
    for (let i = 0; i < 800 && !text.includes(words); i++) await new Promise((resolve) => { setTimeout(resolve, 25); });
    expect(text).toContain(words);
  };
  return { child, ended, said, text: () => text };
};

describe.runIf(canLimit)('where the system cannot watch so many folders', () => {
  it('a run in watch mode says which limit it is and how to raise it, and ends with status 1', async () => {
    const { ended, text } = start();
    expect(await ended).toBe(1);
    expect(text()).toContain(`error: ${join(folder, 'points')}: the system's limit of watched files (inotify) is reached; raise it with "sudo sysctl fs.inotify.max_user_watches=`);
  });

  it('the other way out that is named leads out', async () => {
    const { child, ended, said } = start({ CHOKIDAR_USEPOLLING: '1' });
    await said('waiting for changes');
    await writeFile(join(folder, 'points', '2.txt'), '2 6');
    await said('2 points, before 1');
    await said('training on after');
    child.kill('SIGTERM');
    expect(await ended).toBe(143);
  });
});
