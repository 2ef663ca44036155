import { describe, expect, it } from 'vitest';
import * as tf from '../../src/tf.ts';
import { applyNet, makeNet } from '../../src/models/net.ts';
import { type TurboConfig, turboGenerator } from '../../src/models/turbo.ts';
import { seeded } from '../../src/random.ts';

const tiny: TurboConfig = { channels: 3, base: 8, multipliers: [1, 2], depth: 1, groups: 4, skipInit: 1e-5, residual: true };
const run = async (config: TurboConfig, source: tf.Tensor4D, r: number): Promise<Float32Array> => {
  const net = makeNet(turboGenerator(config), { key: seeded(0) });
  const out = tf.tidy(() => applyNet(net)(source, tf.fill([source.shape[0], 1, 1, 1], r) as tf.Tensor4D));
  const values = Float32Array.from(await out.data());
  tf.dispose([out, ...Object.values(net.variables)]);
  return values;
};
const image = (seed: number): tf.Tensor4D => tf.randomUniform([2, 8, 12, 3], -1, 1, 'float32', seed);

describe('turboGenerator', () => {
  it('keeps the size of its input and starts near the identity when residual', async () => {
    const source = image(1);
    const out = await run(tiny, source, 1);
    const input = await source.data();
    expect(out.length).toBe(input.length);
    expect(Math.max(...out.map((y, i) => Math.abs(y - (input[i] as number))))).toBeLessThan(0.1);
  });

  it('has a skip that is small, not zero: only its weights tell two outputs apart', async () => {
    const source = image(2);
    const [without, near] = [await run({ ...tiny, skipInit: 0 }, source, 1), await run({ ...tiny, skipInit: 1e-5 }, source, 1)];
    const largest = Math.max(...without.map((y, i) => Math.abs(y - (near[i] as number))));
    expect(largest).toBeGreaterThan(0);
    expect(largest).toBeLessThan(1e-3);
  });

  it('scales skips and residual by r: at r = 0 the input reaches the output through the encoder alone', async () => {
    const source = image(3);
    const [loud, silent] = [await run({ ...tiny, skipInit: 1 }, source, 0), await run({ ...tiny, skipInit: 0 }, source, 0)];
    expect([...loud]).toEqual([...silent]);
  });

  it('keeps state-dict names for skips and translator', () => {
    const names = [...turboGenerator(tiny).specs.keys()];
    expect(names).toContain('up_blocks.1.skip_conv.weight');
    expect(names).toContain('translator.0.conv1.weight');
    expect(names).not.toContain('up_blocks.1.skip_conv.bias');
  });

  it('refuses a single resolution', () => { expect(() => turboGenerator({ ...tiny, multipliers: [1] })).toThrow(/at least two multipliers but received 1/); });
});
