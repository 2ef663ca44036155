/** Goldens of critics: R3GAN's networks and losses, penalties on a plain critic. */
import { relativisticPairing } from '../../src/losses/adversarial.ts';
import { judgedWithGradient } from '../../src/losses/penalties.ts';
import { leakyRelu } from '../../src/models/leakyRelu.ts';
import type { StateDict } from '../../src/models/net.ts';
import { type Params, type Scope, buildNetwork } from '../../src/models/network.ts';
import { conv2d, gelu, groupNorm, linear, silu } from '../../src/models/nn.ts';
import { type R3ganConfig, r3ganCritic, r3ganGenerator } from '../../src/models/r3gan.ts';
import { gradientsOf } from '../../src/models/tape.ts';
import { checkStateDict } from '../../src/models/weights/report.ts';
import * as tf from '../../src/tf.ts';
import { compareTensor, paramsFrom } from './compare.ts';
import { type Comparison, type Golden, type Handler, imageOf, tensorOf, toNchw, toleranceOf } from './golden.ts';

type Critic = (params: Params, x: tf.Tensor4D) => tf.Tensor;

/** Entries whose name starts with `prefix`, without it. */
const below = (prefix: string, dict: StateDict): StateDict => Object.fromEntries(Object.entries(dict).filter(([name]) => name.startsWith(prefix)).map(([name, value]) => [name.slice(prefix.length), value]));

/** Compares each tensor with the golden's of the same name; gradients (`x.grad.y`) by their own limit. Frees them. */
const compareAll = async (golden: Golden, results: Readonly<Record<string, tf.Tensor>>): Promise<Comparison[]> => {
  const unknown = Object.keys(golden.io).filter((name) => !name.startsWith('input.') && !(name in results));
  const comparisons = await Promise.all(Object.entries(results).map(([name, ours]) => compareTensor(golden, name, ours, toleranceOf(golden, name.includes('grad.') ? 'gradient' : 'forward', 1e-4))));
  tf.dispose(results);
  return [...comparisons, ...unknown.map((name) => ({ name, error: Infinity, limit: 0, note: 'not computed' }))];
};

/** The critic's step: per-image losses and penalties, and the gradient of mean(loss + gamma / 2 (r1 + r2)). Call inside a tidy. */
const criticStep = (golden: Golden, weights: StateDict, critic: Critic, real: tf.Tensor4D, fake: tf.Tensor4D): Record<string, tf.Tensor> => {
  const gamma = golden.manifest.config['gamma'] as number;
  const params = paramsFrom(weights);
  const names = Object.keys(golden.io).filter((name) => name.startsWith('d.grad.')).map((name) => name.slice('d.grad.'.length));
  const { grads, extra } = gradientsOf(names.map((name) => params[name] as tf.Tensor), () => {
    const judge = (x: tf.Tensor4D): tf.Tensor => critic(params, x);
    const [onReal, onFake] = [judgedWithGradient(judge, real), judgedWithGradient(judge, fake)];
    const adversarial = relativisticPairing.critic({ realLogits: onReal.logits, fakeLogits: onFake.logits });
    const penalty = tf.mul(tf.mean(tf.add(onReal.squaredNorms, onFake.squaredNorms)), gamma / 2);
    const relativistic = tf.sub(onReal.logits, onFake.logits);
    return {
      loss: tf.add(adversarial, penalty) as tf.Scalar,
      extra: { 'd.relativistic_logits': relativistic, 'd.adversarial_loss': tf.softplus(tf.neg(relativistic)), 'd.r1': onReal.squaredNorms, 'd.r2': onFake.squaredNorms },
    };
  });
  return { ...extra, ...Object.fromEntries(names.map((name, i) => [`d.grad.${name}`, grads[i] as tf.Tensor])) };
};

const numbers = (options: Readonly<Record<string, unknown>>, name: string): number[] => options[name] as number[];

/** R3GAN's constructor arguments as ours. @throws TypeError for one that is not known */
const r3ganOptions = (options: Readonly<Record<string, unknown>>): Partial<R3ganConfig> & Pick<R3ganConfig, 'widths' | 'cardinalities' | 'blocks'> => {
  const renamed: Readonly<Record<string, string>> = { ExpansionFactor: 'expansion', KernelSize: 'kernel', ResamplingFilter: 'filter', ConditionDimension: 'condition', ConditionEmbeddingDimension: 'embedding' };
  const known = ['NoiseDimension', 'WidthPerStage', 'CardinalityPerStage', 'BlocksPerStage', ...Object.keys(renamed)];
  for (const name of Object.keys(options)) if (!known.includes(name)) throw new TypeError(`r3gan: no option ${name}; known are ${known.join(', ')}`);
  return {
    widths: numbers(options, 'WidthPerStage'), cardinalities: numbers(options, 'CardinalityPerStage'), blocks: numbers(options, 'BlocksPerStage'),
    ...Object.fromEntries(Object.entries(options).flatMap(([name, value]) => (renamed[name] === undefined || value === null ? [] : [[renamed[name], value]]))),
  };
};

const runR3gan = async (golden: Golden): Promise<Comparison[]> => {
  const { config } = golden.manifest;
  const [forGenerator, forCritic] = [config['generator'], config['discriminator']] as [Record<string, unknown>, Record<string, unknown>];
  const generator = r3ganGenerator({ noise: forGenerator['NoiseDimension'] as number, ...r3ganOptions(forGenerator) });
  const critic = r3ganCritic(r3ganOptions(forCritic));
  const [ofGenerator, ofCritic] = [below('generator.', golden.weights), below('discriminator.', golden.weights)];
  checkStateDict(generator, ofGenerator);
  checkStateDict(critic, ofCritic);
  const results = tf.tidy(() => {
    const [noise, real] = [tensorOf<tf.Rank.R2>(golden, 'input.noise'), imageOf(golden, 'input.real')];
    const conditionName = Object.keys(golden.io).find((name) => name.startsWith('input.') && name !== 'input.noise' && name !== 'input.real');
    const condition = conditionName === undefined ? [] as const : [tensorOf<tf.Rank.R2>(golden, conditionName)] as const;
    const [params, constants] = [paramsFrom(ofGenerator), paramsFrom(ofCritic)];
    const names = Object.keys(golden.io).filter((name) => name.startsWith('g.grad.')).map((name) => name.slice('g.grad.'.length));
    const { grads, extra } = gradientsOf(names.map((name) => params[name] as tf.Tensor), () => {
      const fake = generator.apply(params, noise, ...condition);
      const [realLogits, fakeLogits] = [critic.apply(constants, real, ...condition), critic.apply(constants, fake, ...condition)];
      const relativistic = tf.sub(fakeLogits, realLogits);
      return {
        loss: relativisticPairing.generator({ realLogits, fakeLogits }),
        extra: { fake, 'output.critic_real': realLogits, 'output.critic_fake': fakeLogits, 'g.relativistic_logits': relativistic, 'g.adversarial_loss': tf.softplus(tf.neg(relativistic)) },
      };
    });
    const { fake, ...ofG } = extra;
    return {
      'output.fake': toNchw(fake), ...ofG, ...Object.fromEntries(names.map((name, i) => [`g.grad.${name}`, grads[i] as tf.Tensor])),
      ...criticStep(golden, ofCritic, (given, x) => critic.apply(given, x, ...condition), real, fake),
    };
  });
  return compareAll(golden, results);
};

const activations: Readonly<Record<string, (x: tf.Tensor) => tf.Tensor>> = {
  silu, swish: silu, gelu, elu: tf.elu, relu: tf.relu, tanh: tf.tanh, sigmoid: tf.sigmoid, softplus: tf.softplus,
  lrelu: (x) => leakyRelu(x), leaky_relu: (x) => leakyRelu(x), leakyrelu: (x) => leakyRelu(x),
};

/** The critic that `what` describes in words: convolutions 0, 2 and 5, group norm 3, linear 8. */
const plainCritic = ({ manifest, weights }: Golden): ReturnType<typeof buildNetwork<[tf.Tensor4D], tf.Tensor>> => {
  const { config } = manifest;
  const activation = activations[String(config['activation'] ?? 'silu')];
  if (!activation) throw new TypeError(`r1r2-plain: no activation ${String(config['activation'])}; known are ${Object.keys(activations).join(', ')}`);
  const groups = Number(/GroupNorm\((\d+)/.exec(String(manifest['what']))?.[1] ?? config['groups'] ?? 3);
  const shape = (name: string): readonly number[] => {
    const value = weights[`net.${name}.weight`];
    if (!value) throw new TypeError(`r1r2-plain: the golden has no net.${name}.weight`);
    return value.shape;
  };
  return buildNetwork('critic', config, (root) => {
    const at = (place: number): Scope => root.at('net').at(place);
    const convolution = (place: number, stride: number): ReturnType<typeof conv2d> => {
      const [to, from, kernel] = shape(`${place}`) as [number, number, number];
      return conv2d(at(place), { from, to, kernel, stride, padding: 1 });
    };
    const [first, second, third] = [convolution(0, 1), convolution(2, 2), convolution(5, 2)];
    const norm = groupNorm(at(3), { groups, channels: shape('3')[0] as number });
    const [to, from] = shape('8') as [number, number];
    const last = linear(at(8), { from, to });
    return (params, x) => {
      const h = activation(norm(params, second(params, activation(first(params, x)) as tf.Tensor4D))) as tf.Tensor4D;
      return tf.reshape(last(params, tf.reshape(toNchw(activation(third(params, h))), [x.shape[0], -1])), [x.shape[0]]);
    };
  });
};

const runPlain = async (golden: Golden): Promise<Comparison[]> => {
  const critic = plainCritic(golden);
  checkStateDict(critic, golden.weights);
  return compareAll(golden, tf.tidy(() => criticStep(golden, golden.weights, critic.apply, imageOf(golden, 'input.real'), imageOf(golden, 'input.fake'))));
};

const from = (repository: string) => ({ manifest }: Pick<Golden, 'manifest'>): boolean => String(manifest.source?.['repo'] ?? '').toLowerCase().endsWith(repository);

export const criticHandlers: readonly Handler[] = [
  { kind: 'R3GAN', matches: (golden) => from('r3gan')(golden) && 'generator' in golden.manifest.config, run: runR3gan },
  { kind: 'penalties on a plain critic', matches: from('r3gan'), run: runPlain },
];
