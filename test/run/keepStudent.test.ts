import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Autoencoder } from '../../src/models/autoencoder.ts';
import { applyNet, makeNet, paramsOf } from '../../src/models/net.ts';
import { studentOf } from '../../src/models/student.ts';
import { loadModel } from '../../src/models/weights/modelFolder.ts';
import { seeded } from '../../src/random.ts';
import { keepStudent } from '../../src/run/keepStudent.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { image } from '../losses/differences.ts';
import { leakFree } from '../support.ts';
import { right, withRun } from './support.ts';

describe('keepStudent', () => {
  it('leaves an AutoencoderTiny that does what both halves do', leakFree(withRun(async (folder) => {
    const sizes = { channels: 5, halvings: 2, width: 8, blocks: 2 };
    const networks = studentOf({ factor: 4, channels: 5 }, { variant: 'f8', ...sizes });
    const halves = { encoder: makeNet(networks.encoder, { key: seeded(1), shadow: true }), decoder: makeNet(networks.decoder, { key: seeded(2), shadow: true }) };
    const lines: string[] = [];
    await keepStudent({ folder, report: { line: (text) => { lines.push(text); }, bar: () => {} } }, halves, sizes);
    expect(lines[0]).toContain('--set latent.autoencoder=');
    const { network, state, className } = await right(loadModel(join(folder.path, 'autoencoder')));
    const whole = network as unknown as Autoencoder;
    expect([className, whole.factor, whole.channels]).toEqual(['AutoencoderTiny', 4, 5]);
    const net = makeNet(whole, { key: seeded(3), given: state });
    const difference = tf.tidy(() => {
      const x = image(1, [1, 16, 8, 3]);
      return tf.max(tf.abs(tf.sub(whole.apply(paramsOf(net), x), applyNet(halves.decoder)(applyNet(halves.encoder)(x)))));
    });
    expect((await difference.data())[0]).toBeLessThan(1e-5);
    difference.dispose();
    free({ ...halves, net });
  })));
});
