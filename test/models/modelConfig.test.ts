import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../src/errors.ts';
import { autoencoderDc } from '../../src/models/autoencoderDc.ts';
import { autoencoderKl } from '../../src/models/autoencoderKl.ts';
import { autoencoderTiny } from '../../src/models/autoencoderTiny.ts';
import { controlConfigOf, controlNet, controlStart } from '../../src/models/controlNet.ts';
import { perLevel } from '../../src/models/modelConfig.ts';
import { unet2d } from '../../src/models/unet2d.ts';
import { unet2dCondition } from '../../src/models/unet2dCondition.ts';

type Build = (config: Readonly<Record<string, unknown>>) => unknown;

const cross = { block_out_channels: [8], norm_num_groups: 4, down_block_types: ['CrossAttnDownBlock2D'], up_block_types: ['CrossAttnUpBlock2D'], cross_attention_dim: 6, attention_head_dim: 2 };

describe('configurations that do not fit are refused by name', () => {
  it.each<[string, Build, Record<string, unknown>, RegExp]>([
    ['an unknown field', unet2d, { block_out_chanels: [8] }, /^UNet2DModel: the field block_out_chanels is not known \(is block_out_channels meant\?\)$/],
    ['an unknown field like none', unet2d, { xyz: 1 }, /^UNet2DModel: the field xyz is not known$/],
    ['another class', unet2d, { _class_name: 'UNet1DModel' }, /^expected the configuration of UNet2DModel but received that of "UNet1DModel"$/],
    ['a value of another type', unet2d, { layers_per_block: '2' }, /^UNet2DModel: layers_per_block: expected number but received "2"$/],
    ['a value of a list', autoencoderKl, { block_out_channels: [8, -8] }, /^AutoencoderKL: block_out_channels\.1: .* but received -8$/],
    ['an unknown block', unet2dCondition, { ...cross, down_block_types: ['KDownBlock2D'] }, /^UNet2DConditionModel: down_block_types\.0: .*"CrossAttnDownBlock2D".* but received "KDownBlock2D"$/],
    ['levels that do not agree', unet2dCondition, { ...cross, down_block_types: ['DownBlock2D', 'DownBlock2D'] }, /down_block_types = \[.*\] has 2 levels but block_out_channels has 1/],
    ['heads per level that do not agree', unet2dCondition, { ...cross, attention_head_dim: [2, 2] }, /expected 1 values for attention_head_dim but received 2/],
    ['gated attention', unet2dCondition, { ...cross, attention_type: 'gated' }, /attention_type: .*"default".* but received "gated"/],
    ['dual attention', unet2dCondition, { ...cross, dual_cross_attention: true }, /dual_cross_attention: .* but received true/],
    ['a number of heads', unet2dCondition, { ...cross, num_attention_heads: 4 }, /num_attention_heads = 4 is refused by the reference, too/],
    ['no groups', unet2dCondition, { ...cross, norm_num_groups: null }, /norm_num_groups = null leaves the groups of the residual blocks open/],
    ['skip blocks with tokens', unet2dCondition, { ...cross, down_block_types: ['SkipDownBlock2D'] }, /SkipDownBlock2D" carries the image along, which UNet2DModel does/],
    ['token blocks without tokens', unet2d, { block_out_channels: [8], down_block_types: ['CrossAttnDownBlock2D'], up_block_types: ['UpBlock2D'] }, /CrossAttnDownBlock2D" attends to tokens, of which this network has none/],
    ['skip blocks on other than three channels', unet2d, { in_channels: 4, block_out_channels: [8], down_block_types: ['SkipDownBlock2D'], up_block_types: ['UpBlock2D'] }, /in_channels = 4 cannot be carried along by Skip blocks/],
    ['learned times without a number', unet2d, { time_embedding_type: 'learned' }, /num_train_timesteps = null leaves the number of learned time embeddings open/],
    ['sizes without their widths', unet2dCondition, { ...cross, addition_embed_type: 'text_time' }, /text_time" needs addition_time_embed_dim and projection_class_embeddings_input_dim/],
    ['a projection without its width', unet2dCondition, { ...cross, class_embed_type: 'projection' }, /projection" needs projection_class_embeddings_input_dim/],
    ['depths within a level without those of the way up', unet2dCondition, { ...cross, transformer_layers_per_block: [[1, 2]] }, /needs reverse_transformer_layers_per_block/],
    ['too few depths', unet2dCondition, { ...cross, transformer_layers_per_block: [[1]], reverse_transformer_layers_per_block: [[1, 1, 1]] }, /transformer_layers_per_block = \[1\] should have 2 values, one per residual block/],
    ['a projection a ControlNet never runs', controlNet, { encoder_hid_dim: 8 }, /^ControlNetModel: encoder_hid_dim: .* but received 8$/],
    ['widths that change', autoencoderTiny, { encoder_block_out_channels: [8, 8, 8, 16] }, /encoder_block_out_channels = \[8,8,8,16\] changes its width/],
    ['scales per channel that are too few', autoencoderKl, { latents_mean: [0], latents_std: [1] }, /latents_mean = \[0\] should have 4 values/],
    ['shortcuts of channels that do not divide', autoencoderDc, { encoder_block_out_channels: [8, 24], decoder_block_out_channels: [8, 8], encoder_layers_per_block: [1, 1], decoder_layers_per_block: [1, 1], encoder_qkv_multiscales: [[], []], decoder_qkv_multiscales: [[], []], latent_channels: 4 }, /has no shortcut from 8 to 24 channels, which do not divide/],
    ['a norm the reference cannot run', autoencoderDc, { decoder_norm_types: 'layer_norm' }, /decoder_norm_types: .* but received "layer_norm"/],
  ])('%s', (_what, build, config, message) => {
    expect(() => build(config)).toThrow(ConfigError);
    expect(() => build(config)).toThrow(message);
  });
});

describe('configurations as they are found', () => {
  it('keep notes of the reference to themselves', () => {
    expect(autoencoderTiny({ _class_name: 'AutoencoderTiny', _diffusers_version: '0.20.0', _name_or_path: 'x' }).config).not.toHaveProperty('_name_or_path');
  });

  it('take block names of the oldest files', () => {
    const config = { block_out_channels: [8], norm_num_groups: 4, attention_head_dim: 4, layers_per_block: 1 };
    const old = unet2d({ ...config, down_block_types: ['UNetResAttnDownBlock2D'], up_block_types: ['UNetResAttnUpBlock2D'] });
    const current = unet2d({ ...config, down_block_types: ['AttnDownBlock2D'], up_block_types: ['AttnUpBlock2D'] });
    expect([...old.specs.keys()]).toEqual([...current.specs.keys()]);
  });

  it('spread one value over levels', () => {
    expect(perLevel('m', 'f', 3, 2)).toEqual([3, 3]);
    expect(perLevel('m', 'f', [1, 2], 2)).toEqual([1, 2]);
  });
});

describe('a ControlNet for a UNet', () => {
  it('shares its fields, and starts from its way down', () => {
    const unet = unet2dCondition({ ...cross, layers_per_block: 1 });
    const control = controlNet(controlConfigOf(unet.config, { conditioning_embedding_out_channels: [4, 4] }));
    const state = Object.fromEntries([...unet.specs].map(([name, { shape }]) => [name, { shape, data: new Float32Array(shape.reduce((product, n) => product * n, 1)) }]));
    const own = [...control.specs.keys()].filter((name) => !(name in controlStart(control, state)));
    expect(own.every((name) => name.startsWith('controlnet_'))).toBe(true);
    expect(() => controlConfigOf({ ...unet.config, layers_per_block: [1, 2] })).toThrow(/layers_per_block = \[1,2\] differs from level to level/);
  });
});
