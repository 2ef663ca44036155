/** What a run that trains a student leaves for others: a folder that diffusers loads as AutoencoderTiny and `latent.autoencoder` takes. */
import { join } from 'node:path';
import { autoencoderTiny } from '../models/autoencoderTiny.ts';
import type { Net, StateDict } from '../models/net.ts';
import { saveModel } from '../models/weights/modelFolder.ts';
import { stateOf } from '../models/weights/netState.ts';
import { autoencoderFolder } from './autoencoderFiles.ts';
import type { RunContext } from './method.ts';
import { unwrap } from './orThrow.ts';
import { shownPath } from './outcome.ts';

type Half = Net<never, unknown>;

/** Fields of `AutoencoderTiny` for a student. */
export const tinyConfig = ({ channels, halvings, width, blocks }: Readonly<{ channels: number; halvings: number; width: number; blocks: number }>): Readonly<Record<string, unknown>> => {
  const [levels, rest] = [new Array<number>(halvings + 1).fill(width), new Array<number>(halvings).fill(blocks)];
  return { latent_channels: channels, encoder_block_out_channels: levels, decoder_block_out_channels: levels, block_out_channels: levels, num_encoder_blocks: [1, ...rest], num_decoder_blocks: [...rest, 1] };
};

/** TAESD's names as diffusers has them: its decoder does not count the clamp before the first layer. */
export const tinyNames = (encoder: StateDict, decoder: StateDict): StateDict => Object.fromEntries([
  ...Object.entries(encoder).map(([name, value]) => [`encoder.layers.${name}`, value] as const),
  ...Object.entries(decoder).map(([name, value]) => [`decoder.layers.${name.replace(/^\d+/, (place) => `${Number(place) - 1}`)}`, value] as const),
]);

/**
 * Writes the averaged weights of both halves to `autoencoder/` of the run folder.
 * @throws WeightsError when the folder cannot be written
 */
export const keepStudent = async (run: Pick<RunContext, 'folder' | 'report'>, { encoder, decoder }: Readonly<{ encoder: Half; decoder: Half }>, sizes: Parameters<typeof tinyConfig>[0]): Promise<void> => {
  const network = autoencoderTiny(tinyConfig(sizes));
  await unwrap(saveModel(join(run.folder.path, autoencoderFolder), { network, state: tinyNames(await stateOf(encoder, 'shadow'), await stateOf(decoder, 'shadow')) }));
  run.report.line(`autoencoder ${shownPath(join(run.folder.path, autoencoderFolder))}; to work in it: --set latent.autoencoder=${shownPath(run.folder.path)}`);
};
