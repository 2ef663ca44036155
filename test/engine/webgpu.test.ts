/** Training on the WebGPU provider, forced as a user would force it, through SwiftShader. */
import { lastValueFrom, of, pipe } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { mse } from '../../src/losses/mse.ts';
import { weighted } from '../../src/losses/objective.ts';
import { makeNet } from '../../src/models/net.ts';
import { buildNetwork } from '../../src/models/network.ts';
import { conv2d, groupNorm, silu, upsampleNearest2x } from '../../src/models/nn.ts';
import { backward } from '../../src/operators/backward.ts';
import { ema } from '../../src/operators/ema.ts';
import { adam } from '../../src/optim/adam.ts';
import { fold, seeded, uniform } from '../../src/random.ts';
import type { Pair } from '../../src/streams/frames.ts';
import { settle } from '../../src/streams/settle.ts';
import * as tf from '../../src/tf.ts';
import { softwareAdapter, webGpuMissing as missing } from './executors.ts';

if (missing === undefined) {
  // Before the setup starts the engine.
  process.env['VK_DRIVER_FILES'] ??= softwareAdapter;
  process.env['MILLRACE_BACKEND'] = 'onnx-webgpu';
} else {
  console.log(`onnx-webgpu was not tested: ${missing}`);
}

const network = () => buildNetwork('tiny', {}, (root) => {
  const [first, down, out] = [conv2d(root.at('first'), { from: 3, to: 8, padding: 1 }), conv2d(root.at('down'), { from: 8, to: 8, stride: 2, padding: 1 }), conv2d(root.at('out'), { from: 8, to: 3, padding: 1 })];
  const norm = groupNorm(root.at('norm'), { groups: 2, channels: 8 });
  return (params, x: tf.Tensor4D) => out(params, upsampleNearest2x(silu(norm(params, down(params, tf.relu(first(params, x))))) as tf.Tensor4D));
});

const shape: [number, number, number, number] = [2, 8, 8, 3];

/** Losses of some steps of Adam, and what each step cost the engine. */
const train = async (steps: number) => {
  const net = makeNet(network(), { key: seeded(1), optimizer: adam(), lr: (step) => 1e-2 / (1 + step), shadow: true });
  const values = (name: string): Float32Array => uniform(fold(seeded(2), name), 384).map((x) => 2 * x - 1);
  const [source, target] = [values('source'), values('target')];
  const step = pipe(
    backward(net, (tiny, { source: x }: Pair) => ({ fake: tiny(x) }), weighted({ l2: [1, ({ fake, target: y }) => mse(fake, y)] })),
    ema(net, { halfLife: 10 }), settle(),
  );
  const losses: number[] = [];
  const costs: ReturnType<typeof tf.engineStats>[] = [];
  for (let i = 0; i < steps; i++) {
    tf.resetEngineStats();
    const { metrics } = await lastValueFrom(of({ step: i, epoch: 0, ids: ['a', 'b'], source: tf.tensor4d(source, shape), target: tf.tensor4d(target, shape) }).pipe(step));
    losses.push(metrics['tiny.l2'] as number);
    costs.push(tf.engineStats());
  }
  const shadow = await (net.shadow as tf.Variable).data();
  tf.dispose({ ...net.variables });
  return { losses, costs, shadow: Float32Array.from(shadow as Float32Array), size: net.weights.size };
};

describe.skipIf(missing !== undefined)('onnx-webgpu', () => {
  it('is what was forced', () => expect(tf.getBackend()).toBe('onnx-webgpu'));

  it('trains as the cpu executor does, with everything kept on the GPU', async () => {
    const { losses, costs, shadow, size } = await train(12);
    tf.setBackend('cpu');
    const reference = await train(12);
    tf.setBackend('onnx-webgpu');
    for (const [i, loss] of reference.losses.entries()) expect(losses[i]).toBeCloseTo(loss, 4);
    expect(losses.at(-1)).toBeLessThan(0.9 * (losses[0] as number));
    for (const [i, value] of reference.shadow.entries()) expect(Math.abs((shadow[i] as number) - value)).toBeLessThan(2e-4);
    // The first step also uploads the weights. From then on: one graph, the two images up, the metrics down, and never the weights.
    expect(costs[0]?.compilations).toBe(1);
    for (const { compilations, runs, uploaded, downloaded, values } of costs.slice(2)) {
      expect({ compilations, runs }).toEqual({ compilations: 0, runs: 1 });
      expect(uploaded).toBeLessThan(2 * 4 * 384 + 256);
      expect(downloaded).toBeLessThan(4 * size);
      expect(values).toBe(costs[2]?.values);
    }
  });
});
