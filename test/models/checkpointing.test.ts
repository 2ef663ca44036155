import { expect, it } from 'vitest';
import { checkpointed } from '../../src/models/checkpointing.ts';
import { differentiate } from '../../src/models/differentiate.ts';
import { makeNet } from '../../src/models/net.ts';
import type { Network } from '../../src/models/network.ts';
import { unet2dCondition } from '../../src/models/unet2dCondition.ts';
import { adam } from '../../src/optim/adam.ts';
import { normal, seeded } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';

const network = unet2dCondition({ block_out_channels: [8, 8], norm_num_groups: 4, layers_per_block: 1, cross_attention_dim: 6, attention_head_dim: 2, down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'], up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'] });

type Inputs = Parameters<typeof network.apply> extends [unknown, ...infer I] ? I : never;

/** Loss and gradient of a network of fixed weights and inputs. */
const learn = async (of: Network<Inputs, tf.Tensor4D>): Promise<readonly [number, Float32Array]> => {
  const net = makeNet(of, { key: seeded(4), optimizer: adam() });
  const { loss, gradient } = tf.tidy(() => {
    const { loss, gradient } = differentiate(net, (apply) => {
      const out = apply(tf.tensor4d(normal(seeded(5), 256), [1, 8, 8, 4]), tf.tensor1d([300]), { encoderHiddenStates: tf.tensor3d(normal(seeded(6), 12), [1, 2, 6]) });
      return { loss: tf.mean(tf.square(tf.sub(out, 1))) as tf.Scalar, extra: {} };
    });
    return { loss, gradient };
  });
  const result = [(await loss.data())[0] as number, await gradient.data() as Float32Array] as const;
  tf.dispose([loss, gradient, ...Object.values(net.variables)]);
  return result;
};

it('gives the same loss and gradient, and frees everything', leakFree(async () => {
  const [loss, gradient] = await learn(network);
  const [again, recomputed] = await learn(checkpointed(network));
  expect(again).toBeCloseTo(loss, 6);
  const scale = gradient.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  expect(recomputed.reduce((most, x, i) => Math.max(most, Math.abs(x - (gradient[i] as number))), 0) / scale).toBeLessThan(1e-5);
}));

it('keeps what goes into a module, and nothing of what is inside, until the gradient is taken', () => {
  const held = (of: Network<Inputs, tf.Tensor4D>): number => {
    const net = makeNet(of, { key: seeded(4), optimizer: adam() });
    let most = 0;
    tf.tidy(() => {
      differentiate(net, (apply) => {
        const out = apply(tf.ones([1, 8, 8, 4]), tf.tensor1d([300]), { encoderHiddenStates: tf.ones([1, 2, 6]) });
        most = tf.memory().numTensors;
        return { loss: tf.mean(out) as tf.Scalar, extra: {} };
      });
    });
    tf.dispose(Object.values(net.variables));
    return most;
  };
  expect(held(checkpointed(network))).toBeLessThan(0.6 * held(network));
});

it('refuses a module that returns more than one tensor', () => {
  const net = makeNet(network, { key: seeded(4) });
  const outer = checkpointed(network, [/^down_blocks\.0$/]);
  try {
    expect(() => tf.tidy(() => outer.apply(Object.fromEntries([...network.specs].map(([name, { shape }]) => [name, tf.zeros([...shape])])), tf.ones([1, 8, 8, 4]), tf.tensor1d([1]), { encoderHiddenStates: tf.ones([1, 2, 6]) }))).toThrow(/expected down_blocks.0 to return one tensor/);
  } finally {
    tf.dispose(Object.values(net.variables));
  }
});
