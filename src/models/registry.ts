/** Which class of the reference is built by what. Builders are loaded when asked for, so that reading an autoencoder does not load the transformers. */
import type { Network } from './network.ts';

/** Builds a network from a `config.json`. @throws ConfigError for an unknown field or a value that does not fit */
export type Builder = (config: Readonly<Record<string, unknown>>) => Network<never, unknown>;

const builders: Readonly<Record<string, () => Promise<Builder>>> = {
  AutoencoderTiny: async () => (await import('./autoencoderTiny.ts')).autoencoderTiny as unknown as Builder,
  AutoencoderKL: async () => (await import('./autoencoderKl.ts')).autoencoderKl as unknown as Builder,
  AutoencoderDC: async () => (await import('./autoencoderDc.ts')).autoencoderDc as unknown as Builder,
  UNet2DModel: async () => (await import('./unet2d.ts')).unet2d as unknown as Builder,
  UNet2DConditionModel: async () => (await import('./unet2dCondition.ts')).unet2dCondition as unknown as Builder,
  ControlNetModel: async () => (await import('./controlNet.ts')).controlNet as unknown as Builder,
  DiTTransformer2DModel: async () => (await import('./dit.ts')).dit as unknown as Builder,
  SD3Transformer2DModel: async () => (await import('./sd3.ts')).sd3 as unknown as Builder,
  FluxTransformer2DModel: async () => (await import('./flux.ts')).flux as unknown as Builder,
  SanaTransformer2DModel: async () => (await import('./sana.ts')).sana as unknown as Builder,
};

/** Classes that can be built. */
export const modelClasses: readonly string[] = Object.keys(builders);

/** The builder of a class, or undefined for one that is not known. */
export const builderOf = async (name: string): Promise<Builder | undefined> => (Object.hasOwn(builders, name) ? builders[name]?.() : undefined);
