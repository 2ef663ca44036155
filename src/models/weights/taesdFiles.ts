/** The TAESD family as its author distributes it: one file for the encoder, one for the decoder. */
import * as E from 'fp-ts/lib/Either.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { WeightsError } from '../../errors.ts';
import type { Autoencoder } from '../autoencoder.ts';
import type { StateDict } from '../net.ts';
import { type TaesdConfig, joinTaesd, taesd } from '../taesd.ts';
import { openStateDict } from './openWeights.ts';
import { fitted } from './report.ts';

/** Which variant a decoder belongs to, and of which size it is, by the names and shapes of its tensors. */
export const taesdConfigOf = (decoder: StateDict): TaesdConfig | undefined => {
  const [width, channels] = decoder['1.weight']?.shape ?? [];
  if (width === undefined || channels === undefined) return undefined;
  const names = Object.keys(decoder);
  const last = Math.max(...names.map((name) => Number.parseInt(name)));
  if (decoder[`${last}.weight`]?.shape[1] !== width) return { variant: 'f32', channels };
  const variant = names.some((name) => name.includes('.pool.')) ? 'f8Pool' : 'f8';
  // Blocks begin at place 3; between the first and the last convolution there is one for each doubling.
  let blocks = 0;
  while (decoder[`${3 + blocks}.conv.0.weight`]) blocks++;
  const halvings = names.filter((name) => /^\d+\.weight$/.test(name)).length - 2;
  return { variant, channels, ...(width !== 64 && { width }), ...(blocks !== 3 && { blocks }), ...(halvings !== 3 && { halvings }) };
};

/** Opens an encoder and a decoder that belong together; the variant follows from the files. */
export const openTaesd = (encoderPath: string, decoderPath: string): TE.TaskEither<WeightsError, Readonly<{ autoencoder: Autoencoder<TaesdConfig>; state: StateDict }>> => async () => {
  const [encoder, decoder] = await Promise.all([openStateDict(encoderPath)(), openStateDict(decoderPath)()]);
  if (E.isLeft(encoder)) return encoder;
  if (E.isLeft(decoder)) return decoder;
  const config = taesdConfigOf(decoder.right);
  if (!config) return E.left(new WeightsError(decoderPath, `${decoderPath}: expected a decoder of TAESD but there is no 1.weight in it`));
  const autoencoder = taesd(config);
  return E.map((state: StateDict) => ({ autoencoder, state }))(fitted(autoencoder, joinTaesd(encoder.right, decoder.right), `${encoderPath}, ${decoderPath}`));
};
