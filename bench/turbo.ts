/**
 * What pix2pix-turbo at full scale asks of a machine: parameters, memory and arithmetic of one gradient, with and without recomputing, worked out without running it.
 * Run: npm run bench -- turbo [--init models/sd-turbo] [--size 512]
 * The step is recorded at its real size, over weights that are never made; what is alive at the same time, in the order of recording, is added up.
 */
import { parseArgs } from 'node:util';
import { bytesOf, type RecordedNode, type Value } from '../src/engine/onnx/value.ts';
import { recorder } from '../src/engine/exportTrace.ts';
import { mse } from '../src/losses/mse.ts';
import { checkpointed } from '../src/models/checkpointing.ts';
import { clip, clipText } from '../src/models/clip.ts';
import { lpips } from '../src/models/lpips.ts';
import { type Network, type Params, sizeOf } from '../src/models/network.ts';
import { type PretrainedTurbo, pretrainedTurbo, trainsInTurbo } from '../src/models/pretrainedTurbo.ts';
import { gradientsOf } from '../src/models/tape.ts';
import { readTurboModel } from '../src/models/weights/turboFolder.ts';
import * as tf from '../src/tf.ts';

/** SD-Turbo's sizes, where no folder is given. */
const released = {
  unet: { attention_head_dim: [5, 10, 20, 20], block_out_channels: [320, 640, 1280, 1280], cross_attention_dim: 1024, use_linear_projection: true },
  vae: { block_out_channels: [128, 256, 512, 512], layers_per_block: 2, down_block_types: Array.from({ length: 4 }, () => 'DownEncoderBlock2D'), up_block_types: Array.from({ length: 4 }, () => 'UpDecoderBlock2D') },
};

/** Kernels whose result is their input under another shape. */
const views = new Set(['Reshape', 'ExpandDims', 'Identity']);

/** Multiply-adds, counted as two, of a recorded call. */
const flopsOf = ({ signature: { kernel: { name } }, inputs, outputs }: RecordedNode): number => {
  const [x, y] = inputs.map((input) => input?.spec.shape ?? []) as [readonly number[], readonly number[]];
  const out = (outputs[0] as Value).spec;
  switch (name) {
    case 'Conv2D': return 2 * out.size * sizeOf(y.slice(0, 3));
    // Inputs: gradient of the output, and the filter; or the input and the gradient.
    case 'Conv2DBackpropInput': return 2 * sizeOf(x) * sizeOf(y.slice(0, 3));
    case 'Conv2DBackpropFilter': return 2 * sizeOf(y) * sizeOf(out.shape.slice(0, 3));
    // [..., m, k] by [..., k, n], either of them perhaps turned round.
    case 'BatchMatMul': return 2 * Math.sqrt((sizeOf(x) * sizeOf(y) * out.size) / sizeOf(out.shape.slice(0, -2)));
    // Queries by keys and shares by values, and backward both again with a gradient of each of their four factors.
    case 'Attend': return 4 * sizeOf(x) * (y.at(-2) as number);
    case 'AttendGrad': return 12 * sizeOf(y) * ((inputs[2] as Value).spec.shape.at(-2) as number);
    default: return 0;
  }
};

/** Records what `f` does; adds up what is alive at the same time, but for what `weights` makes. */
export const planOf = (f: (weights: (network: Pick<Network<never, unknown>, 'specs'>) => Params) => readonly tf.Tensor[]): Readonly<{ bytes: number; flops: number; nodes: number }> => {
  const backend = recorder();
  const order: RecordedNode[] = [];
  const record = backend.record.bind(backend);
  backend.record = (...call) => {
    const outputs = record(...call);
    const node = outputs[0]?.maker;
    if (node) order.push(node);
    return outputs;
  };
  const given = new Set<Value>();
  let plan = { bytes: 0, flops: 0, nodes: 0 };
  tf.tidy(() => {
    const results = f(({ specs }) => Object.fromEntries([...specs].map(([name, { shape }]) => {
      const tensor = tf.fill([...shape], 0.01);
      given.add(backend.held(tensor.dataId));
      return [name, tensor];
    }))).map(({ dataId }) => backend.held(dataId));
    const wanted = new Set<RecordedNode>();
    const stack = [...results];
    for (let value = stack.pop(); value; value = stack.pop()) {
      if (!value.maker || wanted.has(value.maker)) continue;
      wanted.add(value.maker);
      for (const input of value.maker.inputs) if (input) stack.push(input);
    }
    const nodes = order.filter((node) => wanted.has(node));
    // A view, and a weight in another layout, is memory that is there already.
    const homes = new Map<Value, Value>();
    const homeOf = (value: Value): Value => homes.get(value) ?? value;
    for (const { signature: { kernel: { name } }, inputs: [input], outputs: [output] } of nodes) {
      if (input && output && (views.has(name) || (name === 'Transpose' && given.has(homeOf(input))))) homes.set(output, homeOf(input));
    }
    const last = new Map<Value, number>();
    nodes.forEach(({ inputs }, i) => { for (const input of inputs) if (input) last.set(homeOf(input), i); });
    for (const value of results) last.set(homeOf(value), nodes.length);
    const ending = new Map<number, Value[]>();
    for (const [value, i] of last) if (!given.has(value) && value.maker) ending.set(i, [...ending.get(i) ?? [], value]);
    let alive = 0;
    nodes.forEach(({ outputs }, i) => {
      for (const output of outputs) if (homeOf(output) === output && !given.has(output)) alive += bytesOf(output.spec);
      plan = { ...plan, bytes: Math.max(plan.bytes, alive) };
      for (const value of ending.get(i) ?? []) alive -= bytesOf(value.spec);
      for (const output of outputs) if (!last.has(homeOf(output)) && homeOf(output) === output && !given.has(output)) alive -= bytesOf(output.spec);
    });
    plan = { ...plan, flops: nodes.reduce((sum, node) => sum + flopsOf(node), 0), nodes: nodes.length };
  });
  backend.record = record;
  return plan;
};

const count = ({ specs }: Pick<Network<never, unknown>, 'specs'>, wanted: (name: string) => boolean = () => true): number =>
  [...specs].reduce((sum, [name, { shape }]) => sum + (wanted(name) ? sizeOf(shape) : 0), 0);

const millions = (n: number): string => `${(n / 1e6).toFixed(1)} M`;
const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`;

/** @returns the exit status */
export const main = async (options: readonly string[]): Promise<void> => {
  const { values: { init, size: text = '512' } } = parseArgs({ args: [...options], options: { init: { type: 'string' }, size: { type: 'string' } } });
  const size = Number(text);
  process.env['MILLRACE_BACKEND'] = 'onnx-cpu';
  await tf.startEngine();
  const turbo: PretrainedTurbo = pretrainedTurbo(init === undefined ? released : readTurboModel(init));
  const perceptual = lpips('vgg');
  const trained = count(turbo, trainsInTurbo);
  const whole = count(turbo);
  const rows = [
    ['UNet', count(turbo, (name) => name.startsWith('unet.') && !trainsInTurbo(name))], ['autoencoder', count(turbo, (name) => name.startsWith('vae.') && !trainsInTurbo(name))],
    ['trained: adapters, skips, first convolution', trained], ['LPIPS on VGG16', count(perceptual)], ['CLIP ViT-B/32, image half', count(clip(), (name) => /^(vision_model|visual)/.test(name))],
    ['text transformer', count(clipText({ hidden_size: 1024, intermediate_size: 4096, num_hidden_layers: 23, num_attention_heads: 16, hidden_act: 'gelu' }))],
  ] as const;
  for (const [name, n] of rows) console.log(`${name.padEnd(46)} ${millions(n).padStart(9)}  ${gibibytes(4 * n).padStart(9)}`);
  console.log(`${'weights, held'.padEnd(46)} ${millions(whole).padStart(9)}  ${gibibytes(4 * whole).padStart(9)}`);
  console.log(`${'EMA, gradient and two moments of what trains'.padEnd(46)} ${''.padStart(9)}  ${gibibytes(16 * trained).padStart(9)}`);
  console.log(`${'checkpoint: weights, EMA, moments'.padEnd(46)} ${''.padStart(9)}  ${gibibytes(16 * trained).padStart(9)}`);
  const latent: [number, number, number, number] = [1, size / turbo.vae.factor, size / turbo.vae.factor, turbo.vae.channels];
  const image = (): tf.Tensor4D => tf.fill([1, size, size, 3], 0.1);
  const run = (network: Pick<PretrainedTurbo, 'apply'>, params: Params): tf.Tensor4D => network.apply(params, image(), tf.ones([1, 1, 1, 1]), tf.fill(latent, 0), tf.fill(latent, 0.5));
  const step = (network: Pick<PretrainedTurbo, 'apply'>) => planOf((weights) => {
    const [params, seen] = [weights(turbo), weights(perceptual)];
    const names = [...turbo.specs.keys()].filter(trainsInTurbo);
    const { loss, grads } = gradientsOf(names.map((name) => params[name] as tf.Tensor), () => {
      const [fake, target] = [run(network, params), image()];
      return { loss: tf.add(mse(fake, target), tf.mul(tf.mean(perceptual.apply(seen, fake, target).total), 5)) as tf.Scalar, extra: {} };
    });
    return [loss, ...grads];
  });
  console.log(`\none image of ${size} x ${size} pixels`);
  for (const [name, plan] of [
    ['forward pass alone', planOf((weights) => [run(turbo, weights(turbo))])], ['gradient of L2 and LPIPS', step(turbo)], ['the same, recomputed', step(checkpointed(turbo))],
  ] as const) console.log(`${name.padEnd(46)} ${`${(plan.flops / 1e12).toFixed(2)} T`.padStart(9)}  ${gibibytes(plan.bytes).padStart(9)}  ${plan.nodes} operations`);
};

if (import.meta.main) { await main(process.argv.slice(2)); process.exit(0); }
