/** Autoencoders, UNets, ControlNet and LoRA against the reference's. */
import * as E from 'fp-ts/lib/Either.js';
import { autoencoderDc } from '../../src/models/autoencoderDc.ts';
import { autoencoderKl, klDivergence, posteriorOf, samplePosterior } from '../../src/models/autoencoderKl.ts';
import { autoencoderTiny, quantiseLatent } from '../../src/models/autoencoderTiny.ts';
import { joinedSpecs, paramsBelow } from '../../src/models/compose.ts';
import { type ControlResiduals, controlNet } from '../../src/models/controlNet.ts';
import { isLora, mergeLora, withLora } from '../../src/models/lora.ts';
import type { Network, Params } from '../../src/models/network.ts';
import { unet2d } from '../../src/models/unet2d.ts';
import { type UnetGiven, unet2dCondition } from '../../src/models/unet2dCondition.ts';
import { loraFrom } from '../../src/models/weights/loraFiles.ts';
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
  if (Object.keys(golden.io).some((name) => name.startsWith('lora.'))) return adapted(golden, network);
  return compareNetwork(golden, network, (params, inputs) => ({ sample: network.apply(params, input(inputs, 'sample'), input(inputs, 'timestep'), givenOf(inputs)) }));
};

const record = (value: unknown): Readonly<Record<string, unknown>> => value as Readonly<Record<string, unknown>>;

/** A ControlNet alone, or with the UNet that it steers; then their weights are below `controlnet.` and `unet.`. */
const control = (golden: Golden): Promise<Comparison[]> => {
  const init = initOf(golden);
  const together = 'unet' in init && 'controlnet' in init;
  const network = controlNet(together ? record(init['controlnet']) : init);
  const strength = Number(init['conditioning_scale'] ?? golden.manifest.config['conditioning_scale'] ?? 1);
  const guess = Boolean(init['guess_mode'] ?? golden.manifest.config['guess_mode'] ?? false);
  const steer = (params: Params, inputs: Inputs): ControlResiduals =>
    network.apply(params, input(inputs, 'sample'), input(inputs, 'timestep'), { ...givenOf(inputs), controlImage: input(inputs, 'controlnet_cond'), strength, guess });
  const named = ({ downResiduals, midResidual }: ControlResiduals): Record<string, tf.Tensor> =>
    ({ ...Object.fromEntries(downResiduals.map((residual, i) => [`down_residual.${i}`, residual])), mid_residual: midResidual });
  if (!together) return compareNetwork(golden, network, (params, inputs) => named(steer(params, inputs)));
  const steered = unet2dCondition(record(init['unet']));
  return compareNetwork(golden, { name: 'UNet2DConditionModel with ControlNetModel', specs: joinedSpecs({ unet: steered, controlnet: network }) }, (params, inputs) => {
    const residuals = steer(paramsBelow(params, 'controlnet'), inputs);
    const run = (more: Partial<ControlResiduals>): tf.Tensor => steered.apply(paramsBelow(params, 'unet'), input(inputs, 'sample'), input(inputs, 'timestep'), { ...givenOf(inputs), ...more });
    const alone = run({});
    return { sample_without_controlnet: alone, sample: run(residuals), ...named(residuals) };
  });
};

/** A network with adapters, its matrices in `io` below `lora.`: unmerged, merged, and without. */
const adapted = async (golden: Golden, network: Network<[Image, tf.Tensor, UnetGiven?], Image>): Promise<Comparison[]> => {
  const file = Object.fromEntries(Object.entries(golden.io).filter(([name]) => name.startsWith('lora.')).map(([name, value]) => [name.slice('lora.'.length), value]));
  const { alpha, scale = 1, effective_factor: factor } = golden.manifest.config;
  const read = loraFrom(network, file, typeof alpha === 'number' ? { alpha } : {});
  if (E.isLeft(read)) throw read.left;
  const modules = read.right.modules.map((module) => ({ ...module, alpha: typeof factor === 'number' ? factor * module.rank : Number(scale) * module.alpha }));
  const lora = withLora(network, modules);
  const run = (apply: typeof network.apply, params: Params, inputs: Inputs): Image => apply(params, input(inputs, 'sample'), input(inputs, 'timestep'), givenOf(inputs));
  // The golden names gradients of matrices as its file does.
  const gradients = Object.fromEntries(Object.keys(file).map((name) => [`grad.param.${name}`, `grad.param.${name.replace(/^unet\./, '')}`]));
  const renamed: Golden = { ...golden, io: Object.fromEntries(Object.entries(golden.io).map(([name, value]) => [gradients[name] ?? name, value])) };
  const unmerged = await compareNetwork(renamed, lora, (params, inputs) => ({
    sample_without_lora: run(network.apply, withoutLora(params), inputs), sample: run(lora.apply, params, inputs),
  }), { weights: { ...golden.weights, ...read.right.state } });
  const onlyOutput = Object.fromEntries(Object.entries(golden.io).filter(([name]) => name.startsWith('input.') || name === 'output.sample'));
  const merged = await compareNetwork({ ...golden, io: onlyOutput }, network, (params, inputs) => ({ sample: run(network.apply, params, inputs) }), {
    weights: mergeLora(golden.weights, read.right.state, modules), limits: { 'output.sample': 1e-5 },
  });
  return [...unmerged, ...merged.map((comparison) => ({ ...comparison, name: `${comparison.name} (merged)` }))];
};

const withoutLora = (params: Params): Params => ({ ...params, ...Object.fromEntries(Object.keys(params).filter(isLora).map((name) => [name, undefined])) }) as Params;

const classes: Readonly<Record<string, (golden: Golden) => Promise<Comparison[]>>> = {
  AutoencoderTiny: tiny, AutoencoderKL: kl, AutoencoderDC: dc, UNet2DModel: unet, UNet2DConditionModel: conditionUnet, ControlNetModel: control,
};

const classOf = ({ manifest }: Pick<Golden, 'manifest'>): string => String(manifest.config['class'] ?? manifest.source?.['class']);

export const handlers: readonly Handler[] = Object.entries(classes).map(([name, run]) => ({ kind: name, matches: (golden) => classOf(golden) === name, run }));
