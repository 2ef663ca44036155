import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import type { AdversarialLoss, FakeLogits, RealLogits } from '../losses/adversarial.ts';
import { type Penalties, checkPenalties, judgedWithPenalties } from '../losses/criticPenalties.ts';
import { lecam } from '../losses/penalties.ts';
import type { Anchors } from '../models/anchors.ts';
import { type CriticAugment, augmentedCritic } from '../models/augmentedCritic.ts';
import type { Net } from '../models/net.ts';
import { trainStep } from '../optim/trainStep.ts';
import { type Key, fold } from '../random.ts';
import type { Batch, Measured } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

type Image = tf.Tensor4D;

/** What a critic is shown: images, and for a conditional one what each belongs to (a replayed fake has a condition of its own). */
export type Shown<C extends tf.Tensor = Image> = Readonly<{ real: Image; fake: Image; realCondition?: C; fakeCondition?: C }>;

export type AdversaryOptions = Readonly<{
  /** Its half of this pair is the critic's loss. */
  loss: Pick<AdversarialLoss, 'critic'>;
  /** Weight of that half; 0.5 for the losses whose sources halve it. */
  weight?: number;
  penalties?: Penalties;
  /** Augments what the critic sees; a condition of rank 4 goes with its image, before it on the channel axis. */
  augment?: CriticAugment | undefined;
  /** LeCam regularisation towards running means, which `trackLogits` moves. */
  lecam?: Readonly<{ anchors: Anchors; weight: number; oneSided?: boolean }>;
  /** Bound on the global gradient norm. */
  clip?: number;
  /** Step from which the critic learns; until then its loss counts nothing, in a graph that is the same before and after. */
  from?: number;
  /** Draws noise and augmentations, as functions of the step. */
  key: Key;
}>;

/**
 * One update of a critic: its half of an adversarial loss, with the penalties and regularisers that go with it.
 *
 * Reads  what `read` reads
 * Adds   realLogits, fakeLogits  what the critic said, before its update; constants
 *        metrics  `<critic>.loss`, `<critic>.adversarial`, one per penalty and regulariser (unweighted), `<critic>.gradNorm`, `<critic>.finite`
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param critic takes an image, and a condition where `read` gives one
 * @throws TypeError when the critic has no optimizer, RangeError when a weight or `from` is out of range
 */
export function adversary<F extends Batch, C extends tf.Tensor = Image>(critic: Net<[image: Image, condition?: C], tf.Tensor>, read: (frame: F) => Shown<C>, options: AdversaryOptions):
OperatorFunction<F, F & RealLogits & FakeLogits & Measured> {
  const { loss, weight = 1, penalties = {}, augment, lecam: towards, clip, from = 0, key } = options;
  if (!critic.optimizer) throw new TypeError(`adversary: expected ${critic.name} to have an optimizer but it has none`);
  if (!Number.isFinite(weight)) throw new RangeError(`adversary: expected weight to be a finite number but received ${weight}`);
  if (!Number.isInteger(from) || from < 0) throw new RangeError(`adversary: expected from to be a step, 0 or more, but received ${from}`);
  checkPenalties(penalties);
  return mapTensors(`adversary(${critic.name})`, (frame: F) => {
    const at = fold(key, 'adversary', frame.step);
    const { real, fake, realCondition, fakeCondition } = read(frame);
    const { found, ...next } = trainStep(critic, frame, (apply) => {
      const judge = (condition: C | undefined, name: string) => augmentedCritic<C>(apply, { condition, augment, key: fold(at, name), step: frame.step });
      const { realLogits, fakeLogits, terms } = judgedWithPenalties({ onReal: judge(realCondition, 'real'), onFake: judge(fakeCondition, 'fake'), real, fake }, penalties, frame.step, fold(at, 'penalty'));
      return { realLogits, fakeLogits, found: terms };
    }, ({ realLogits, fakeLogits, found }) => {
      const terms = {
        adversarial: { weight, value: loss.critic({ realLogits, fakeLogits }) }, ...found,
        ...(towards && { lecam: { weight: towards.weight, value: lecam({ realLogits, fakeLogits }, towards.anchors.variables, towards) } }),
      };
      const total = Object.values(terms).map(({ weight, value }) => tf.mul<tf.Scalar>(value, weight)).reduce((a, b) => tf.add(a, b));
      return { loss: from > 0 ? tf.mul<tf.Scalar>(total, tf.scalar(frame.step < from ? 0 : 1)) : total, terms: Object.fromEntries(Object.entries(terms).map(([name, { value }]) => [name, value])) };
    }, { clip });
    return next as F & RealLogits & FakeLogits & Measured;
  });
}
