import { pipe } from 'rxjs';
import * as tf from '../../src/tf.ts';
import { weighted } from '../../src/losses/objective.ts';
import { applyNet, makeNet } from '../../src/models/net.ts';
import { type Layer, type Scope, buildNetwork } from '../../src/models/network.ts';
import { attend, conv2d, groupNorm, linear, silu, upsampleNearest2x } from '../../src/models/nn.ts';
import { backward } from '../../src/operators/backward.ts';
import { forward } from '../../src/operators/forward.ts';
import { adam } from '../../src/optim/adam.ts';
import { fold, seeded, uniform } from '../../src/random.ts';
import type { Pair } from '../../src/streams/frames.ts';
import { settle } from '../../src/streams/settle.ts';
import { type Workload, place } from './workload.ts';

type Image = Layer<[tf.Tensor4D], tf.Tensor4D>;
type Faked = Pair & Readonly<{ fake: tf.Tensor4D }>;
type Judged = Faked & Readonly<{ onReal: tf.Tensor4D; onFake: tf.Tensor4D }>;

const shape: [number, number, number, number] = [8, 64, 64, 3];
const key = fold(seeded(0), 'pix2pix');
const join = (...parts: tf.Tensor4D[]): tf.Tensor4D => tf.concat(parts, 3);
const norm = (scope: Scope, channels: number): Image => groupNorm(scope, { groups: 8, channels }) as Image;
const conv3 = (scope: Scope, from: number, to: number, stride = 1): Image => conv2d(scope, { from, to, stride, padding: 1 });

/** conv(silu(norm(x))) twice, beside a 1x1 skip where the channels change. */
const residual = (scope: Scope, from: number, to: number): Image => {
  const [norm1, conv1] = [norm(scope.at('norm1'), from), conv3(scope.at('conv1'), from, to)];
  const [norm2, conv2] = [norm(scope.at('norm2'), to), conv3(scope.at('conv2'), to, to)];
  const skip: Image = from === to ? (_, x) => x : conv2d(scope.at('skip'), { from, to, kernel: 1 });
  return (params, x) => {
    const h = conv1(params, silu(norm1(params, x)));
    return tf.add(conv2(params, silu(norm2(params, h))), skip(params, x));
  };
};

/** One head of attention over all positions, residual. */
const attention = (scope: Scope, channels: number): Image => {
  const normalise = norm(scope.at('norm'), channels);
  const project = (name: string) => linear(scope.at(name), { from: channels, to: channels });
  const [q, k, v, out] = [project('q'), project('k'), project('v'), project('out')];
  return (params, x) => {
    const y = tf.reshape(normalise(params, x), [x.shape[0], -1, channels]);
    return tf.add(x, tf.reshape(out(params, attend(q(params, y), k(params, y), v(params, y))), x.shape));
  };
};

export const unet = () => buildNetwork('generator', { base: 32 }, (root) => {
  const at = (name: string): Scope => root.at(name);
  const convIn = conv3(at('convIn'), 3, 32);
  const [down0, shrink0] = [residual(at('down0'), 32, 32), conv3(at('shrink0'), 32, 32, 2)];
  const [down1, shrink1] = [residual(at('down1'), 32, 64), conv3(at('shrink1'), 64, 64, 2)];
  const [down2, attend2] = [residual(at('down2'), 64, 128), attention(at('attend2'), 128)];
  const [middle1, middleAttend, middle2] = [residual(at('middle1'), 128, 128), attention(at('middleAttend'), 128), residual(at('middle2'), 128, 128)];
  const [up2, upAttend2, grow2] = [residual(at('up2'), 256, 128), attention(at('upAttend2'), 128), conv3(at('grow2'), 128, 128)];
  const [up1, grow1] = [residual(at('up1'), 192, 64), conv3(at('grow1'), 64, 64)];
  const up0 = residual(at('up0'), 96, 32);
  const [normOut, convOut] = [norm(at('normOut'), 32), conv3(at('convOut'), 32, 3)];
  return (params, x: tf.Tensor4D) => {
    const h0 = down0(params, convIn(params, x));
    const h1 = down1(params, shrink0(params, h0));
    const h2 = attend2(params, down2(params, shrink1(params, h1)));
    const middle = middle2(params, middleAttend(params, middle1(params, h2)));
    const u2 = grow2(params, upsampleNearest2x(upAttend2(params, up2(params, join(middle, h2)))));
    const u1 = grow1(params, upsampleNearest2x(up1(params, join(u2, h1))));
    return tf.tanh(convOut(params, silu(normOut(params, up0(params, join(u1, h0))))));
  };
});

/** Judges the patches of an image beside its source; logits [B, 14, 14, 1] at 64 px. */
export const patchGan = () => buildNetwork('critic', {}, (root) => {
  const conv4 = (name: string, from: number, to: number, stride: number): Image => conv2d(root.at(name), { from, to, kernel: 4, stride, padding: 1 });
  const [conv0, conv1, conv2, conv3] = [conv4('conv0', 6, 64, 2), conv4('conv1', 64, 128, 2), conv4('conv2', 128, 256, 1), conv4('conv3', 256, 1, 1)];
  const [norm1, norm2] = [norm(root.at('norm1'), 128), norm(root.at('norm2'), 256)];
  return (params, source: tf.Tensor4D, image: tf.Tensor4D) => {
    const h0 = tf.leakyRelu(conv0(params, join(source, image)), 0.2);
    const h1 = tf.leakyRelu(norm1(params, conv1(params, h0)), 0.2);
    return conv3(params, tf.leakyRelu(norm2(params, conv2(params, h1)), 0.2));
  };
});

/** Mean binary cross-entropy of logits with all labels 1. */
const real = (logits: tf.Tensor): tf.Scalar => tf.mean(tf.softplus(tf.neg(logits)));
/** The same with all labels 0. */
const fake = (logits: tf.Tensor): tf.Scalar => tf.mean(tf.softplus(logits));

/** pix2pix: a UNet and a PatchGAN at 64 px, one update of each per step, the critic's first. */
export const pix2pix: Workload<Pair> = {
  name: 'pix2pix',
  batch: 8,
  parameters: { generator: 2_006_307, critic: 666_817 },
  loss: 'generator.loss',
  start: () => {
    const optimizer = adam({ beta1: 0.5, beta2: 0.999 });
    const generator = makeNet(unet(), { key: fold(key, 'generator'), optimizer, lr: () => 2e-4 });
    const critic = makeNet(patchGan(), { key: fold(key, 'critic'), optimizer, lr: () => 2e-4 });
    const values = (name: string): Float32Array => uniform(fold(key, name), tf.util.sizeFromShape(shape)).map((x) => 2 * x - 1);
    const [source, target] = [values('source'), values('target')];
    const generate = (net: (x: tf.Tensor4D) => tf.Tensor4D, { source: x }: Pair) => ({ fake: net(x) });
    return {
      nets: [generator, critic],
      frame: (step) => ({ ...place(step, 8), source: tf.tensor4d(source, shape), target: tf.tensor4d(target, shape) }),
      train: pipe(
        forward(generator, generate),
        backward(critic, (judge, { source: x, target: y, fake: z }: Faked) => ({ onReal: judge(x, y), onFake: judge(x, z) }), weighted({
          real: [0.5, ({ onReal }) => real(onReal)],
          fake: [0.5, ({ onFake }) => fake(onFake)],
        })),
        backward(generator, generate, weighted({
          gan: [1, ({ source: x, fake: z }) => real(applyNet(critic)(x, z))],
          l1: [100, ({ fake: z, target: y }) => tf.mean(tf.abs(tf.sub(z, y)))],
        })),
        settle(),
      ),
    };
  },
};
