import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { BehaviorSubject, EMPTY, NEVER, type Observable, Subject, concatMap, lastValueFrom, map, tap, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { NonFiniteLossError } from '../../src/errors.ts';
import { checkpoint } from '../../src/operators/checkpoint.ts';
import { follow } from '../../src/run/atomic.ts';
import { type CheckpointState, listCheckpoints } from '../../src/run/checkpoint.ts';
import type { Keeper, KeeperOptions, Savable } from '../../src/run/keeper.ts';
import { restoreRun } from '../../src/run/restore.ts';
import { type RunFolder, createRunFolder } from '../../src/run/runFolder.ts';
import type { Settled } from '../../src/streams/frames.ts';
import { OperatorError } from '../../src/streams/mapTensors.ts';
import * as tf from '../../src/tf.ts';
import { leakFree, marbles } from '../support.ts';
import { tinyDisk } from '../resume/tinyDisk.ts';
import { type TinyNets, right, tinyNets, withNets, withRun } from '../run/support.ts';
import { letsPass, settled, waitsForWork } from './plain.ts';

const logged = (frame: Settled, psnr?: number): Savable => ({ ...frame, logged: true, scores: psnr === undefined ? undefined : { psnr, ssim: 0.5 } });

/** Observers that have nothing to find out. */
const asIs = map((frame: Savable): Savable => frame);

const context = (folder: RunFolder, { start = 0, steps = 100 } = {}) => {
  const lines: string[] = [];
  const [paused, save] = [new BehaviorSubject(false), new Subject<void>()];
  return { folder, start, steps, seed: 7, lines, report: { line: (text: string) => { lines.push(text); }, bar: () => {} }, paused, save, control: { paused, save, sample: NEVER, stop: NEVER } };
};

/** Moves the weights as training does: step s leaves s + 1 in the counter. */
const train = (nets: TinyNets, step: number): void => { tf.tidy(() => { nets.generator.count.assign(tf.scalar(step + 1)); }); };

const saved = async (run: RunFolder): Promise<number[]> => (await listCheckpoints(run.checkpoints)).map(({ step }) => step).reverse();
const pause = (time: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, time); });
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** Trains steps one after the other, as in a run: each starts when the one before came through. `after` says how the source ends. */
const through = async (steps: readonly number[], run: ReturnType<typeof context>, nets: TinyNets, { psnr = {}, after = (source) => { source.complete(); }, ...options }:
Partial<KeeperOptions> & { psnr?: Readonly<Record<number, number>>; after?: (source: Subject<Savable>) => void } = {}): Promise<number[]> => {
  const source = new Subject<Savable>();
  const rest = [...steps];
  const next = (): void => {
    const step = rest.shift();
    if (step === undefined) return after(source);
    train(nets, step);
    source.next(logged(settled(step), psnr[step]));
  };
  const done = lastValueFrom(source.pipe(checkpoint(run, nets, asIs, { every: 4, keep: 10, ...options }), map(({ step }) => step), tap(() => { queueMicrotask(next); }), toArray()));
  next();
  return done;
};

describe('checkpoint', () => {
  describe('with nothing to save', () => {
    // Variables that have changed whenever one looks are never saved.
    const moving = { generator: { get variables() { return { weights: { dataId: {} } as tf.Variable }; } } };
    letsPass(() => (source) => source.pipe(map((frame) => logged(frame)), checkpoint(context({} as RunFolder), moving, asIs, { every: 1000 })));
  });

  describe('while it saves', () => {
    const options = { every: 1000, keep: 10 };
    /** A keeper that does the given work. */
    const keeperOf = ({ save = () => EMPTY, ask = () => EMPTY, end = () => EMPTY, isUnsaved = () => false, isDue = true }: {
      save?: (step: number) => Observable<never>; ask?: (standing: boolean) => Observable<never>; end?: (failed: boolean) => Observable<never>; isUnsaved?: () => boolean; isDue?: boolean;
    }) => (): Keeper => {
      let last = -1;
      return { trained: () => {}, see: ({ step }) => { last = step; return isDue; }, save: () => save(last), ask, isUnsaved, end };
    };
    const frames = { a: logged(settled(0)), b: logged(settled(1)) };
    waitsForWork('checkpoint', (save) => checkpoint(context({} as RunFolder), {}, asIs, { ...options, keeperOf: keeperOf({ save }) }), { load: (step) => logged(settled(step)), finishes: true });

    it.each([['|', false], ['#', true]] as const)('ends with a source that ended in %s when the last step is saved', (mark, failed) => leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const ends: boolean[] = [];
      const work = cold<never>('---|');
      const end = (isFailed: boolean): Observable<never> => { ends.push(isFailed); return work; };
      const source = cold(`-a-${mark}`, frames);
      const saving = checkpoint(context({} as RunFolder), {}, asIs, { ...options, keeperOf: keeperOf({ isDue: false, isUnsaved: () => true, end }) });
      expectObservable(source.pipe(saving).pipe(map(({ step }) => `${step}`), tap({ error: () => { expect(ends).toEqual([failed]); }, complete: () => { expect(ends).toEqual([failed]); } }))).toBe(`-0----${mark}`);
      expectSubscriptions(work.subscriptions).toBe('---^--!');
    }))());

    it('saves between steps when asked, and fails with what cannot be saved', leakFree(marbles(({ cold, hot, expectObservable, expectSubscriptions }) => {
      const run = { ...context({} as RunFolder), control: { paused: new BehaviorSubject(true), save: hot('---s----------'), sample: NEVER, stop: NEVER } };
      const asked: boolean[] = [];
      const work = cold<never>('----|');
      const source = cold('-a---b-|', frames);
      const ask = (standing: boolean): Observable<never> => { asked.push(standing); return work; };
      expectObservable(source.pipe(checkpoint(run as never, {}, asIs, { ...options, keeperOf: keeperOf({ isDue: false, ask }) }), map(({ step }) => `${step}`), tap({ complete: () => { expect(asked).toEqual([true]); } })))
        .toBe('-0-----(1|)');
      expectSubscriptions(work.subscriptions).toBe('---^---!');
      expectSubscriptions(run.control.save.subscriptions).toBe(['^------!', '^---!']);
      expectObservable(source.pipe(checkpoint(run as never, {}, asIs, { ...options, keeperOf: keeperOf({ isDue: false, ask: () => cold('-#') }) }), map(({ step }) => `${step}`))).toBe('-0--#');
    })));
  });

  it('saves on its interval and at the end, and passes every frame on in order', leakFree(withRun((folder) => withNets(tinyNets(), async (nets) => {
    expect(await through(range(0, 10), context(folder, { steps: 10 }), nets)).toEqual(range(0, 10));
    expect(await saved(folder)).toEqual([4, 8, 10]);
    expect(basename(await follow(join(folder.checkpoints, 'latest')))).toBe('checkpoint-10');
  }))));

  it('has each checkpoint hold its own step', withRun((folder) => withNets(tinyNets(), async (nets) => {
    await through(range(0, 10), context(folder, { steps: 10 }), nets, { every: 3 });
    for (const step of [10, 9, 6, 3]) {
      expect((await right(restoreRun(folder, nets)))?.state.step).toBe(step);
      expect(await nets.generator.count.data()).toEqual(Float32Array.of(step));
      await rm(join(folder.checkpoints, `checkpoint-${step}`), { recursive: true });
    }
  })));

  it('saves the last step of a source that ends early', withRun((folder) => withNets(tinyNets(), async (nets) => {
    await through(range(0, 6), context(folder), nets);
    expect(await saved(folder)).toEqual([4, 6]);
  })));

  it('keeps the newest and the best; best survives a resume', withRun((folder) => withNets(tinyNets(), async (nets) => {
    const psnr = { 1: 20, 3: 22, 5: 21, 7: 21.5, 9: 21.9 };
    await through(range(0, 10), context(folder), nets, { every: 2, keep: 2, psnr });
    expect(await saved(folder)).toEqual([4, 8, 10]);
    expect(basename(await follow(join(folder.checkpoints, 'best')))).toBe('checkpoint-4');
    const state = JSON.parse(await readFile(join(folder.checkpoints, 'checkpoint-10', 'state.json'), 'utf8')) as CheckpointState;
    expect(state).toEqual({ method: 'tiny', step: 10, epoch: 0, seed: 7, val: { psnr: 21.9, ssim: 0.5 }, best: { step: 4, psnr: 22 } });
    await through([10, 11], context(folder, { start: 10 }), nets, { every: 2, keep: 2, psnr: { 11: 21.95 } });
    expect(await saved(folder)).toEqual([4, 10, 12]);
    await through([12], context(folder, { start: 12 }), nets, { every: 2, keep: 2, psnr: { 12: 22.5 } });
    expect(await saved(folder)).toEqual([12, 13]);
    expect(basename(await follow(join(folder.checkpoints, 'best')))).toBe('checkpoint-13');
  })));

  it('saves when asked: after the step, or at once while the run stands', withRun((folder) => withNets(tinyNets(), async (nets) => {
    const run = context(folder);
    const frames = new Subject<Savable>();
    const seen: number[] = [];
    const done = lastValueFrom(frames.pipe(checkpoint(run, nets, asIs, { every: 50, keep: 10 }), map(({ step }) => { seen.push(step); return step; })));
    const step = (n: number): void => { train(nets, n); frames.next(logged(settled(n))); };
    const until = async (condition: () => Promise<boolean>): Promise<void> => { while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 2)); };
    step(0);
    run.save.next();
    step(1);
    await until(async () => (await saved(folder)).includes(2));
    await until(async () => seen.includes(1));
    step(2);
    run.paused.next(true);
    run.save.next();
    await until(async () => (await saved(folder)).includes(3));
    run.save.next();
    await until(async () => run.lines.length > 2);
    expect(run.lines).toEqual([...[2, 3].map((n) => `saved ${join(folder.checkpoints, `checkpoint-${n}`)}`), 'checkpoint-3 is saved already']);
    frames.complete();
    await done;
    expect(await saved(folder)).toEqual([2, 3]);
    expect(run.save.observed).toBe(false);
  })));

  it('saves after the step when training goes on before a checkpoint that was asked for is written', withRun((folder) => withNets(tinyNets(), async (nets) => {
    const run = context(folder);
    const frames = new Subject<Savable>();
    const done = lastValueFrom(frames.pipe(checkpoint(run, nets, asIs, { every: 50 })));
    train(nets, 0);
    frames.next(logged(settled(0)));
    run.paused.next(true);
    run.save.next();
    train(nets, 1);
    frames.next(logged(settled(1)));
    frames.complete();
    await done;
    expect(await saved(folder)).toEqual([2]);
    await right(restoreRun(folder, nets));
    expect(await nets.generator.count.data()).toEqual(Float32Array.of(2));
    expect(run.lines).toEqual([`saved ${join(folder.checkpoints, 'checkpoint-2')}`]);
  })));

  it('goes on when a checkpoint that was asked for finds no room, and saves when there is', async (test) => {
    const disk = await tinyDisk('128k');
    if (typeof disk === 'string') return test.skip(disk);
    try {
      const run = context(await right(createRunFolder({ root: disk.path, method: 'tiny', config: {}, env: {} })));
      await withNets(tinyNets(), async (nets) => {
        const frames = new Subject<Savable>();
        const done = lastValueFrom(frames.pipe(checkpoint(run, nets, asIs, { every: 50 })));
        const told = async (lines: number): Promise<void> => { while (run.lines.length < lines) await pause(2); };
        train(nets, 0);
        frames.next(logged(settled(0)));
        const filler = join(disk.path, 'filler');
        await writeFile(filler, Buffer.alloc(128 * 1024)).catch(() => undefined);
        run.paused.next(true);
        run.save.next();
        await told(1);
        expect(run.lines[0]).toMatch(/checkpoint-1: the disk is full: .*; training goes on without it$/);
        await rm(filler);
        run.save.next();
        await told(2);
        expect(run.lines[1]).toBe(`saved ${join(run.folder.checkpoints, 'checkpoint-1')}`);
        frames.complete();
        await done;
      });
    } finally {
      await disk.remove();
    }
  });

  it('saves the last whole step when the source fails', withRun((folder) => withNets(tinyNets(), async (nets) => {
    await expect(through(range(0, 6), context(folder), nets, { after: (source) => { source.error(new Error('boom')); } })).rejects.toThrow('boom');
    expect(await saved(folder)).toEqual([4, 6]);
  })));

  it('does not save a step that failed half-way, nor one that is not finite', withRun((folder) => withNets(tinyNets(), async (nets) => {
    const half = (source: Subject<Savable>): void => {
      train(nets, 6);
      source.error(new Error('boom'));
    };
    await expect(through(range(0, 6), context(folder), nets, { after: half })).rejects.toThrow('boom');
    expect(await saved(folder)).toEqual([4]);
    await expect(through([4], context(folder, { start: 4 }), nets, { after: (source) => { source.error(new NonFiniteLossError(5, 'nan')); } })).rejects.toThrow('nan');
    expect(await saved(folder)).toEqual([4]);
  })));

  describe('around its observers', () => {
    /** Trains one step after another; `look` is what the observers do. */
    const observed = (run: ReturnType<typeof context>, nets: TinyNets, look: (frame: Settled) => Promise<Savable>): { step: (n: number) => void; end: () => void; done: Promise<Savable> } => {
      const frames = new Subject<Settled>();
      const done = lastValueFrom(frames.pipe(checkpoint(run, nets, concatMap(look), { every: 50, keep: 10 })));
      return { step: (n) => { train(nets, n); frames.next(settled(n)); }, end: () => { frames.complete(); }, done };
    };

    it.each([['at once', async () => {}], ['later', () => pause(5)]] as const)('saves the very step that one of them fails on, %s', (_, before) => leakFree(withRun((folder) => withNets(tinyNets(), async (nets) => {
      const { step, done } = observed(context(folder), nets, async (frame) => { await before(); throw new OperatorError('validate', frame, new Error('no memory')); });
      step(0);
      await expect(done).rejects.toThrow('validate failed at step 0 on [image0]: no memory');
      expect(await saved(folder)).toEqual([1]);
      const state = JSON.parse(await readFile(join(folder.checkpoints, 'checkpoint-1', 'state.json'), 'utf8')) as CheckpointState;
      expect(state).toEqual({ method: 'tiny', step: 1, epoch: 0, seed: 7 });
      train(nets, 9);
      expect((await right(restoreRun(folder, nets)))?.broken).toEqual([]);
      expect(await nets.generator.count.data()).toEqual(Float32Array.of(1));
    })))());

    it('does not save a step before it is in the logs, also when asked while the run stands', withRun((folder) => withNets(tinyNets(), async (nets) => {
      const run = context(folder);
      let release = (): void => {};
      const { step, end, done } = observed(run, nets, async (frame) => { if (frame.step === 1) await new Promise<void>((resolve) => { release = resolve; }); return logged(frame); });
      step(0);
      await pause(5);
      step(1);
      run.paused.next(true);
      run.save.next();
      await pause(50);
      expect(await saved(folder)).toEqual([]);
      release();
      end();
      await done;
      expect(await saved(folder)).toEqual([2]);
      expect(run.lines).toEqual([`saved ${join(folder.checkpoints, 'checkpoint-2')}`]);
    })));

    it('does not save a step that training has gone beyond when one of them fails', withRun((folder) => withNets(tinyNets(), async (nets) => {
      const { step, done } = observed(context(folder), nets, async () => { await pause(5); throw new Error('no memory'); });
      step(0);
      train(nets, 1);
      await expect(done).rejects.toThrow('no memory');
      expect(await saved(folder)).toEqual([]);
    })));
  });

  it('ends with the error when a checkpoint cannot be written', leakFree(withRun((folder) => withNets(tinyNets(), async (nets) => {
    const run = context(folder);
    await rm(folder.checkpoints, { recursive: true });
    await writeFile(folder.checkpoints, 'in the way');
    await expect(through(range(0, 9), run, nets)).rejects.toMatchObject({ _tag: 'CheckpointError', message: expect.stringContaining('checkpoint-4: cannot be written') });
    expect(run.save.observed).toBe(false);
    expect((await readdir(folder.path)).includes('checkpoints')).toBe(true);
  }))));

  it('refuses options that make no sense', () => {
    expect(() => checkpoint(context({} as RunFolder), {}, asIs, { every: 0 })).toThrow('checkpoint: expected every to be a positive integer but received 0');
    expect(() => checkpoint(context({} as RunFolder), {}, asIs, { every: 1, keep: 0 })).toThrow('checkpoint: expected keep to be a positive integer but received 0');
  });
});
