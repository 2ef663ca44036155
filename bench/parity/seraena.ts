/** Goldens of seraena: scores, correction, one training step. */
import { seraenaCorrection, seraenaLoss } from '../../src/losses/seraena.ts';
import { differentiate } from '../../src/models/differentiate.ts';
import { applyNet, makeNet, named, unflatten } from '../../src/models/net.ts';
import { seraenaCritic } from '../../src/models/seraena.ts';
import { checkStateDict } from '../../src/models/weights/report.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { updateNet } from '../../src/optim/update.ts';
import { seeded } from '../../src/random.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { compareTensor } from './compare.ts';
import { type Comparison, type Golden, type Handler, imageOf, tensorOf, toNchw, toleranceOf } from './golden.ts';

const known = ['channels', 'strides', 'c_ctx', 'c_im', 'max_buff_len', 'use_amp'];

const run = async (golden: Golden): Promise<Comparison[]> => {
  const { config } = golden.manifest;
  for (const name of Object.keys(config)) if (!known.includes(name)) throw new TypeError(`seraena: no option ${name}; known are ${known.join(', ')}`);
  const network = seraenaCritic({
    range: 'unit', ...('c_im' in config && { channels: config['c_im'] as number }), ...('c_ctx' in config && { context: config['c_ctx'] as number }),
    ...('channels' in config && { widths: config['channels'] as number[] }), ...('strides' in config && { strides: config['strides'] as number[] }),
  });
  checkStateDict(network, golden.weights);
  const net = makeNet(network, { key: seeded(0), optimizer: adamw({ beta2: 0.99 }), lr: () => 3e-4, given: golden.weights });
  const has = (name: string): boolean => name in golden.io;
  const evaluate = (prefix: 'disc_eval.scores_' | '', name: string): Record<string, tf.Tensor> => {
    const [real, fake, context] = [imageOf(golden, 'input.real'), imageOf(golden, 'input.fake'), imageOf(golden, 'input.ctx')];
    const judge = (x: tf.Tensor4D): tf.Tensor4D => applyNet(net)(x, context);
    return {
      ...(prefix !== '' && { [`${prefix}real`]: toNchw(judge(real)), [`${prefix}fake`]: toNchw(judge(fake)) }),
      [name]: toNchw(seraenaCorrection(judge, real, fake)),
    };
  };
  const results: Record<string, tf.Tensor> = tf.tidy(() => evaluate('disc_eval.scores_', 'correction'));
  Object.assign(results, tf.tidy(() => {
    const targets = tensorOf<tf.Rank.R4>(golden, 'train.targets');
    const isFake = tf.cast(tf.greater(tf.mean(targets, [1, 2, 3]), 0), 'float32') as tf.Tensor1D;
    const { loss, gradient, extra, keepBuffers } = differentiate(net, (judge) => {
      const scores = judge(imageOf(golden, 'train.in'), imageOf(golden, 'train.in_ctx'));
      return { loss: seraenaLoss(scores, isFake), extra: toNchw(scores) };
    });
    const { finite } = updateNet(net, gradient, { loss, step: 0 });
    keepBuffers(finite);
    const grads = named(net.layout, unflatten(gradient, net.layout));
    return { 'train.loss': loss, 'train.scores': extra, ...Object.fromEntries(Object.entries(grads).flatMap(([name, grad]) => (has(`train.grad.${name}`) ? [[`train.grad.${name}`, grad]] : []))) };
  }));
  Object.assign(results, tf.tidy(() => {
    const after = { ...named(net.layout, unflatten(net.weights, net.layout)), ...(net.frozen && named(net.frozenLayout, unflatten(net.frozen, net.frozenLayout))) };
    return {
      ...Object.fromEntries(Object.entries(after).flatMap(([name, value]) => (has(`after.${name}`) ? [[`after.${name}`, value]] : []))),
      ...(has('correction_after_step') && evaluate('', 'correction_after_step')),
    };
  }));
  const missing = Object.keys(golden.io).filter((name) => !(name in results) && !name.startsWith('input.') && !['train.in', 'train.in_ctx', 'train.targets'].includes(name));
  const limitOf = (name: string): number => {
    if (name.startsWith('correction')) return toleranceOf(golden, 'correction', 1e-3);
    if (name.startsWith('train.grad')) return toleranceOf(golden, 'gradient', 1e-3);
    if (!name.startsWith('after.') || /running|num_batches/.test(name)) return toleranceOf(golden, 'forward', 1e-4);
    // Adam divides tiny gradients: an absolute 3e-5, as the manifest advises.
    return 3e-5 / Math.max(1e-6, ...Array.from(golden.io[name]?.data ?? [], Math.abs));
  };
  const comparisons = await Promise.all(Object.entries(results).map(([name, ours]) => compareTensor(golden, name, ours, limitOf(name))));
  tf.dispose(results);
  free({ net });
  return [...comparisons, ...missing.map((name) => ({ name, error: Infinity, limit: 0, note: 'not computed' }))];
};

export const seraenaHandlers: readonly Handler[] = [
  { kind: 'seraena', matches: ({ manifest }) => String(manifest.source?.['repo'] ?? '').endsWith('seraena'), run },
];
