import { join } from 'node:path';
import { EMPTY, NEVER, type Observable, Subject, from, lastValueFrom, map, of, take, tap, throwError, timer, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { fixtures } from '../../fixtures/index.ts';
import { drawPlan, restPlan } from '../../src/data/augmentations/augmentation.ts';
import { rotate } from '../../src/data/augmentations/rotate.ts';
import type { PairFile } from '../../src/data/dataset.ts';
import { type PairPixels, pairDecoder, workingCache } from '../../src/data/decodePair.ts';
import type { DecodeRequest } from '../../src/data/decodePool.ts';
import { augment } from '../../src/operators/augment.ts';
import { batch } from '../../src/operators/batch.ts';
import { type Pixels, decodePairs } from '../../src/operators/decodePairs.ts';
import { fold, seeded } from '../../src/random.ts';
import { creditGate } from '../../src/streams/creditGate.ts';
import type { Batch, Pair, Prompted } from '../../src/streams/frames.ts';
import { OperatorError, release } from '../../src/streams/mapTensors.ts';
import { type Named, pairBatches } from '../../src/streams/pairBatches.ts';
import { batchAt, leakFree, marbles, steps } from '../support.ts';

const pair = (id: string): PairFile => {
  const image = (folder: string) => ({ path: `${folder}/${id}`, file: join(fixtures.tiny.root, folder, `${id}.png`), bytes: 0, mtimeMs: 0, hash: '', part: 'whole' as const });
  return { id, source: image('train_A'), target: image('train_B') };
};
const named = (batch: Batch): Named => ({ ...batch, pairs: batch.ids.map(pair), spares: [] });
const frames = { a: named(batchAt(0)), b: named(batchAt(1)), c: named(batchAt(2)) };
const spent = { disk: 0, decode: 0, augment: 0 };
/** What decoders of these tests make of a job: one value, that says whose it is. */
const pixelsOf = ({ jobs }: DecodeRequest): PairPixels[] => jobs.map(({ pair: { id } }) => ({ id, source: Float32Array.of(1, 2, 3), target: Float32Array.of(4, 5, 6), broken: [], spent }));
const byTimer = (wait: Readonly<Record<string, number>>) => (request: DecodeRequest): Observable<PairPixels[]> => timer(wait[request.jobs[0]?.pair.id ?? ''] ?? 1).pipe(map(() => pixelsOf(request)));
/** In place of threads. */
const by = (decode: (request: DecodeRequest) => Observable<readonly PairPixels[]>, close = () => {}) => ({ open: () => ({ decode, close }) });
const operator = (decoder: (request: DecodeRequest) => Observable<readonly PairPixels[]>, more = {}) => decodePairs<Named>({ size: 1, ...by(decoder), ...more });
const stepOf = map(({ step }: Batch) => step);

describe('decodePairs', () => {
  it('begins with a frame when it comes, and emits in the order of the source', marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const source = cold('-abc|', frames);
    const slowFirst = operator(byTimer({ image0: 6, image1: 1, image2: 3 }));
    expectObservable(source.pipe(slowFirst, stepOf)).toBe('-------(012|)', { 0: 0, 1: 1, 2: 2 });
    expectSubscriptions(source.subscriptions).toBe('^---!');
  }));

  it.each(['|', '-', '-#'])('passes on the end of %s', (marble) => {
    marbles(({ cold, expectObservable }) => { expectObservable(cold<Named>(marble).pipe(operator(byTimer({})))).toBe(marble); })();
  });

  it('fails with its source', marbles(({ cold, expectObservable }) => {
    expectObservable(cold('-a-#', frames).pipe(operator(byTimer({ image0: 1 })), stepOf)).toBe('--0#', { 0: 0 });
  }));

  it('stops what is under way on early unsubscription, on the failure of another frame, and with its source', marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const [one, two, three] = [cold<PairPixels[]>('----------'), cold<PairPixels[]>('----------'), cold<PairPixels[]>('----------')];
    expectObservable(cold('-ab', frames).pipe(operator(() => one)), '^---!').toBe('----');
    expectSubscriptions(one.subscriptions).toBe(['-^--!', '--^-!']);
    expectObservable(cold('-ab', frames).pipe(operator(({ jobs }) => (jobs[0]?.pair.id === 'image0' ? cold('---#', {}, new Error('disk')) : two)), stepOf))
      .toBe('----#', {}, new OperatorError('decodePairs', batchAt(0), new Error('disk')));
    expectSubscriptions(two.subscriptions).toBe('--^-!');
    expectObservable(cold('-a-#', frames).pipe(operator(() => three))).toBe('---#');
    expectSubscriptions(three.subscriptions).toBe('-^-!');
  }));

  it('names itself, the step and the images when a decoder fails, at once or later', () => {
    for (const decoder of [() => throwError(() => new Error('disk')), () => { throw new Error('disk'); }]) {
      let failure: unknown;
      of(frames.b).pipe(operator(decoder)).subscribe({ error: (error: unknown) => { failure = error; } });
      expect(failure).toBeInstanceOf(OperatorError);
      expect((failure as OperatorError).message).toBe('decodePairs failed at step 1 on [image1]: disk');
    }
  });

  it('is cut by take over a synchronous endless source, and starts afresh with every subscription; its threads end with it', () => {
    let open = 0;
    const threads = () => { open++; return { decode: (request: DecodeRequest) => of(pixelsOf(request)), close: () => { open--; } }; };
    const stream = from(steps()).pipe(map(named), decodePairs({ size: 1, open: threads }), tap(() => { expect(open).toBe(1); }), stepOf, take(2));
    const seen: number[] = [];
    stream.subscribe((step) => { seen.push(step); });
    stream.subscribe((step) => { seen.push(step); });
    expect(seen).toEqual([0, 1, 0, 1]);
    expect(open).toBe(0);
  });

  it('can be re-entered', () => {
    const seen: number[] = [];
    const loop = new Subject<Batch>();
    const subscription = loop.pipe(map(named), operator((request) => of(pixelsOf(request))), stepOf).subscribe((step) => { seen.push(step); if (step < 2) loop.next(batchAt(step + 1)); });
    loop.next(batchAt(0));
    expect(seen).toEqual([0, 1, 2]);
    subscription.unsubscribe();
    expect(loop.observed).toBe(false);
  });

  it('asks for what the plans say, and for the image at rest without them', () => {
    const seen: DecodeRequest[] = [];
    const decoder = (request: DecodeRequest): Observable<never> => { seen.push(request); return EMPTY; };
    of(frames.a).pipe(operator(decoder, { strict: true })).subscribe();
    of(frames.a).pipe(augment(seeded(1), rotate(20)), decodePairs({ size: 5, ...by(decoder) })).subscribe();
    expect(seen).toEqual([
      { size: 1, magnifies: 1, strict: true, jobs: [{ pair: pair('image0'), spares: [], plan: restPlan }] },
      { size: 5, magnifies: 1, strict: false, jobs: [{ pair: pair('image0'), spares: [], plan: drawPlan([rotate(20)], fold(seeded(1), 0, 0)) }] },
    ]);
  });

  it('joins a batch, with the names and prompts of the spares that came instead, and tells what was passed over', async () => {
    const told: string[][] = [];
    const decoder = (): Observable<PairPixels[]> => of([
      { id: 'x', source: Float32Array.of(1, 2, 3), target: Float32Array.of(7, 8, 9), broken: [], prompt: 'a mill', spent: { disk: 1, decode: 2, augment: 3 } },
      { id: 'spare', source: Float32Array.of(4, 5, 6), target: Float32Array.of(0, 0, 0), broken: [{ path: 'p', why: 'expected better' }], spent: { disk: 0.5, decode: 0, augment: 1 } },
    ]);
    const frame = await lastValueFrom(of({ ...named(batchAt(3, ['x', 'y'])), own: true }).pipe(decodePairs<Named & { own: boolean }>({ size: 1, ...by(decoder), skipped: { add: (...words) => { told.push(words); } } })));
    expect(frame).toEqual({ step: 3, epoch: 0, own: true, ids: ['x', 'spare'], prompts: ['a mill', undefined], spent: { disk: 1.5, decode: 2, augment: 4 }, pixels: { source: Float32Array.of(1, 2, 3, 4, 5, 6), target: Float32Array.of(7, 8, 9, 0, 0, 0), shape: [2, 1, 1, 3] } });
    expect(told).toEqual([['p', 'expected better']]);
  });

  it.each([[{ size: 0 }, 'decodePairs: expected size to be a positive integer but received 0'], [{ size: 8, workers: 1.5 }, 'decodePairs: expected workers to be a positive integer but received 1.5']])(
    'refuses %j when it is made', (options, message) => { expect(() => decodePairs(options)).toThrow(new RangeError(message)); },
  );
});

describe('names to tensors', () => {
  const ids = Array.from({ length: fixtures.tiny.train }, (_, i) => `scene0-view${i}`);
  const run = (from: number, cache = 'off') => {
    const gate = creditGate(3);
    const stream = gate.pull(pairBatches(ids.map(pair), { batch: 3, seed: 9, from, steps: 8 })).pipe(
      augment(seeded(9), rotate(20)), decodePairs({ size: 16, workers: 2, cache }), gate.inTurn(), batch(),
      map((frame: Pair) => ({ step: frame.step, epoch: frame.epoch, ids: frame.ids, source: frame.source.data(), target: frame.target.data(), free: () => { release(frame); } })),
      gate.settle(), toArray(),
    );
    return { gate, stream };
  };

  it('by threads: a seed fixes every pixel, wherever the run begins and whatever is cached', leakFree(async () => {
    const read = async (frames: Awaited<ReturnType<typeof whole>>) => Promise.all(frames.map(async ({ step, ids, source, target, free }) => { const pixels = { step, ids, source: await source, target: await target }; free(); return pixels; }));
    const whole = () => lastValueFrom(run(0).stream);
    const [all, resumed, cached] = [await read(await whole()), await read(await lastValueFrom(run(5).stream)), await read(await lastValueFrom(run(0, '4MB').stream))];
    expect(all.map(({ step }) => step)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(resumed).toEqual(all.slice(5));
    expect(cached).toEqual(all);
    // One image as this thread makes it.
    const { jobs } = await new Promise<DecodeRequest>((resolve) => {
      from(pairBatches(ids.map(pair), { batch: 3, seed: 9, from: 6, steps: 7 })).pipe(augment(seeded(9), rotate(20)), decodePairs({ size: 16, ...by((request) => { resolve(request); return NEVER; }) })).subscribe();
    });
    const { source } = await pairDecoder(await workingCache('off', ''))(jobs[1] as (typeof jobs)[number], { size: 16, magnifies: 1, strict: true });
    expect(all[6]?.source.slice(768, 1536)).toEqual(source);
  }));

  it('brings every image\'s prompt with it', leakFree(async () => {
    const told = ids.map((id, i) => ({ ...pair(id), ...(i % 2 === 0 && { prompt: `all about ${id}` }) }));
    const gate = creditGate(2);
    const prompts = (frame: Pair & Prompted): (readonly [string, string | undefined])[] => { release(frame); return frame.ids.map((id, i) => [id, frame.prompts[i]] as const); };
    const frames = gate.pull(pairBatches(told, { batch: 3, seed: 4, steps: 5 })).pipe(decodePairs({ size: 8 }), gate.inTurn(), batch(), map((frame) => ({ ...frame, seen: prompts(frame) })), gate.settle());
    const seen = (await lastValueFrom(frames.pipe(toArray()))).flatMap((frame) => frame.seen);
    expect(seen).toHaveLength(15);
    for (const [id, prompt] of seen) expect(prompt).toBe(told.find((one) => one.id === id)?.prompt);
    expect(new Set(seen.map(([, prompt]) => prompt)).size).toBeGreaterThan(3);
  }));

  it('ends at once when nobody listens any more', async () => {
    const { stream, gate } = run(0);
    const subscription = stream.subscribe();
    await new Promise((resolve) => { setTimeout(resolve, 5); });
    subscription.unsubscribe();
    expect(gate.stats.maxInFlight).toBe(3);
  });

  it('compiles only in its order', () => {
    const decoded = of(frames.a).pipe(decodePairs({ size: 8, ...by(() => EMPTY) }));
    const _pixels: Observable<Batch & Pixels> = decoded;
    // @ts-expect-error a batch of tensors is made of pixels, not of names
    of(frames.a).pipe(batch());
    // @ts-expect-error names are used up by decoding
    decoded.pipe(decodePairs({ size: 8 }));
    expect(_pixels).toBe(decoded);
  });
});
