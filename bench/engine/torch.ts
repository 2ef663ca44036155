/** The PyTorch twin, in whichever of the fair settings is fastest here. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Contestant, enter } from './contestant.ts';
import { median } from './median.ts';

const python = '/usr/bin/python3';
const script = fileURLToPath(new URL('../twins/twin.py', import.meta.url));
const openMpBlas = '/usr/lib/x86_64-linux-gnu/openblas-openmp';

/** Debian's PyTorch and OpenBLAS each keep a pool of threads, which may spin against each other; these are the ways out. */
const settings: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  default: {},
  passive: { OMP_WAIT_POLICY: 'PASSIVE' },
  ...(existsSync(openMpBlas) && { openmp: { LD_LIBRARY_PATH: openMpBlas } }),
};

/** Why there is no twin on this machine, or nothing when there is one. */
export const torchMissing = (): string | undefined => {
  if (!existsSync(python)) return `no ${python}`;
  const { status } = spawnSync(python, ['-c', 'import torch'], { stdio: 'ignore' });
  return status === 0 ? undefined : `${python} has no torch (apt-get install python3-torch)`;
};

/** Enters the twin in its fastest setting: `warmUp` steps, then the median of three, in each. */
export const enterTorch = async (workload: string, threads: number, warmUp: number): Promise<Contestant & Readonly<{ setting: string }>> => {
  const tried: { setting: string; seconds: number; contestant: Contestant }[] = [];
  for (const [setting, env] of Object.entries(settings)) {
    const contestant = await enter(python, [script, workload, '--threads', `${threads}`], env);
    await contestant.lap(warmUp);
    tried.push({ setting, seconds: median((await contestant.lap(3)).seconds), contestant });
  }
  const [best, ...others] = tried.toSorted((a, b) => a.seconds - b.seconds);
  for (const { contestant } of others) await contestant.leave();
  if (best === undefined) throw new Error('torch: no setting was tried');
  return { ...best.contestant, setting: best.setting };
};
