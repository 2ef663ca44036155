import { EMPTY, type Observable, type OperatorFunction, Subject, defer, from, map, take } from 'rxjs';
import { expect, it } from 'vitest';
import type { Batch, Settled } from '../../src/streams/frames.ts';
import { OperatorError } from '../../src/streams/mapTensors.ts';
import { batchAt, leakFree, marbles, steps } from '../support.ts';

/** A step that has run: loss 0.5 and a finite update. */
export const settled = (step: number, metrics: Readonly<Record<string, number>> = {}): Settled => ({
  ...batchAt(step), metrics: { 'generator.loss': 0.5, 'generator.gradNorm': 1, 'generator.finite': 1, ...metrics },
});

/**
 * The cases that every operator on plain numbers has to pass while none of its work is due: each frame goes through at once.
 * @param make a fresh operator with nothing to do
 */
export const letsPass = <B extends Batch>(make: () => OperatorFunction<Settled, B>): void => {
  const load = map(({ step }: Batch) => settled(step));
  const stepOf = map(({ step }: Batch) => step);
  const batches = { a: batchAt(0), b: batchAt(1) };

  it.each([['-a-b-|', '-0-1-|', '^----!'], ['|', '|', '(^!)'], ['-', '-', '^'], ['-a-#', '-0-#', '^--!']])('passes %s on', (marble, expected, subscribed) => {
    marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const source = cold<Batch>(marble, batches);
      expectObservable(source.pipe(load, make(), stepOf)).toBe(expected, { 0: 0, 1: 1 });
      expectSubscriptions(source.subscriptions).toBe(subscribed);
    })();
  });

  it('releases its source on early unsubscription', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const source = cold('-a-b-|', batches);
    expectObservable(source.pipe(load, make(), stepOf), '^-!').toBe('-0', { 0: 0 });
    expectSubscriptions(source.subscriptions).toBe('^-!');
  })));

  it('is cut by take over a synchronous endless source', leakFree(() => {
    const seen: number[] = [];
    from(steps()).pipe(load, make(), stepOf, take(2)).subscribe((step) => { seen.push(step); });
    expect(seen).toEqual([0, 1]);
  }));

  it('can be re-entered', leakFree(() => {
    const seen: number[] = [];
    const loop = new Subject<Batch>();
    const subscription = loop.pipe(load, make(), stepOf).subscribe((step) => { seen.push(step); if (step < 2) loop.next(batchAt(step + 1)); });
    loop.next(batchAt(0));
    expect(seen).toEqual([0, 1, 2]);
    subscription.unsubscribe();
    expect(loop.observed).toBe(false);
  }));
};

/** Work that an operator does for a step, in place of files and the engine. */
export type Work = (step: number) => Observable<never>;

/**
 * The cases that every operator on plain numbers has to pass while each of its frames is worked on: a frame goes through when its work is done, one after the
 * other, and nothing outlives the subscription.
 * @param name what the operator calls itself when its work fails
 * @param make a fresh operator that does `work` for every frame
 * @param options.load what the operator reads
 * @param options.finishes whether the work under way is finished, not dropped, when the source fails
 */
export const waitsForWork = <A extends Batch, B extends Batch>(name: string, make: (work: Work) => OperatorFunction<A, B>, { load = (step) => settled(step) as unknown as A, finishes = false }: {
  load?: (step: number) => A; finishes?: boolean;
} = {}): void => {
  const loaded = map(({ step }: Batch) => load(step));
  const stepOf = map(({ step }: Batch) => step);
  const batches = { a: batchAt(0), b: batchAt(1) };
  const done: Work = () => EMPTY;

  it.each([
    ['-a------b---|', '---0------1-|', ['-^-!', '--------^-!']],
    // The second comes while the first is being worked on.
    ['-ab-|', '---0-(1|)', ['-^-!', '---^-!']],
    ['-a|', '---(0|)', ['-^-!']],
  ])('sends a frame of %s on when its work is done, in turn', (marble, expected, worked) => leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const [source, work] = [cold<Batch>(marble, batches), cold<never>('--|')];
    expectObservable(source.pipe(loaded, make(() => work), stepOf)).toBe(expected, { 0: 0, 1: 1 });
    expectSubscriptions(source.subscriptions).toBe(`^${'-'.repeat(marble.length - 2)}!`);
    expectSubscriptions(work.subscriptions).toBe(worked);
  }))());

  it.each(['|', '-', '-#'])('passes on the end of %s', (marble) => leakFree(marbles(({ cold, expectObservable }) => {
    const work = cold<never>('--|');
    expectObservable(cold<Batch>(marble).pipe(loaded, make(() => work), stepOf)).toBe(marble);
  }))());

  it(`fails with its source, ${finishes ? 'when what is under way is done' : 'and drops what is under way'}`, leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const [source, work] = [cold('-a-#', batches), cold<never>('-----|')];
    expectObservable(source.pipe(loaded, make(() => work), stepOf)).toBe(finishes ? '------(0#)' : '---#', { 0: 0 });
    expectSubscriptions(work.subscriptions).toBe(finishes ? '-^----!' : '-^-!');
  })));

  it('drops source and work on early unsubscription', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const [source, work] = [cold('-a-b-|', batches), cold<never>('-----|')];
    expectObservable(source.pipe(loaded, make(() => work), stepOf), '^---!').toBe('-----', { 0: 0 });
    expectSubscriptions(source.subscriptions).toBe('^---!');
    expectSubscriptions(work.subscriptions).toBe('-^--!');
  })));

  it('is cut by take over a synchronous endless source, and starts afresh with every subscription', leakFree(() => {
    const seen: number[] = [];
    const stream = from(steps()).pipe(loaded, make(done), stepOf, take(2));
    stream.subscribe((step) => { seen.push(step); });
    stream.subscribe((step) => { seen.push(step); });
    expect(seen).toEqual([0, 1, 0, 1]);
  }));

  it('can be re-entered, from its result and from its work', leakFree(() => {
    const seen: string[] = [];
    const loop = new Subject<Batch>();
    const work: Work = (step) => defer(() => { seen.push(`work ${step}`); if (step === 0) loop.next(batchAt(1)); return EMPTY; });
    const subscription = loop.pipe(loaded, make(work), stepOf).subscribe((step) => { seen.push(`done ${step}`); if (step === 1) loop.next(batchAt(2)); });
    loop.next(batchAt(0));
    expect(seen).toEqual(['work 0', 'done 0', 'work 1', 'done 1', 'work 2', 'done 2']);
    subscription.unsubscribe();
    expect(loop.observed).toBe(false);
  }));

  it('names itself, the step and the images when its work fails, at once or later', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const source = cold('-a-b-|', batches);
    const failure = new OperatorError(name, batchAt(1), new Error('no'));
    expectObservable(source.pipe(loaded, make((step) => (step === 1 ? cold<never>('--#', {}, new Error('no')) : EMPTY)), stepOf)).toBe('-0---#', { 0: 0 }, failure);
    expectSubscriptions(source.subscriptions).toBe('^----!');
    expectObservable(cold('-a-b-|', batches).pipe(loaded, make((step) => { if (step === 1) throw new Error('no'); return EMPTY; }), stepOf)).toBe('-0-#', { 0: 0 }, failure);
  })));
};
