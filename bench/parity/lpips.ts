/** Goldens of LPIPS. */
import { alexnet } from '../../src/models/alexnet.ts';
import { type LpipsBackbone, lpips, spatialLpips } from '../../src/models/lpips.ts';
import { squeezenet } from '../../src/models/squeezenet.ts';
import { gradientsOf } from '../../src/models/tape.ts';
import { vgg16 } from '../../src/models/vgg.ts';
import { checkStateDict } from '../../src/models/weights/report.ts';
import * as tf from '../../src/tf.ts';
import { compareTensor, paramsFrom } from './compare.ts';
import { type Comparison, type Golden, type Handler, generatedWeights, imageOf, toNchw, toleranceOf } from './golden.ts';

const trunks = { alex: alexnet, vgg: vgg16, squeeze: squeezenet } as const;
const known = ['net', 'lcg_seed', 'images', 'version', 'spatial', 'lpips', 'normalize', 'pretrained', 'eval_mode', 'use_dropout'];

const run = async (golden: Golden): Promise<Comparison[]> => {
  const { io, manifest: { config, weight_order: order } } = golden;
  for (const name of Object.keys(config)) if (!known.includes(name)) throw new TypeError(`lpips: no option ${name}; known are ${known.join(', ')}`);
  if (config['version'] !== undefined && config['version'] !== '0.1') throw new TypeError(`lpips: no version ${String(config['version'])}; 0.1 is known`);
  const net = config['net'] as LpipsBackbone;
  const network = lpips(net, { linear: config['lpips'] !== false });
  const weights = { ...golden.weights, ...(Array.isArray(order) && generatedWeights(order as Parameters<typeof generatedWeights>[0], config['lcg_seed'] as number)) };
  checkStateDict(network, weights);
  const results: Record<string, tf.Tensor> = tf.tidy(() => {
    const params = paramsFrom(weights);
    const [x, y] = [imageOf(golden, 'input.x'), imageOf(golden, 'input.y')];
    const [, height, width] = x.shape;
    const names = ['x', 'y'].filter((name) => `grad.input.${name}` in io);
    const { grads, extra: { total, layers, spatial } } = gradientsOf(names.map((name) => (name === 'x' ? x : y)), () => {
      // `normalize` says that the images are in [0, 1].
      const [given, wanted] = config['normalize'] === true ? [tf.sub<tf.Tensor4D>(tf.mul(x, 2), 1), tf.sub<tf.Tensor4D>(tf.mul(y, 2), 1)] : [x, y];
      const distance = network.apply(params, given, wanted);
      return { loss: tf.sum(distance.total) as tf.Scalar, extra: { total: distance.total, layers: [...distance.layers], spatial: spatialLpips(distance, height, width) } };
    });
    const features = trunks[net]().apply(params, tf.div(tf.sub(x, [-0.03, -0.088, -0.188]), [0.458, 0.448, 0.45]));
    return {
      'output.lpips': total, 'output.spatial': toNchw(spatial),
      ...Object.fromEntries(layers.map((layer, k) => [`output.layer.${k}`, layer])),
      ...Object.fromEntries(features.map((feature, k) => [`mid.feature_mean.${k}`, tf.mean(feature, [1, 2])])),
      ...Object.fromEntries(names.map((name, i) => [`grad.input.${name}`, toNchw(grads[i] as tf.Tensor)])),
    };
  });
  const wanted = Object.keys(io).filter((name) => !name.startsWith('input.'));
  const comparisons = await Promise.all(wanted.map(async (name) => {
    const limit = toleranceOf(golden, name.startsWith('grad.') ? 'gradient' : 'forward', 2e-4);
    const ours = results[name];
    return ours ? compareTensor(golden, name, ours, limit) : { name, error: Infinity, limit, note: 'not computed' };
  }));
  tf.dispose(results);
  return comparisons;
};

export const lpipsHandlers: readonly Handler[] = [
  { kind: 'LPIPS', matches: ({ manifest }) => String(manifest.source?.['repo'] ?? '').endsWith('PerceptualSimilarity'), run },
];
