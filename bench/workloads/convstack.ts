import { pipe } from 'rxjs';
import * as tf from '../../src/tf.ts';
import { weighted } from '../../src/losses/objective.ts';
import { makeNet } from '../../src/models/net.ts';
import { buildNetwork } from '../../src/models/network.ts';
import { conv2d } from '../../src/models/nn.ts';
import { backward } from '../../src/operators/backward.ts';
import { adam } from '../../src/optim/adam.ts';
import { fold, seeded } from '../../src/random.ts';
import type { Pair } from '../../src/streams/frames.ts';
import { settle } from '../../src/streams/settle.ts';
import { type Workload, gaussianValues, place } from './workload.ts';

const shape: [number, number, number, number] = [4, 64, 64, 64];
const key = fold(seeded(0), 'convstack');

const network = () => buildNetwork('stack', {}, (root) => {
  const convolutions = Array.from({ length: 10 }, (_, i) => conv2d(root.at(i), { from: 64, to: 64, padding: 1 }));
  return (params, x: tf.Tensor4D) => convolutions.reduce((h, convolution) => tf.relu(convolution(params, h)), x);
});

/** Ten 3x3 convolutions of 64 channels, each with bias and ReLU, at [4, 64, 64, 64]; mean squared error, Adam. */
export const convstack: Workload<Pair> = {
  name: 'convstack',
  batch: 4,
  parameters: { stack: 369_280 },
  loss: 'stack.l2',
  start: () => {
    const net = makeNet(network(), { key, optimizer: adam(), lr: () => 1e-3 });
    const source = gaussianValues(fold(key, 'source'), shape);
    const target = gaussianValues(fold(key, 'target'), shape).map((x) => Math.max(0, x));
    return {
      nets: [net],
      frame: (step) => ({ ...place(step, 4), source: tf.tensor4d(source, shape), target: tf.tensor4d(target, shape) }),
      train: pipe(
        backward(net, (stack, { source: x }: Pair) => ({ predicted: stack(x) }), weighted({
          l2: [1, ({ predicted, target: y }) => tf.mean(tf.squaredDifference(predicted, y))],
        })),
        settle(),
      ),
    };
  },
};
