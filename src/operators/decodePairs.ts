import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AsyncSubject, type OperatorFunction, Subscription, catchError, concatMap, defer, finalize, map } from 'rxjs';
import { restPlan } from '../data/augmentations/augmentation.ts';
import { type DecodePool, type PoolOptions, decodePool } from '../data/decodePool.ts';
import { type PixelBatch, pixelBatch, spentOn } from '../data/pixelBatch.ts';
import type { Batch, Prepared, Prompted } from '../streams/frames.ts';
import { OperatorError } from '../streams/mapTensors.ts';
import type { Named } from '../streams/pairBatches.ts';
import type { Planned } from './augment.ts';

export type Pixels = Readonly<{ pixels: PixelBatch }>;

/** What a decoded frame carries: names and plans are used up. */
export type Decoded<F> = Omit<F, 'pairs' | 'spares' | 'plans' | 'magnifies'> & Batch & Pixels & Prompted & Prepared;

/**
 * Decodes the pairs of a batch and carries out their plans, on worker threads: EXIF orientation, greys, 16 bits, alpha (on white), CMYK and profiles all become
 * sRGB; all geometry is one resampling with reflection at the borders. An image that is not square shows its middle square at rest.
 * A pair that cannot be decoded is replaced by the first of the frame's spares that can, under the same plan: the batch stays full, and a seed still fixes the run.
 *
 * Reads  pairs, spares, and plans, magnifies where `augment` came before
 * Adds   pixels  no tensors; ids  with spares in place of the pairs they replaced; prompts  of the pairs that came; spent  seconds of the threads
 * Timing begins to decode when a frame comes (the gate before it bounds their number), `workers` pairs at a time; one frame out for each frame in, in order;
 *   ends and fails with its source; an early end stops what is under way.
 * @param options.size side of the images in pixels @param options.workers pairs decoded at the same time
 * @param options.cache where decoded images are kept before augmentation: `512MB` (in memory), `disk` (in `folder`) or `off`
 * @param options.strict fail at the first file that cannot be decoded @param options.skipped hears of each that was passed over
 * @param options.open makes the pool of threads; it is closed with the stream
 * @throws RangeError when an option is out of range
 */
export function decodePairs<F extends Named & Partial<Planned>>({
  size, workers = 2, cache = 'off', folder = join(tmpdir(), 'millrace-decoded'), strict = false, skipped = { add: () => {} }, open = decodePool,
}: {
  size: number; workers?: number; cache?: string; folder?: string; strict?: boolean; skipped?: Readonly<{ add: (path: string, why: string) => void }>;
  open?: (options: PoolOptions) => Pick<DecodePool, 'decode' | 'close'>;
}): OperatorFunction<F, Decoded<F>> {
  if (!Number.isInteger(size) || size < 1) throw new RangeError(`decodePairs: expected size to be a positive integer but received ${size}`);
  if (!Number.isInteger(workers) || workers < 1) throw new RangeError(`decodePairs: expected workers to be a positive integer but received ${workers}`);
  return (source) => defer(() => {
    const running = new Subscription();
    const pool = open({ workers, cache, folder });
    const decode = ({ pairs, spares, plans, magnifies = 1, ...rest }: F) =>
      pool.decode({ size, magnifies, strict, jobs: pairs.map((pair, i) => ({ pair, spares, plan: plans?.[i] ?? restPlan })) }).pipe(map((images) => {
        for (const { path, why } of images.flatMap(({ broken }) => broken)) skipped.add(path, why);
        return { ...rest, ids: images.map(({ id }) => id), prompts: images.map(({ prompt }) => prompt), pixels: pixelBatch(images, size), spent: spentOn(images) } as unknown as Decoded<F>;
      }));
    return source.pipe(
      map((frame) => {
        const result = new AsyncSubject<Decoded<F>>();
        running.add(defer(() => decode(frame)).pipe(catchError((cause: unknown) => { throw new OperatorError('decodePairs', frame, cause); })).subscribe(result));
        return result;
      }),
      concatMap((result) => result),
      finalize(() => { running.unsubscribe(); pool.close(); }),
    );
  });
}
