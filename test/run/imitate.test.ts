import { concatMap, from, lastValueFrom, map } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { meanDistance } from '../../src/losses/adversarial.ts';
import { latentCritic } from '../../src/models/latentCritic.ts';
import { makeNet } from '../../src/models/net.ts';
import { studentOf } from '../../src/models/student.ts';
import { teach } from '../../src/operators/teach.ts';
import { adam } from '../../src/optim/adam.ts';
import { seeded } from '../../src/random.ts';
import { imitate } from '../../src/run/imitate.ts';
import type { Pair } from '../../src/streams/frames.ts';
import { free } from '../../src/streams/scoped.ts';
import { settle } from '../../src/streams/settle.ts';
import * as tf from '../../src/tf.ts';
import { image } from '../losses/differences.ts';
import { batchAt, leakFree } from '../support.ts';

const key = seeded(1);
const live = { key, optimizer: adam(), lr: () => 0.01 };
const teacher = { encode: (x: tf.Tensor4D) => tf.avgPool(x, 2, 2, 'valid'), decode: (z: tf.Tensor4D) => z, factor: 2, channels: 3 };
/** One colour an image. */
const plain = (step: number): tf.Tensor4D => tf.tidy(() => tf.tile(image(step, [2, 1, 1, 3]), [1, 8, 8, 1]));
const load = map((step: number): Pair => ({ ...batchAt(step, ['a', 'b']), source: plain(0), target: plain(0) }));

describe('imitate', () => {
  it.each([false, true])('brings an encoder near the teacher\'s latents; with a critic of them: %s', (judged) => leakFree(async () => {
    const nets = {
      encoder: makeNet(studentOf({ factor: 2, channels: 3 }, { variant: 'f8', width: 8, blocks: 1 }).encoder, live),
      ...(judged && { critic: makeNet(latentCritic({ channels: 3, base: 8 }), live) }),
    };
    const errors: number[] = [];
    const learn = imitate<Pair & { latent: tf.Tensor4D }>(nets.encoder, { critic: nets.critic, game: meanDistance(), weights: { mse: 1, gan: 0.1 }, clip: 1, key });
    await lastValueFrom(from(Array.from({ length: 40 }, (_, step) => step)).pipe(
      concatMap((step) => from([step]).pipe(load, teach(teacher), learn, settle())),
      map(({ metrics }) => { errors.push(metrics['encoder.mse'] as number); expect(Object.keys(metrics).some((name) => name.startsWith('latentCritic.'))).toBe(judged); return metrics; })));
    const mean = (some: readonly number[]): number => some.reduce((a, b) => a + b, 0) / some.length;
    expect(mean(errors.slice(-5))).toBeLessThan(0.5 * mean(errors.slice(0, 5)));
    free(nets);
  })());
});
