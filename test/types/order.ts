/**
 * What must not compile: operators in an order in which a frame would not carry what they read. `npm run check` fails when one of these does. Nothing runs it.
 */
import { type Observable, pipe } from 'rxjs';
import { identity } from '../../src/models/codec.ts';
import { addNoise } from '../../src/operators/addNoise.ts';
import { augment } from '../../src/operators/augment.ts';
import { batch } from '../../src/operators/batch.ts';
import { corrupt } from '../../src/operators/corrupt.ts';
import { decodePairs } from '../../src/operators/decodePairs.ts';
import { encode } from '../../src/operators/encode.ts';
import { minSnr } from '../../src/operators/minSnr.ts';
import { seeded } from '../../src/random.ts';
import { flow } from '../../src/schedules/processes/flow.ts';
import type { Batch, Pair, Prompted } from '../../src/streams/frames.ts';
import type { Named } from '../../src/streams/pairBatches.ts';
import { settle } from '../../src/streams/settle.ts';

declare const names: Observable<Named>;
declare const bare: Observable<Batch>;
declare const pairs: Observable<Pair>;
/** Stands for a method that is conditioned on text. */
declare const readText: <F extends Pair & Prompted>(source: Observable<F>) => Observable<F>;
const key = seeded(0);

// As they belong.
export const right = [
  names.pipe(augment(key), decodePairs({ size: 8 }), batch()),
  names.pipe(augment(key), decodePairs({ size: 8 }), batch(), readText),
  pairs.pipe(encode(identity), addNoise({ gamma: [0, 1], key })),
  pairs.pipe(encode(identity), corrupt(flow(), { key }), minSnr()),
];

export const wrong = [
  // @ts-expect-error nothing is decoded yet
  names.pipe(augment(key), batch()),
  // @ts-expect-error there are no file names to decode
  bare.pipe(decodePairs({ size: 8 })),
  // @ts-expect-error noise is mixed into latents, which `encode` makes
  pairs.pipe(addNoise({ gamma: [0, 1], key })),
  // @ts-expect-error nobody said anything about these pairs
  pairs.pipe(readText),
  // @ts-expect-error there is nothing to encode before the batch is decoded
  bare.pipe(encode(identity)),
  // @ts-expect-error weights are those of a corrupted frame
  pairs.pipe(encode(identity), minSnr()),
  // @ts-expect-error a step without metrics has nothing to settle
  pairs.pipe(settle()),
  // @ts-expect-error the process needs latents
  pipe(corrupt(flow(), { key }))(pairs),
];
