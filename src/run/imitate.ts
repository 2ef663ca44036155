import { type OperatorFunction, identity as asItIs, pipe } from 'rxjs';
import type { AdversarialLoss } from '../losses/adversarial.ts';
import { mse } from '../losses/mse.ts';
import { weighted } from '../losses/objective.ts';
import { type Net, applyNet } from '../models/net.ts';
import { adversary } from '../operators/adversary.ts';
import { backward } from '../operators/backward.ts';
import type { Taught } from '../operators/teach.ts';
import type { Key } from '../random.ts';
import type { Measured, Pair } from '../streams/frames.ts';
import type { Tensor4D } from '../tf.ts';

type Critic = Net<[latent: Tensor4D], Tensor4D>;

/**
 * One step of an encoder towards a teacher's latents: mean squared error and, where there is a critic of latents, a game between the teacher's and its own.
 *
 * Reads  target  float32 [B, H, W, 3] in [-1, 1]; latent, what the teacher makes of it
 * Adds   guess   what the encoder makes of it, before its update; a constant
 *        metrics  `encoder.mse`, `encoder.gan` and those of the critic's step
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param options.weights of the two terms; the second counts only with a critic
 */
export const imitate = <F extends Pair & Taught>(encoder: Net<[image: Tensor4D], Tensor4D>, { critic, game, weights, clip, key }: {
  critic?: Critic | undefined; game: AdversarialLoss; weights: Readonly<{ mse: number; gan: number }>; clip: number; key: Key;
}): OperatorFunction<F, F & Readonly<{ guess: Tensor4D }> & Measured> => pipe(
  backward(encoder, (net, { target }: F) => ({ guess: net(target) }), weighted({
    mse: [weights.mse, ({ guess, latent }) => mse(guess, latent)],
    ...(critic && { gan: [weights.gan, ({ guess, latent }) => game.generator({ realLogits: applyNet(critic)(latent), fakeLogits: applyNet(critic)(guess) })] }),
  }), { clip }),
  critic ? adversary(critic, ({ latent, guess }) => ({ real: latent, fake: guess }), { loss: game, clip, key }) : asItIs,
);
