/** Single-file checkpoints of SD and SDXL, in the original code's names: UNet and autoencoder in one. */
import * as E from 'fp-ts/lib/Either.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { WeightsError } from '../../errors.ts';
import { type AutoencoderKl, autoencoderKl } from '../autoencoderKl.ts';
import type { StateDict } from '../net.ts';
import { type Family, familyOf, unetConfigOf, vaePresets } from '../presets.ts';
import { type Unet2dCondition, unet2dCondition } from '../unet2dCondition.ts';
import { fromLdm } from './ldmNames.ts';
import { openStateDict } from './openWeights.ts';
import { fitted } from './report.ts';

/** What a single-file checkpoint holds, weights read when they are asked for. `vae` is absent where the file has none. */
export type Checkpoint = Readonly<{
  family: Family;
  unet: Readonly<{ network: Unet2dCondition; state: StateDict }>;
  vae: Readonly<{ network: AutoencoderKl; state: StateDict }> | undefined;
}>;

/** Opens a single-file checkpoint such as `sd_turbo.safetensors` or `sd_xl_base_1.0.safetensors`; the configurations follow from the file. Text encoders are left. */
export const openCheckpoint = (path: string): TE.TaskEither<WeightsError, Checkpoint> => async () => {
  const opened = await openStateDict(path)();
  if (E.isLeft(opened)) return opened;
  const [family, config] = [familyOf(opened.right), unetConfigOf(opened.right)];
  if (!family || !config) {
    return E.left(new WeightsError(path, `${path}: expected a checkpoint of SD 1, SD 2 or SDXL (model.diffusion_model.*) but it holds none; load a diffusers folder with loadModel`));
  }
  const [unet, vae] = [unet2dCondition(config), autoencoderKl(vaePresets[family])];
  const unetState = fitted(unet, fromLdm(unet, opened.right), path);
  if (E.isLeft(unetState)) return unetState;
  if (!Object.keys(opened.right).some((name) => name.startsWith('first_stage_model.'))) return E.right({ family, unet: { network: unet, state: unetState.right }, vae: undefined });
  return E.map((vaeState: StateDict) => ({ family, unet: { network: unet, state: unetState.right }, vae: { network: vae, state: vaeState } }))(fitted(vae, fromLdm(vae, opened.right), path));
};
