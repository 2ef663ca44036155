/**
 * Names of the original latent-diffusion code, as single-file checkpoints of SD and SDXL have them, for networks with diffusers' names.
 * @source CompVis/latent-diffusion `openaimodel.py`, `model.py`; lllyasviel/ControlNet `cldm.py`
 */
import type { StateDict } from '../net.ts';
import { type Network, type Shape, sizeOf } from '../network.ts';

type Wanted = Pick<Network<never, unknown>, 'name' | 'config' | 'specs'>;

/** Where each kind of network lies in a checkpoint. */
const prefixes: Readonly<Record<string, string>> = { UNet2DConditionModel: 'model.diffusion_model.', ControlNetModel: 'control_model.', AutoencoderKL: 'first_stage_model.' };

const resnetParts: Readonly<Record<string, string>> = {
  norm1: 'in_layers.0', conv1: 'in_layers.2', time_emb_proj: 'emb_layers.1', norm2: 'out_layers.0', conv2: 'out_layers.3', conv_shortcut: 'skip_connection',
};

/** `prefix.rest` with the first part of `rest` looked up. */
const within = (place: string, rest: string, parts: Readonly<Record<string, string>>): string => {
  const [part, ...after] = rest.split('.') as [string, ...string[]];
  return [place, parts[part] ?? part, ...after].join('.');
};

/** Residual blocks of a level, and of the levels before it, each level with its resampler. */
const positions = (layers: number | readonly number[], levels: number): ((level: number) => number) => {
  const each = typeof layers === 'number' ? Array.from({ length: levels }, () => layers) : layers;
  return (level) => each.slice(0, level).reduce((sum, n) => sum + n + 1, 0);
};

const outer: Readonly<Record<string, string>> = {
  'time_embedding.linear_1': 'time_embed.0', 'time_embedding.linear_2': 'time_embed.2', 'add_embedding.linear_1': 'label_emb.0.0', 'add_embedding.linear_2': 'label_emb.0.2',
  'class_embedding.linear_1': 'label_emb.0.0', 'class_embedding.linear_2': 'label_emb.0.2', conv_in: 'input_blocks.0.0', conv_norm_out: 'out.0', conv_out: 'out.2',
  controlnet_mid_block: 'middle_block_out.0',
  'controlnet_cond_embedding.conv_in': 'input_hint_block.0', 'controlnet_cond_embedding.conv_out': 'input_hint_block.14',
};

type UnetFields = Readonly<{ block_out_channels: readonly number[]; layers_per_block: number | readonly number[]; up_block_types?: readonly string[] }>;

const unetName = (name: string, { block_out_channels: { length: levels }, layers_per_block: layers, up_block_types: up = [] }: UnetFields): string => {
  const leaf = /\.(weight|bias)$/.exec(name)?.[0] ?? '';
  const path = name.slice(0, name.length - leaf.length);
  const down = positions(layers, levels);
  const upward = positions(typeof layers === 'number' ? layers : layers.toReversed(), levels);
  if (outer[path] !== undefined) return `${outer[path]}${leaf}`;
  const inside = /^(down_blocks|up_blocks)\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)$/.exec(path);
  if (inside) {
    const [, way, level, kind, position, rest] = inside as unknown as [string, string, string, string, string, string];
    const [i, j] = [Number(level), Number(position)];
    if (kind === 'downsamplers') return `input_blocks.${down(i + 1)}.0.op${leaf}`;
    if (kind === 'upsamplers') return `output_blocks.${upward(i + 1) - 1}.${/Attn/.test(up[i] ?? '') ? 2 : 1}.conv${leaf}`;
    const place = way === 'down_blocks' ? `input_blocks.${down(i) + j + 1}` : `output_blocks.${upward(i) + j}`;
    return kind === 'resnets' ? `${within(`${place}.0`, rest, resnetParts)}${leaf}` : `${place}.1.${rest}${leaf}`;
  }
  const middle = /^mid_block\.(resnets|attentions)\.(\d+)\.(.*)$/.exec(path);
  if (middle) return middle[1] === 'attentions' ? `middle_block.1.${middle[3]}${leaf}` : `${within(`middle_block.${Number(middle[2]) * 2}`, middle[3] as string, resnetParts)}${leaf}`;
  const hint = /^controlnet_cond_embedding\.blocks\.(\d+)$/.exec(path);
  if (hint) return `input_hint_block.${2 * (Number(hint[1]) + 1)}${leaf}`;
  const zero = /^controlnet_down_blocks\.(\d+)$/.exec(path);
  return zero ? `zero_convs.${zero[1]}.0${leaf}` : name;
};

const attentionParts: Readonly<Record<string, string>> = { group_norm: 'norm', to_q: 'q', to_k: 'k', to_v: 'v' };

const vaeName = (name: string, { block_out_channels: { length: levels } }: Pick<UnetFields, 'block_out_channels'>): string => {
  const inner = name.replace('conv_shortcut', 'nin_shortcut').replace('conv_norm_out', 'norm_out')
    .replace(/mid_block\.resnets\.(\d)/, (_all, i: string) => `mid.block_${Number(i) + 1}`)
    .replace(/mid_block\.attentions\.0\.to_out\.0/, 'mid.attn_1.proj_out')
    .replace(/mid_block\.attentions\.0\.(\w+)/, (_all, part: string) => `mid.attn_1.${attentionParts[part] ?? part}`);
  return inner
    .replace(/down_blocks\.(\d+)\.resnets\.(\d+)/, 'down.$1.block.$2').replace(/down_blocks\.(\d+)\.downsamplers\.0/, 'down.$1.downsample')
    .replace(/up_blocks\.(\d+)\.resnets\.(\d+)/, (_all, i: string, j: string) => `up.${levels - 1 - Number(i)}.block.${j}`)
    .replace(/up_blocks\.(\d+)\.upsamplers\.0/, (_all, i: string) => `up.${levels - 1 - Number(i)}.upsample`);
};

/** The original code's name of a network's parameter, without the checkpoint's prefix. */
export const ldmNameOf = ({ name: model, config }: Pick<Wanted, 'name' | 'config'>, name: string): string =>
  (model === 'AutoencoderKL' ? vaeName(name, config as UnetFields) : unetName(name, config as UnetFields));

/** Whether a state dict has the original code's names. */
export const isLdm = (state: StateDict): boolean =>
  Object.keys(state).some((name) => /^(model\.diffusion_model|first_stage_model|control_model|input_blocks\.0\.0|encoder\.down\.0\.block\.0)\./.test(name));

/** The same values, still unread, in another shape. */
const reshaped = (entry: StateDict[string], shape: Shape): StateDict[string] =>
  Object.defineProperties({}, { ...Object.getOwnPropertyDescriptors(entry), shape: { value: shape, enumerable: true } }) as StateDict[string];

/**
 * The part of an original checkpoint that belongs to a network, by the network's names. What the checkpoint holds besides (text encoders, EMA copies, other
 * networks) is left out; what lies below the network's prefix and has no place in it comes along under its own name, so that a report shows it.
 */
export const fromLdm = (network: Wanted, state: StateDict): StateDict => {
  const prefix = prefixes[network.name] ?? '';
  const prefixed = prefix !== '' && Object.keys(state).some((name) => name.startsWith(prefix));
  const places = new Map([...network.specs.keys()].map((name) => [`${prefixed ? prefix : ''}${ldmNameOf(network, name)}`, name]));
  return Object.fromEntries(Object.entries(state).filter(([name]) => !prefixed || name.startsWith(prefix)).map(([name, entry]) => {
    const own = places.get(name);
    const shape = own === undefined ? undefined : network.specs.get(own)?.shape;
    // Projections of attention are 1x1 convolutions there and linear layers here.
    const flattened = shape !== undefined && shape.length === 2 && entry.shape.length === 4 && sizeOf(entry.shape) === sizeOf(shape);
    return [own ?? name, flattened ? reshaped(entry, shape) : entry];
  }));
};
