import { describe, expect, it } from 'vitest';
import { planOf } from '../../bench/turbo.ts';
import { checkpointed } from '../../src/models/checkpointing.ts';
import { type Params, buildNetwork } from '../../src/models/network.ts';
import { attend, conv2d, linear } from '../../src/models/nn.ts';
import { gradientsOf } from '../../src/models/tape.ts';
import * as tf from '../../src/tf.ts';

const bytes = (...shape: readonly number[]): number => 4 * shape.reduce((a, b) => a * b, 1);

describe('planOf', () => {
  it('counts multiply-adds, and what is alive at the same time but weights', () => {
    const network = buildNetwork('two', {}, (root) => {
      const [first, second] = [linear(root.at('first'), { from: 8, to: 16, bias: false }), linear(root.at('second'), { from: 16, to: 4, bias: false })];
      return (params: Params, x: tf.Tensor) => second(params, tf.relu(first(params, x)));
    });
    const { flops, bytes: most } = planOf((weights) => [network.apply(weights(network), tf.fill([32, 8], 1))]);
    expect(flops).toBe(2 * 32 * (8 * 16 + 16 * 4));
    // The hidden layer, and what its ReLU makes of it.
    expect(most).toBe(2 * bytes(32, 16));
  });

  it('counts attention', () => {
    const [q, k] = [() => tf.fill([2, 3, 10, 8], 0.1), () => tf.fill([2, 3, 7, 8], 0.1)];
    expect(planOf(() => [attend(q(), k(), k())]).flops).toBe(2 * 2 * 2 * 3 * 10 * 7 * 8);
  });

  it('counts convolutions and their gradients', () => {
    const network = buildNetwork('one', {}, (root) => conv2d(root, { from: 3, to: 5, kernel: 3, padding: 1, bias: false }));
    const forward = 2 * 16 * 16 * 5 * 27;
    expect(planOf((weights) => [network.apply(weights(network), tf.fill([1, 16, 16, 3], 1) as tf.Tensor4D)]).flops).toBe(forward);
    const { flops } = planOf((weights) => {
      const params = weights(network);
      const x = tf.fill([1, 16, 16, 3], 1) as tf.Tensor4D;
      return gradientsOf([params['weight'] as tf.Tensor, x], () => ({ loss: tf.sum(network.apply(params, x)) as tf.Scalar, extra: {} })).grads;
    });
    // The loss is linear: what is wanted of the convolution are its two gradients, not its result.
    expect(flops).toBe(2 * forward);
  });

  it('finds that recomputing keeps less', () => {
    const network = buildNetwork('deep', {}, (root) => {
      const blocks = Array.from({ length: 8 }, (_, i) => {
        const scope = root.at('resnets').at(i);
        const [a, b] = [conv2d(scope.at('a'), { from: 4, to: 32, padding: 1 }), conv2d(scope.at('b'), { from: 32, to: 4, padding: 1 })];
        return scope.tapped((params: Params, x: tf.Tensor4D) => tf.add<tf.Tensor4D>(x, b(params, tf.tanh(a(params, x)))));
      });
      return (params: Params, x: tf.Tensor4D) => blocks.reduce((h, block) => block(params, h), x);
    });
    const step = (run: typeof network) => planOf((weights) => {
      const params = weights(network);
      return gradientsOf(Object.values(params), () => ({ loss: tf.mean(tf.square(run.apply(params, tf.fill([1, 16, 16, 4], 1) as tf.Tensor4D))) as tf.Scalar, extra: {} })).grads;
    });
    const [plain, again] = [step(network), step(checkpointed(network))];
    // Plain, every block keeps its wide activation; recomputed, one block at a time does.
    expect(plain.bytes).toBeGreaterThan(8 * bytes(16, 16, 32));
    expect(again.bytes).toBeLessThan(plain.bytes / 2);
    expect(again.flops).toBeGreaterThan(plain.flops);
  });
});
