import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import { seraenaCorrection, seraenaLoss } from '../losses/seraena.ts';
import { differentiate } from '../models/differentiate.ts';
import { type Net, applyNet } from '../models/net.ts';
import { type ReplayBuffer, remember, seraenaHistory } from '../models/replayBuffer.ts';
import { updateNet } from '../optim/update.ts';
import { type Key, fold, uniform } from '../random.ts';
import type { Batch, Measured } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

/** Images to tell apart: each float32 [B, ...], B even; the context is a latent or a source image of any smaller size. */
export type Judged = Readonly<{ real: tf.Tensor4D; fake: tf.Tensor4D; context: tf.Tensor4D }>;

/** What the correction adds: the images that the generator is to move its own towards, by `mse(output, corrected)`. */
export type Corrected = Readonly<{ corrected: tf.Tensor4D }>;

/**
 * One step of seraena: the critic learns on a mixture of real, new and remembered images, then its gradient corrects the new ones.
 *
 * Reads  what `read` reads
 * Adds   corrected  as `fake`, unbounded; a constant
 *        metrics  `<critic>.loss` (1 is chance), `<critic>.gradNorm`, `<critic>.finite`, `<critic>.correction` (its standard deviation, below 1)
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param critic a live `seraenaCritic`; its published optimizer is AdamW at 3e-4 with betas (0.9, 0.99)
 * @param buffer remembers `fake` and `context`; the published capacity is 16384
 * @param options.key draws memories and the mixture, as functions of the step
 * @param options.eps see `seraenaCorrection`
 * @throws TypeError when the critic has no optimizer; RangeError (as the stream's error) for an odd batch
 * @source madebyollin/seraena, `Seraena.step_and_make_correction_targets`
 */
export function seraena<F extends Batch>(critic: Net<[tf.Tensor4D, tf.Tensor4D], tf.Tensor4D>, buffer: ReplayBuffer<'fake' | 'context'>, read: (frame: F) => Judged, { key, eps = 1e-5 }: {
  key: Key; eps?: number;
}): OperatorFunction<F, F & Corrected & Measured> {
  if (!critic.optimizer) throw new TypeError(`seraena: expected ${critic.name} to have an optimizer but it has none`);
  return mapTensors('seraena', (frame) => {
    const { real, fake, context } = read(frame);
    const batch = real.shape[0];
    const past = remember(buffer, { fake, context }, seraenaHistory, fold(key, 'replay', frame.step));
    const isFake = tf.tensor1d(uniform(fold(key, 'mixture', frame.step), batch).map((u) => (u < 0.5 ? 1 : 0)));
    const mixed = (ours: tf.Tensor4D, theirs: tf.Tensor4D): tf.Tensor4D => {
      const share = tf.reshape(isFake, [batch, 1, 1, 1]);
      return tf.add(tf.mul(share, ours), tf.mul(tf.sub(1, share), theirs));
    };
    const [images, contexts] = [mixed(past.fake, real), mixed(past.context, context)];
    const { loss, gradient, keepBuffers } = differentiate(critic, (judge) => ({ loss: seraenaLoss(judge(images, contexts), isFake), extra: undefined }));
    const { gradNorm, finite } = updateNet(critic, gradient, { loss, step: frame.step });
    keepBuffers(finite);
    const judge = applyNet(critic);
    const correction = seraenaCorrection((x) => judge(x, context), real, fake, { eps });
    const deviation = tf.sqrt(tf.mean(tf.square(tf.sub(correction, tf.mean(correction))))) as tf.Scalar;
    const metrics = {
      ...('metrics' in frame ? (frame as unknown as Measured).metrics : {}),
      [`${critic.name}.loss`]: loss, [`${critic.name}.gradNorm`]: gradNorm, [`${critic.name}.finite`]: tf.cast(finite, 'float32') as tf.Scalar, [`${critic.name}.correction`]: deviation,
    };
    return { ...frame, corrected: tf.add<tf.Tensor4D>(fake, correction), metrics };
  });
}
