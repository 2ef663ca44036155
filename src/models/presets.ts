/** Configurations of released models that come as single files, which hold weights alone. Fields left out have the reference's defaults. */
import type { StateDict } from './net.ts';

type Config = Readonly<Record<string, unknown>>;

const unetBase = { in_channels: 4, block_out_channels: [320, 640, 1280, 1280], layers_per_block: 2 };

/** Conditional UNets by family. SD-Turbo and SD 2 share SD 2.1's. */
export const unetPresets = {
  sd1: { ...unetBase, cross_attention_dim: 768, attention_head_dim: 8 },
  sd2: { ...unetBase, cross_attention_dim: 1024, attention_head_dim: [5, 10, 20, 20], use_linear_projection: true },
  sdxl: {
    in_channels: 4, block_out_channels: [320, 640, 1280], layers_per_block: 2, down_block_types: ['DownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D'],
    up_block_types: ['CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'UpBlock2D'], cross_attention_dim: 2048, attention_head_dim: [5, 10, 20], use_linear_projection: true,
    transformer_layers_per_block: [1, 2, 10], addition_embed_type: 'text_time', addition_time_embed_dim: 256, projection_class_embeddings_input_dim: 2816,
  },
} satisfies Readonly<Record<string, Config>>;

export type Family = keyof typeof unetPresets;

const four = <T>(value: T): readonly T[] => [value, value, value, value];

const vaeBase = { block_out_channels: [128, 256, 512, 512], layers_per_block: 2, down_block_types: four('DownEncoderBlock2D'), up_block_types: four('UpDecoderBlock2D') };

/** Their autoencoders: one architecture, two scales. */
export const vaePresets: Readonly<Record<Family, Config>> = {
  sd1: { ...vaeBase, sample_size: 512, scaling_factor: 0.18215 }, sd2: { ...vaeBase, sample_size: 768, scaling_factor: 0.18215 }, sdxl: { ...vaeBase, sample_size: 1024, scaling_factor: 0.13025 },
};

/** The family of a single-file checkpoint, by the width of the tokens its UNet attends to; undefined where it holds no UNet that is known. */
export const familyOf = (checkpoint: StateDict): Family | undefined => {
  const width = Object.entries(checkpoint).find(([name]) => /^model\.diffusion_model\..*\.attn2\.to_k\.weight$/.test(name))?.[1].shape[1];
  return ({ 768: 'sd1', 1024: 'sd2', 2048: 'sdxl' } as const)[width as 768 | 1024 | 2048];
};

/** The preset for a checkpoint: inpainting and editing variants differ in the channels that come in. */
export const unetConfigOf = (checkpoint: StateDict): Config | undefined => {
  const family = familyOf(checkpoint);
  const channels = checkpoint['model.diffusion_model.input_blocks.0.0.weight']?.shape[1];
  return family && { ...unetPresets[family], in_channels: channels ?? unetPresets[family].in_channels };
};
