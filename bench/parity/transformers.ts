/** DiT, SD3, FLUX and Sana transformers against the reference's. */
import { dit } from '../../src/models/dit.ts';
import { flux } from '../../src/models/flux.ts';
import { sana } from '../../src/models/sana.ts';
import { sd3 } from '../../src/models/sd3.ts';
import type { Tokens } from '../../src/models/transformers/adaNorm.ts';
import * as tf from '../../src/tf.ts';
import { compareNetwork } from './compare.ts';
import { type Golden, type Handler, initOf } from './golden.ts';

type Image = tf.Tensor4D;
type Inputs = Readonly<Record<string, tf.Tensor>>;

const input = <T extends tf.Tensor = Image>(inputs: Inputs, name: string): T => {
  const value = inputs[name];
  if (value === undefined) throw new TypeError(`the golden has no input.${name}`);
  return value as T;
};

/** Tensors stored under a name and a position. */
const list = (inputs: Inputs, name: string): Tokens[] => Object.keys(inputs).filter((key) => key.startsWith(`${name}.`)).map((_, i) => input<Tokens>(inputs, `${name}.${i}`));

/** Refuses inputs that no argument answers to. */
const checkInputs = ({ io, manifest }: Golden, known: readonly string[]): void => {
  const strange = Object.keys(io).filter((name) => name.startsWith('input.')).map((name) => name.slice('input.'.length)).find((name) => !known.includes(name.replace(/\.\d+$/, '')));
  if (strange !== undefined) throw new TypeError(`${manifest.name}: the golden has input.${strange}, which no argument of ours answers to`);
};

/** Arguments of the forward call that are no tensors, where a golden has any. */
const callOf = ({ manifest: { config } }: Golden): Readonly<Record<string, unknown>> => (config['forward'] ?? config['call'] ?? {}) as Record<string, unknown>;

/** Ids that come with a batch axis are taken from its first entry, as the reference does. */
const ids = (inputs: Inputs, name: string): tf.Tensor2D => {
  const value = input<tf.Tensor>(inputs, name);
  return (value.rank === 3 ? tf.squeeze(tf.slice(value, 0, 1), [0]) : value) as tf.Tensor2D;
};

const runs: Readonly<Record<string, (golden: Golden) => ReturnType<Handler['run']>>> = {
  DiTTransformer2DModel: (golden) => {
    checkInputs(golden, ['hidden_states', 'timestep', 'class_labels']);
    const network = dit(initOf(golden));
    return compareNetwork(golden, network, (params, inputs) => ({ sample: network.apply(params, input(inputs, 'hidden_states'), input(inputs, 'timestep'), input(inputs, 'class_labels')) }));
  },
  SD3Transformer2DModel: (golden) => {
    checkInputs(golden, ['hidden_states', 'encoder_hidden_states', 'pooled_projections', 'timestep', 'block_controlnet_hidden_states']);
    const network = sd3(initOf(golden));
    const skipLayers = (callOf(golden)['skip_layers'] ?? []) as number[];
    return compareNetwork(golden, network, (params, inputs) => ({ sample: network.apply(params, input(inputs, 'hidden_states'), input(inputs, 'timestep'), {
      encoderHiddenStates: input<Tokens>(inputs, 'encoder_hidden_states'), pooledProjections: input<tf.Tensor2D>(inputs, 'pooled_projections'),
      control: list(inputs, 'block_controlnet_hidden_states'), skipLayers,
    }) }));
  },
  FluxTransformer2DModel: (golden) => {
    checkInputs(golden, ['hidden_states', 'encoder_hidden_states', 'pooled_projections', 'timestep', 'img_ids', 'txt_ids', 'guidance', 'controlnet_block_samples', 'controlnet_single_block_samples']);
    const network = flux(initOf(golden));
    const repeatControl = callOf(golden)['controlnet_blocks_repeat'] === true;
    return compareNetwork(golden, network, (params, inputs) => ({ sample: network.apply(params, input<Tokens>(inputs, 'hidden_states'), input(inputs, 'timestep'), {
      encoderHiddenStates: input<Tokens>(inputs, 'encoder_hidden_states'), pooledProjections: input<tf.Tensor2D>(inputs, 'pooled_projections'),
      imgIds: ids(inputs, 'img_ids'), txtIds: ids(inputs, 'txt_ids'), guidance: inputs['guidance'],
      control: list(inputs, 'controlnet_block_samples'), controlSingle: list(inputs, 'controlnet_single_block_samples'), repeatControl,
    }) }), { layout: 'asIs' });
  },
  SanaTransformer2DModel: (golden) => {
    checkInputs(golden, ['hidden_states', 'encoder_hidden_states', 'timestep', 'encoder_attention_mask', 'guidance', 'controlnet_block_samples']);
    const network = sana(initOf(golden));
    return compareNetwork(golden, network, (params, inputs) => ({ sample: network.apply(params, input(inputs, 'hidden_states'), input(inputs, 'timestep'), {
      encoderHiddenStates: input<Tokens>(inputs, 'encoder_hidden_states'), encoderAttentionMask: inputs['encoder_attention_mask'], guidance: inputs['guidance'],
      control: list(inputs, 'controlnet_block_samples'),
    }) }));
  },
};

export const handlers: readonly Handler[] = Object.entries(runs).map(([name, run]) => ({ kind: name, matches: ({ manifest: { config } }) => config['class'] === name, run }));
