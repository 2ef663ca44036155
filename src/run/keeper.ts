/** Keeps a run's checkpoints: when to save, what is best, what may go. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ObservableInput } from 'rxjs';
import * as E from 'fp-ts/lib/Either.js';
import { CheckpointError } from '../errors.ts';
import type { Resource } from '../streams/scoped.ts';
import type { Settled } from '../streams/frames.ts';
import { pointAt } from './atomic.ts';
import { type CheckpointState, checkpointName, fingerprint, isDiskFull, pruneCheckpoints, saveCheckpoint } from './checkpoint.ts';
import type { RunContext } from './method.ts';
import { type Logged, type Scored, isDue } from './observed.ts';

/** A step that can be saved. */
export type Savable = Settled & Logged & Partial<Scored>;

export type KeeperOptions = Readonly<{
  /** Steps between checkpoints. */
  every: number;
  /** Newest checkpoints that are kept, beside the best. */
  keep: number;
  /** Whether a full disk ends the run or is only told: then training goes on, and the next checkpoint is tried when it is due. */
  whenFull: 'continue' | 'stop';
}>;

export type Keeper = Readonly<{
  /** Takes note of a step that is trained: from here on its variables are what the run would be left with. */
  trained: (frame: Settled) => void;
  /** Takes note of what was found out about that step; says whether it may have to be saved. */
  see: (frame: Savable) => boolean;
  /** Saves the step seen last, when that is due, asked for, or the best so far. @throws CheckpointError */
  save: () => ObservableInput<unknown>;
  /** Asks for a checkpoint: at once when the run stands still after a step that was not saved, else after the next step. @throws CheckpointError */
  ask: (standing: boolean) => ObservableInput<unknown>;
  /** Whether the last step that is trained was not saved, and no variable has changed since. */
  isUnsaved: () => boolean;
  /** Saves the last step that is trained. @throws CheckpointError, unless the run failed already: then it is told */
  end: (failed: boolean) => ObservableInput<unknown>;
}>;

/** A step, and the values its variables had. */
type Held<F> = Readonly<{ frame: F; print: string }>;

/** See `checkpoint`. */
export const checkpointKeeper = (
  run: Pick<RunContext, 'folder' | 'seed' | 'start' | 'steps' | 'report'>, resources: Readonly<Record<string, Resource>>, { every, keep, whenFull }: KeeperOptions,
): Keeper => {
  const { folder, report } = run;
  let whole: Held<Settled> | undefined;
  let last: Held<Savable> | undefined;
  let saved = run.start;
  let asked = false;
  let best: CheckpointState['best'] | null = null;

  /** The best step so far; that of a resumed run is in the checkpoint it began from. */
  const bestSoFar = async (): Promise<CheckpointState['best']> => {
    if (best === null) {
      const text = await readFile(join(folder.checkpoints, checkpointName(run.start), 'state.json'), 'utf8').catch(() => '{}');
      best = (JSON.parse(text) as Partial<CheckpointState>).best;
    }
    return best;
  };

  const write = async ({ frame, print }: Held<Settled & Partial<Scored>>): Promise<void> => {
    const step = frame.step + 1;
    const before = await bestSoFar();
    const { scores } = frame;
    const next = scores && scores.psnr > (before?.psnr ?? -Infinity) ? { step, psnr: scores.psnr } : before;
    const state = { method: folder.method, step, epoch: frame.epoch, seed: run.seed, ...(scores && { val: scores }), ...(next && { best: next }) };
    if (fingerprint(resources) !== print) throw new CheckpointError(folder.checkpoints, `${checkpointName(step)} cannot be saved: its variables have changed since the step`);
    const result = await saveCheckpoint(folder, resources, state)();
    if (E.isLeft(result)) throw result.left;
    const wanted = asked;
    [saved, asked, best] = [step, false, next];
    await pointAt(join(folder.checkpoints, 'latest'), result.right);
    if (next) await pointAt(join(folder.checkpoints, 'best'), join(folder.checkpoints, checkpointName(next.step)));
    await pruneCheckpoints(folder.checkpoints, keep, next ? [next.step] : []);
    if (wanted) report.line(`saved ${result.right}`);
  };
  const isLeft = (held: Held<Settled> | undefined): held is Held<Settled> => held !== undefined && saved !== held.frame.step + 1 && fingerprint(resources) === held.print;

  /** Lets a full disk pass, but at the end of the run, where there is no later checkpoint to hope for. @throws any other cause */
  const forgive = (cause: unknown, frame: Settled): void => {
    if (!isDiskFull(cause) || whenFull === 'stop' || frame.step + 1 === run.steps) throw cause;
    asked = false;
    report.line(`${(cause as Error).message}; training goes on without it`);
  };

  return {
    trained: (frame) => { whole = { frame, print: fingerprint(resources) }; },
    see: (frame) => {
      last = { frame, print: fingerprint(resources) };
      return asked || frame.scores !== undefined || isDue(frame.step, every, run.steps);
    },
    save: async () => {
      const held = last as Held<Savable>;
      const { frame } = held;
      const better = frame.scores !== undefined && frame.scores.psnr > ((await bestSoFar())?.psnr ?? -Infinity);
      if (!asked && !better && !isDue(frame.step, every, run.steps)) return;
      try {
        await write(held);
      } catch (cause) {
        forgive(cause, frame);
      }
    },
    ask: async (standing) => {
      // A step that is still being looked at is not in the logs: it is saved when it is.
      const held = last;
      if (held && saved === held.frame.step + 1) { report.line(`${checkpointName(saved)} is saved already`); return; }
      asked = true;
      // Whoever asked may go on before it is written: then it is for after the step.
      if (standing && isLeft(held)) await write(held).catch((cause: unknown) => { if (isLeft(held)) forgive(cause, held.frame); });
    },
    isUnsaved: () => isLeft(whole),
    end: async (failed) => {
      // With its scores where it has any.
      const held = last && whole && last.frame.step === whole.frame.step ? last : whole;
      try {
        await write(held as Held<Settled>);
      } catch (cause) {
        if (!failed) throw cause;
        report.line((cause as Error).message);
      }
    },
  };
};
