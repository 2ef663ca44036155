/** Where a step's time goes, by the runtime's own profiler. */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { enter } from './contestant.ts';

type Event = Readonly<{ cat: string; name: string; dur: number; args?: Readonly<{ op_name?: string; provider?: string }> }>;

/** Time by operator, in seconds per step, the longest first. */
export type OperatorTimes = readonly Readonly<{ op: string; seconds: number; calls: number }>[];

/**
 * Trains a few steps under the runtime's profiler.
 * @param script our side of the bench
 * @throws Error when the executor leaves no profile
 */
export const profile = async (script: string, workload: string, steps: number): Promise<OperatorTimes> => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-profile-'));
  try {
    const us = await enter(process.execPath, [script, workload], { MILLRACE_PROFILE: join(folder, 'run') });
    await us.lap(steps);
    await us.leave();
    const times = new Map<string, { seconds: number; calls: number }>();
    for (const file of readdirSync(folder)) {
      for (const { cat, name, dur, args } of JSON.parse(readFileSync(join(folder, file), 'utf8')) as Event[]) {
        if (cat !== 'Node' || !name.endsWith('_kernel_time')) continue;
        const op = args?.op_name ?? name;
        const { seconds, calls } = times.get(op) ?? { seconds: 0, calls: 0 };
        times.set(op, { seconds: seconds + dur / 1e6 / steps, calls: calls + 1 / steps });
      }
    }
    if (times.size === 0) throw new Error(`profile: the executor left no profile of ${workload}`);
    return [...times].map(([op, time]) => ({ op, ...time })).toSorted((a, b) => b.seconds - a.seconds);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};
