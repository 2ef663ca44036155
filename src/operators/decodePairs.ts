import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AsyncSubject, type ObservableInput, type OperatorFunction, Subscription, catchError, concatMap, defer, finalize, map } from 'rxjs';
import { restPlan } from '../data/augmentations/augmentation.ts';
import type { PairPixels } from '../data/decodePair.ts';
import { type DecodePool, type DecodeRequest, decodePool } from '../data/decodePool.ts';
import type { Batch } from '../streams/frames.ts';
import { OperatorError } from '../streams/mapTensors.ts';
import type { Named } from '../streams/pairBatches.ts';
import type { Planned } from './augment.ts';

/** A decoded batch that is no tensors yet: row-major [B, H, W, 3] in [-1, 1], source and target under the same geometry. */
export type Pixels = Readonly<{ pixels: Readonly<{ source: Float32Array; target: Float32Array; shape: readonly [number, number, number, number] }> }>;

/** What a decoded frame carries: names and plans are used up. */
export type Decoded<F> = Omit<F, 'pairs' | 'spares' | 'plans' | 'magnifies'> & Batch & Pixels;

const joined = (images: readonly Float32Array[]): Float32Array => {
  const length = images[0]?.length ?? 0;
  const all = new Float32Array(images.length * length);
  images.forEach((image, i) => { all.set(image, i * length); });
  return all;
};

/**
 * Decodes the pairs of a batch and carries out their plans, on worker threads: EXIF orientation, greys, 16 bits, alpha (on white), CMYK and profiles all become
 * sRGB; all geometry is one resampling with reflection at the borders. An image that is not square shows its middle square at rest.
 * A pair that cannot be decoded is replaced by the first of the frame's spares that can, under the same plan: the batch stays full, and a seed still fixes the run.
 *
 * Reads  pairs, spares, and plans, magnifies where `augment` came before
 * Adds   pixels  no tensors; ids  with spares in place of the pairs they replaced
 * Timing begins to decode when a frame comes (the gate before it bounds their number), `workers` pairs at a time; one frame out for each frame in, in order;
 *   ends and fails with its source; an early end stops what is under way.
 * @param options.size side of the images in pixels @param options.workers pairs decoded at the same time
 * @param options.cache where decoded images are kept before augmentation: `512MB` (in memory), `disk` (in `folder`) or `off`
 * @param options.strict fail at the first file that cannot be decoded @param options.skipped hears of each that was passed over
 * @param options.decoder decodes one batch; a pool of threads by default
 * @throws RangeError when an option is out of range
 */
export function decodePairs<F extends Named & Partial<Planned>>({
  size, workers = 2, cache = 'off', folder = join(tmpdir(), 'millrace-decoded'), strict = false, skipped = { add: () => {} }, decoder,
}: {
  size: number; workers?: number; cache?: string; folder?: string; strict?: boolean; skipped?: Readonly<{ add: (path: string, why: string) => void }>;
  decoder?: (request: DecodeRequest) => ObservableInput<readonly PairPixels[]>;
}): OperatorFunction<F, Decoded<F>> {
  if (!Number.isInteger(size) || size < 1) throw new RangeError(`decodePairs: expected size to be a positive integer but received ${size}`);
  if (!Number.isInteger(workers) || workers < 1) throw new RangeError(`decodePairs: expected workers to be a positive integer but received ${workers}`);
  const requestOf = ({ pairs, spares, plans, magnifies = 1 }: F): DecodeRequest =>
    ({ size, magnifies, strict, jobs: pairs.map((pair, i) => ({ pair, spares, plan: plans?.[i] ?? restPlan })) });
  const decoded = ({ pairs, spares, plans, magnifies, ...rest }: F, images: readonly PairPixels[]): Decoded<F> => {
    for (const { path, why } of images.flatMap(({ broken }) => broken)) skipped.add(path, why);
    const pixels = { source: joined(images.map(({ source }) => source)), target: joined(images.map(({ target }) => target)), shape: [images.length, size, size, 3] as const };
    return { ...rest, ids: images.map(({ id }) => id), pixels } as unknown as Decoded<F>;
  };
  return (source) => defer(() => {
    const running = new Subscription();
    const pool = decoder ? undefined : decodePool({ workers, cache, folder });
    const decode = decoder ?? (pool as DecodePool).decode;
    return source.pipe(
      map((frame) => {
        const result = new AsyncSubject<Decoded<F>>();
        running.add(defer(() => decode(requestOf(frame))).pipe(
          map((images) => decoded(frame, images)),
          catchError((cause: unknown) => { throw new OperatorError('decodePairs', frame, cause); }),
        ).subscribe(result));
        return result;
      }),
      concatMap((result) => result),
      finalize(() => { running.unsubscribe(); pool?.close(); }),
    );
  });
}
