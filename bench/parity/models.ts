/** Autoencoders, UNets, ControlNet and LoRA against the reference's. */
import { autoencoderDc } from '../../src/models/autoencoderDc.ts';
import { autoencoderKl, klDivergence, posteriorOf, samplePosterior } from '../../src/models/autoencoderKl.ts';
import { autoencoderTiny, quantiseLatent } from '../../src/models/autoencoderTiny.ts';
import { unet2d } from '../../src/models/unet2d.ts';
import { type UnetGiven, unet2dCondition } from '../../src/models/unet2dCondition.ts';
import * as tf from '../../src/tf.ts';
import { compareNetwork } from './compare.ts';
import { type Comparison, type Golden, type Handler, initOf } from './golden.ts';

type Image = tf.Tensor4D;
type Inputs = Readonly<Record<string, tf.Tensor>>;

const input = <T extends tf.Tensor = Image>(inputs: Inputs, name: string): T => {
  const value = inputs[name];
  if (value === undefined) throw new TypeError(`the golden has no input.${name}`);
  return value as T;
};

const tiny = (golden: Golden): Promise<Comparison[]> => {
  const network = autoencoderTiny(initOf(golden));
  return compareNetwork(golden, network, (params, inputs) => {
    const latents = network.encode(params, input(inputs, 'sample'));
    const roundtrip = network.decode(params, latents);
    const decoded: Record<string, tf.Tensor> = 'latents' in inputs ? { decoded: network.decode(params, input(inputs, 'latents')) } : {};
    return { roundtrip, latents, ...decoded, forward_quantised: network.decode(params, quantiseLatent(latents, network.config)) };
  }, { limits: { 'output.forward_quantised': 2e-2 } });
};

const kl = (golden: Golden): Promise<Comparison[]> => {
  const network = autoencoderKl(initOf(golden));
  return compareNetwork(golden, network, (params, inputs) => {
    const moments = network.moments(params, input(inputs, 'sample'));
    const posterior = posteriorOf(moments);
    const z = 'noise' in inputs ? samplePosterior(posterior, input(inputs, 'noise')) : posterior.mean;
    return { decoded: network.decode(params, z), moments, ...posterior, z, kl: klDivergence(posterior) };
  });
};

const dc = (golden: Golden): Promise<Comparison[]> => {
  const network = autoencoderDc(initOf(golden));
  return compareNetwork(golden, network, (params, inputs) => {
    const latent = network.encode(params, input(inputs, 'sample'));
    return { decoded: network.decode(params, latent), latent };
  });
};

/** Names of the reference's forward arguments, as ours are called. */
const given: Readonly<Record<string, keyof UnetGiven>> = {
  encoder_hidden_states: 'encoderHiddenStates', encoder_attention_mask: 'encoderAttentionMask', attention_mask: 'attentionMask', class_labels: 'classLabels', text_embeds: 'textEmbeds',
  time_ids: 'timeIds', image_embeds: 'imageEmbeds', hint: 'hint', timestep_cond: 'timestepCond', mid_block_additional_residual: 'midResidual',
};

/** Lists of tensors, stored under a name and a position. */
const givenLists: Readonly<Record<string, keyof UnetGiven>> = { down_block_additional_residuals: 'downResiduals', down_intrablock_additional_residuals: 'adapters' };

const passedOver = new Set(['sample', 'timestep', 'controlnet_cond', 'lora_scale']);

/** @throws TypeError for an argument we have no name for */
const givenOf = (inputs: Inputs): UnetGiven => {
  const found: Record<string, tf.Tensor | tf.Tensor[]> = {};
  for (const [name, value] of Object.entries(inputs)) {
    if (passedOver.has(name)) continue;
    const [, list, position] = /^(.*)\.(\d+)$/.exec(name) ?? [];
    const listName = list === undefined ? undefined : givenLists[list];
    const plainName = given[name.replace(/^added_cond_kwargs\./, '')];
    if (listName !== undefined) ((found[listName] ??= []) as tf.Tensor[])[Number(position)] = value;
    else if (plainName !== undefined) found[plainName] = value;
    else throw new TypeError(`the golden has input.${name}, which no argument of ours answers to`);
  }
  return found as UnetGiven;
};

const unet = (golden: Golden): Promise<Comparison[]> => {
  const network = unet2d(initOf(golden));
  return compareNetwork(golden, network, (params, inputs) => ({ sample: network.apply(params, input(inputs, 'sample'), input(inputs, 'timestep'), givenOf(inputs)) }));
};

const conditionUnet = (golden: Golden): Promise<Comparison[]> => {
  const network = unet2dCondition(initOf(golden));
  return compareNetwork(golden, network, (params, inputs) => ({ sample: network.apply(params, input(inputs, 'sample'), input(inputs, 'timestep'), givenOf(inputs)) }));
};

const classes: Readonly<Record<string, (golden: Golden) => Promise<Comparison[]>>> = {
  AutoencoderTiny: tiny, AutoencoderKL: kl, AutoencoderDC: dc, UNet2DModel: unet, UNet2DConditionModel: conditionUnet,
};

const classOf = ({ manifest }: Pick<Golden, 'manifest'>): string => String(manifest.config['class'] ?? manifest.source?.['class']);

export const handlers: readonly Handler[] = Object.entries(classes).map(([name, run]) => ({ kind: name, matches: (golden) => classOf(golden) === name, run }));
