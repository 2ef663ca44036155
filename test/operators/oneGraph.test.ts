import { type OperatorFunction, concatMap, from, lastValueFrom, map, pipe, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { hinge, relativisticPairing } from '../../src/losses/adversarial.ts';
import { mse } from '../../src/losses/mse.ts';
import { weighted } from '../../src/losses/objective.ts';
import { adaAugment, adaSets } from '../../src/models/ada.ts';
import { logitAnchors } from '../../src/models/anchors.ts';
import { diffAugment } from '../../src/models/diffAugment.ts';
import { applyNet, makeNet } from '../../src/models/net.ts';
import { buildNetwork } from '../../src/models/network.ts';
import { conv2d } from '../../src/models/nn.ts';
import { patchCritic } from '../../src/models/patchCritic.ts';
import { replayBuffer } from '../../src/models/replayBuffer.ts';
import { seraenaCritic } from '../../src/models/seraena.ts';
import { adaptAugment, augmentControl } from '../../src/operators/adaptAugment.ts';
import { adversary } from '../../src/operators/adversary.ts';
import { backward } from '../../src/operators/backward.ts';
import { replay } from '../../src/operators/replay.ts';
import { seraena } from '../../src/operators/seraena.ts';
import { shiftColours } from '../../src/operators/shiftColours.ts';
import { trackLogits } from '../../src/operators/trackLogits.ts';
import { adam } from '../../src/optim/adam.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { seeded } from '../../src/random.ts';
import type { Measured, Pair, Settled } from '../../src/streams/frames.ts';
import { free } from '../../src/streams/scoped.ts';
import { settle } from '../../src/streams/settle.ts';
import * as tf from '../../src/tf.ts';
import { image } from '../losses/differences.ts';
import { batchAt, leakFree } from '../support.ts';

const key = seeded(3);
const generator = () => makeNet(buildNetwork('generator', {}, (root) => {
  const layer = conv2d(root.at('conv'), { from: 3, to: 3, padding: 1 });
  return (params, x: tf.Tensor4D) => layer(params, x);
}), { key, optimizer: adam(), lr: () => 1e-3 });
const pairs = map((step: number): Pair => ({ ...batchAt(step, ['a', 'b']), source: image(step, [2, 16, 16, 3]), target: image(100 + step, [2, 16, 16, 3]) }));

/** Graphs compiled before each step's end, and what was alive then. */
const follow = async (train: OperatorFunction<Pair, Settled>, steps: number): Promise<{ compilations: number; tensors: number; metrics: Settled['metrics'] }[]> => {
  tf.resetEngineStats();
  return lastValueFrom(from(Array.from({ length: steps }, (_, i) => i)).pipe(
    concatMap((step) => from([step]).pipe(pairs, train)),
    map(({ metrics }) => ({ compilations: tf.engineStats().compilations, tensors: tf.memory().numTensors, metrics })), toArray()));
};

describe('a step of two nets, a memory and augmentation', () => {
  it('is one graph, compiled once, whatever was drawn', leakFree(async () => {
    const nets = {
      generator: generator(), critic: makeNet(patchCritic({ base: 2, layers: 1, norm: 'spectral', conditionChannels: 3 }), { key, optimizer: adam(), lr: () => 1e-3, accumulate: 2 }),
      history: replayBuffer({ capacity: 6, shapes: { fake: [16, 16, 3], source: [16, 16, 3] } }), anchors: logitAnchors(), control: augmentControl(0.5),
    };
    type Trained = Pair & Measured & { fake: tf.Tensor4D };
    type Played = Trained & { replayed: Readonly<{ fake: tf.Tensor4D; source: tf.Tensor4D }> };
    const rows = await follow(pipe(
      shiftColours<'source' | 'target', Pair>(['source', 'target'], { key, share: 0.5 }),
      backward<Pair, [tf.Tensor4D], tf.Tensor4D, { fake: tf.Tensor4D }>(nets.generator, (net, { source }) => ({ fake: net(source) }), weighted({
        l2: [1, ({ fake, target }) => mse(fake, target)], gan: [0.1, ({ fake, source }) => hinge.generator({ fakeLogits: applyNet(nets.critic)(fake, source) })],
      })),
      replay<Trained, 'fake' | 'source'>(nets.history, ({ fake, source }) => ({ fake, source }), { key }),
      adversary<Played>(nets.critic, ({ target, source, replayed }) => ({ real: target, realCondition: source, fake: replayed.fake, fakeCondition: replayed.source }), {
        loss: relativisticPairing, penalties: { r1: (step) => 1 / (1 + step), r2: 0.5, sigma: 0.1 }, lecam: { anchors: nets.anchors, weight: 0.1 }, clip: 1, key,
        augment: (x, at) => diffAugment(adaAugment(x, adaSets.r3gan, nets.control.variables.p, at), ['translation', 'cutout'], at),
      }),
      trackLogits(nets.anchors), adaptAugment(nets.control, { images: 20 }), settle(),
    ), 7);
    const [first] = rows as [(typeof rows)[number]];
    expect(rows.every(({ tensors }) => tensors === first.tensors)).toBe(true);
    expect(rows.every(({ metrics }) => metrics['critic.finite'] === 1 && metrics['generator.finite'] === 1)).toBe(true);
    expect(new Set(rows.map(({ metrics }) => metrics['augment.p'])).size).toBeGreaterThan(1);
    // 0 on an executor that compiles nothing.
    expect(new Set(rows.map(({ compilations }) => compilations))).toEqual(new Set([first.compilations]));
    free(nets);
  }));

  it('holds for seraena', leakFree(async () => {
    const nets = {
      generator: generator(), critic: makeNet(seraenaCritic({ context: 3, widths: [2, 2, 2, 2], strides: [1, 2, 2, 2] }), { key, optimizer: adamw(), lr: () => 1e-3 }),
      history: replayBuffer({ capacity: 5, shapes: { fake: [16, 16, 3], context: [16, 16, 3] } }),
    };
    type Seen = Pair & { fake: tf.Tensor4D };
    const rows = await follow(pipe(
      map((frame: Pair): Seen => ({ ...frame, fake: tf.tidy(() => applyNet(nets.generator)(frame.source)) })),
      seraena<Seen>(nets.critic, nets.history, ({ target, fake, source }) => ({ real: target, fake, context: source }), { key }),
      backward<Seen & { corrected: tf.Tensor4D } & Measured, [tf.Tensor4D], tf.Tensor4D, { output: tf.Tensor4D }>(nets.generator, (net, { source }) => ({ output: net(source) }), weighted({ l2: [1, ({ output, corrected }) => mse(output, corrected)] })),
      settle(),
    ), 6);
    expect(new Set(rows.map(({ compilations }) => compilations)).size).toBe(1);
    expect(new Set(rows.map(({ tensors }) => tensors)).size).toBe(1);
    free(nets);
  }));
});
