/** Goldens of optimizers, gradient clipping and learning rates. */
import { constant, constantWithWarmUp, cosine, cosineWithRestarts, linear, piecewise, polynomial } from '../../src/optim/learningRate.ts';
import { adam } from '../../src/optim/adam.ts';
import { adamw } from '../../src/optim/adamw.ts';
import type { LearningRate, Optimizer, Slots } from '../../src/optim/optimizer.ts';
import { radam } from '../../src/optim/radam.ts';
import { rmsprop } from '../../src/optim/rmsprop.ts';
import { sgd } from '../../src/optim/sgd.ts';
import { clipByNorm } from '../../src/optim/update.ts';
import { flatten } from '../../src/models/net.ts';
import * as tf from '../../src/tf.ts';
import { compareTensor, relativeError } from './compare.ts';
import { type Comparison, type Golden, type Handler, tensorOf, toleranceOf } from './golden.ts';

type Options = Readonly<Record<string, unknown>>;
/** Renames of PyTorch's arguments; `betas` becomes two. Arguments that only choose an implementation are passed over. */
const renamed: Readonly<Record<string, string>> = { eps: 'eps', weight_decay: 'weightDecay', amsgrad: 'amsgrad', maximize: 'maximize', momentum: 'momentum', dampening: 'dampening', nesterov: 'nesterov', alpha: 'alpha', centered: 'centered', decoupled_weight_decay: 'decoupled' };
const ignored = ['lr', 'betas', 'foreach', 'capturable', 'differentiable', 'fused'];
const known: Readonly<Record<string, readonly [make: (options: never) => Optimizer, takes: readonly string[], rate: number]>> = {
  Adam: [adam, ['betas', 'eps', 'weight_decay', 'amsgrad', 'maximize'], 1e-3],
  AdamW: [adamw, ['betas', 'eps', 'weight_decay', 'amsgrad', 'maximize'], 1e-3],
  RAdam: [radam, ['betas', 'eps', 'weight_decay', 'maximize', 'decoupled_weight_decay'], 1e-3],
  SGD: [sgd, ['momentum', 'dampening', 'weight_decay', 'nesterov', 'maximize'], 1e-3],
  RMSprop: [rmsprop, ['alpha', 'eps', 'weight_decay', 'momentum', 'centered', 'maximize'], 1e-2],
};

const optimizerOf = (name: string, config: Options): Optimizer => {
  const entry = known[name];
  if (!entry) throw new TypeError(`optim: no optimizer ${name}; known are ${Object.keys(known).join(', ')}`);
  const [make, takes] = entry;
  for (const key of Object.keys(config)) {
    if (!ignored.includes(key) && !takes.includes(key)) throw new TypeError(`optim: ${name} has no option ${key}; it takes ${takes.join(', ')}`);
  }
  const betas = config['betas'] as readonly [number, number] | undefined;
  const options = Object.fromEntries(Object.entries(config).flatMap(([key, value]) => (renamed[key] === undefined ? [] : [[renamed[key], value]])));
  return make({ ...options, ...(betas && { beta1: betas[0], beta2: betas[1] }) } as never);
};

const runOptimizer = async (golden: Golden): Promise<Comparison[]> => {
  const { config, source } = golden.manifest;
  const name = String(source?.['class']).split('.').at(-1) as string;
  const optimizer = optimizerOf(name, config);
  const lr = (config['lr'] as number | undefined) ?? (known[name]?.[2] as number);
  const path = tf.tidy(() => {
    const given = tensorOf(golden, 'parameters');
    const gradients = tf.unstack(tf.reshape(tensorOf(golden, 'gradients'), [(given.shape[0] as number) - 1, -1])) as tf.Tensor1D[];
    let weights = tf.reshape(tf.slice(given, 0, 1), [-1]) as tf.Tensor1D;
    let slots: Slots = Object.fromEntries(Object.entries(optimizer.slots).map(([slot, start]) => [slot, tf.fill([weights.size], start)]));
    const rows = [weights];
    for (const [i, gradient] of gradients.entries()) {
      ({ weights, slots } = optimizer.update(weights, gradient, slots, tf.scalar(lr), tf.scalar(i + 1)));
      rows.push(weights);
    }
    return tf.reshape(tf.stack(rows), given.shape);
  });
  const result = [await compareTensor(golden, 'parameters', path, toleranceOf(golden, 'forward', 2e-6))];
  path.dispose();
  return result;
};

const rateOf = (name: string, config: Options): LearningRate => {
  const at = (key: string, fallback?: number): number => {
    const value = config[key] ?? fallback;
    if (typeof value !== 'number') throw new TypeError(`optim: expected a number for ${key} but received ${String(value)}`);
    return value;
  };
  const lr = at('lr');
  const phases = { warmUp: at('num_warmup_steps', 0), steps: at('num_training_steps', 1) };
  const cycles = config['num_cycles'];
  switch (name) {
    case 'constant': return constant(lr);
    case 'constant_with_warmup': return constantWithWarmUp(lr, phases);
    case 'linear': return linear(lr, phases);
    case 'cosine': return cosine(lr, { ...phases, ...(typeof cycles === 'number' && { cycles }) });
    case 'cosine_with_restarts': return cosineWithRestarts(lr, { ...phases, cycles: at('num_cycles (restarts)', at('num_cycles', 1)) });
    case 'polynomial': return polynomial(lr, { ...phases, end: at('lr_end', 1e-7), power: at('power', 1) });
    case 'piecewise_constant': {
      const rules = String(config['step_rules']).split(',').map((rule) => rule.split(':').map(Number)) as [factor: number, until: number][];
      const last = rules.pop()?.[0] as number;
      return piecewise(rules.map(([factor, until], i) => [until - (rules[i - 1]?.[1] ?? 0), constant(lr * factor)]), constant(lr * last));
    }
    default: throw new TypeError(`optim: no learning rate ${name}; known are constant, constant_with_warmup, linear, cosine, cosine_with_restarts, polynomial, piecewise_constant`);
  }
};

const knownRates = ['max_norm', 'norm_type', 'lr', 'num_warmup_steps', 'num_training_steps', 'num_cycles', 'num_cycles (restarts)', 'power', 'lr_end', 'step_rules'];

const runClipAndRates = async (golden: Golden): Promise<Comparison[]> => {
  const { io, manifest: { config } } = golden;
  const strange = Object.keys(config).find((name) => !knownRates.includes(name));
  if (strange !== undefined) throw new TypeError(`optim: no option ${strange}; known are ${knownRates.join(', ')}`);
  if (Number(config['norm_type'] ?? 2) !== 2) throw new TypeError(`optim: gradients are clipped by their 2-norm, not by norm_type ${String(config['norm_type'])}`);
  const limit = toleranceOf(golden, 'forward', 2e-5);
  const grads = Object.keys(io).filter((name) => /^grad\.\d+$/.test(name));
  const comparisons: Comparison[] = [];
  if (grads.length > 0) {
    const { norm, parts } = tf.tidy(() => {
      const tensors = grads.map((name) => tensorOf(golden, name));
      const { clipped, norm } = clipByNorm(flatten(tensors), config['max_norm'] as number);
      return { norm, parts: tf.split(clipped, tensors.map(({ size }) => size)).map((part, i) => tf.reshape(part, (tensors[i] as tf.Tensor).shape)) };
    });
    comparisons.push(await compareTensor(golden, 'total_norm', norm, limit));
    for (const [i, name] of grads.entries()) comparisons.push(await compareTensor(golden, name.replace('grad', 'clipped'), parts[i] as tf.Tensor, limit));
    tf.dispose([norm, parts]);
  }
  for (const [name, { data }] of Object.entries(io)) {
    if (!name.startsWith('lr.')) continue;
    const rate = rateOf(name.slice('lr.'.length), config);
    comparisons.push({ name, error: relativeError(Float64Array.from(data, (_, step) => rate(step)), data), limit });
  }
  return comparisons;
};

export const handlers: readonly Handler[] = [
  { kind: 'optimizer', matches: ({ manifest }) => String(manifest.source?.['class']).startsWith('torch.optim.'), run: runOptimizer },
  { kind: 'clipping and learning rates', matches: ({ manifest }) => manifest.source?.['function'] === 'get_scheduler', run: runClipAndRates },
];
