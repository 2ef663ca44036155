import { pipe } from 'rxjs';
import * as tf from '../../src/tf.ts';
import { weighted } from '../../src/losses/objective.ts';
import { makeNet } from '../../src/models/net.ts';
import { type Layer, type Scope, buildNetwork } from '../../src/models/network.ts';
import { conv2d, upsampleNearest2x } from '../../src/models/nn.ts';
import { backward } from '../../src/operators/backward.ts';
import { adam } from '../../src/optim/adam.ts';
import { fold, seeded, uniform } from '../../src/random.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { settle } from '../../src/streams/settle.ts';
import { type Workload, place } from './workload.ts';

type Images = Batch & Readonly<{ target: tf.Tensor4D }>;
type Image = Layer<[tf.Tensor4D], tf.Tensor4D>;

const shape: [number, number, number, number] = [8, 64, 64, 3];
const key = fold(seeded(0), 'taesd');

/** relu(conv(relu(conv(relu(conv(x))))) + x), 64 channels. */
const residual = (scope: Scope): Image => {
  const convolutions = [0, 2, 4].map((i) => conv2d(scope.at(i), { from: 64, to: 64, padding: 1 }));
  return (params, x) => tf.relu(tf.add(convolutions.reduce((h, convolution, i) => convolution(params, i === 0 ? h : tf.relu(h)), x), x));
};

const network = () => buildNetwork('autoencoder', {}, (root) => {
  const layers: Image[] = [];
  const next = (): Scope => root.at(layers.length);
  const convolve = (from: number, to: number, stride = 1, bias = true): void => { layers.push(conv2d(next(), { from, to, stride, bias, padding: 1 })); };
  const residuals = (count: number): void => { for (let i = 0; i < count; i++) layers.push(residual(next())); };
  const map = (f: (x: tf.Tensor4D) => tf.Tensor4D): void => { layers.push((_, x) => f(x)); };
  convolve(3, 64); residuals(1);
  for (let level = 0; level < 3; level++) { convolve(64, 64, 2, false); residuals(3); }
  convolve(64, 4);
  map((z) => tf.mul(3, tf.tanh(tf.div(z, 3))));
  convolve(4, 64); map((x) => tf.relu(x));
  for (let level = 0; level < 3; level++) { residuals(3); map(upsampleNearest2x); convolve(64, 64, 1, false); }
  residuals(1); convolve(64, 3);
  return (params, x: tf.Tensor4D) => layers.reduce((h, layer) => layer(params, h), x);
});

/** The tiny autoencoder of Stable Diffusion's latents (4 channels, no normalisation) on 64 px images in [0, 1]; mean squared error, Adam. */
export const taesd: Workload<Images> = {
  name: 'taesd',
  batch: 8,
  parameters: { autoencoder: 2_445_063 },
  loss: 'autoencoder.l2',
  start: () => {
    const net = makeNet(network(), { key, optimizer: adam(), lr: () => 3e-4 });
    const target = uniform(fold(key, 'target'), tf.util.sizeFromShape(shape));
    return {
      nets: [net],
      frame: (step) => ({ ...place(step, 8), target: tf.tensor4d(target, shape) }),
      train: pipe(
        backward(net, (autoencoder, { target: x }: Images) => ({ predicted: autoencoder(x) }), weighted({
          l2: [1, ({ predicted, target: x }) => tf.mean(tf.squaredDifference(predicted, x))],
        })),
        settle(),
      ),
    };
  },
};
