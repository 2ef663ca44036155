/** The networks of a distilled autoencoder: two halves that are trained apart, and who judges them. */
import * as tf from '../tf.ts';
import { type Autoencoder, halfOf } from './autoencoder.ts';
import { resizeNearest } from './blocks/upsample.ts';
import { constant } from './init.ts';
import type { Network } from './network.ts';
import { patchCritic } from './patchCritic.ts';
import { seraenaCritic } from './seraena.ts';
import { type TaesdConfig, taesd } from './taesd.ts';

type Image = tf.Tensor4D;

/**
 * Encoder and decoder in TAESD's layout, in the latents of a teacher, under the names of TAESD's files. A fresh decoder begins at grey.
 * @throws RangeError when the teacher's factor is no power of 2
 */
export const studentOf = ({ factor, channels }: Pick<Autoencoder, 'factor' | 'channels'>, { variant, width, blocks }: { variant: 'f8' | 'f8Pool'; width: number; blocks: number }): Readonly<Record<'encoder' | 'decoder', Network<[Image], Image>>> => {
  const halvings = Math.log2(factor);
  if (!Number.isInteger(halvings) || halvings < 1) throw new RangeError(`studentOf: expected a teacher whose factor is 2, 4, 8 ... but received ${factor}`);
  const config: TaesdConfig = { variant, channels, width, blocks, halvings };
  const whole = taesd(config);
  const [encoder, decoder] = [halfOf(whole, 'encoder'), halfOf(whole, 'decoder')];
  const last = [...decoder.specs.keys()].at(-1) as string;
  const specs = new Map(decoder.specs);
  specs.set(last, { ...specs.get(last) as NonNullable<ReturnType<typeof specs.get>>, init: constant(0.5) });
  return { encoder, decoder: { ...decoder, specs } };
};

/**
 * The critic of a decoder: judges image patches beside the latent they belong to, enlarged by nearest neighbour. `patch` is PatchGAN's without norms, since under group norm it
 * takes longer to notice a fine blur, and sees latents scaled down to one channel's strength, since dozens of channels would drown the image; `seraena` is that of seraena, at
 * its depth less one.
 * @param options.base width of the first layer @param options.layers of `patch`: convolutions of stride 2
 */
export const decoderCritic = ({ kind, channels, base, layers }: { kind: 'patch' | 'seraena'; channels: number; base: number; layers: number }): Network<[image: Image, context?: Image], Image> => {
  if (kind === 'seraena') {
    const critic = seraenaCritic({ context: channels, widths: [base, 2 * base, 4 * base, 4 * base, 4 * base], strides: [1, 2, 2, 2, 1] });
    return { ...critic, apply: (params, image, context) => critic.apply(params, image, context as Image) };
  }
  const critic = patchCritic({ conditionChannels: channels, base, layers, norm: 'none' });
  return { ...critic, apply: (params, image, context) => critic.apply(params, image, context && tf.div<Image>(resizeNearest(context, image.shape[1], image.shape[2]), Math.sqrt(channels))) };
};
