import { firstValueFrom, of } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { hinge } from '../../src/losses/adversarial.ts';
import { type StateDict, givenNet, makeNet, paramsOf, withoutFrozen } from '../../src/models/net.ts';
import { ofTrunk, vggCritic } from '../../src/models/vggCritic.ts';
import { adversary } from '../../src/operators/adversary.ts';
import { adam } from '../../src/optim/adam.ts';
import { seeded } from '../../src/random.ts';
import { release } from '../../src/streams/mapTensors.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree } from '../support.ts';

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
/** Weights by a formula that the reference was given as well, in the order of the state dict. */
const state: StateDict = Object.fromEntries([...vggCritic().specs].map(([name, { shape }], j) => {
  const size = sizeOf(shape);
  const scale = 1.5 / Math.sqrt(shape.length > 1 ? size / (shape[0] as number) : 10);
  return [name, { shape, data: Float32Array.from({ length: size }, (_, i) => Math.sin(i * (0.37 + 0.011 * (j % 13)) + j) * scale) }];
}));
const image = (): tf.Tensor4D => tf.tensor4d(Float32Array.from({ length: 2 * 32 * 48 * 3 }, (_, i) => Math.sin(i * 0.7)), [2, 32, 48, 3]);

describe('vggCritic', () => {
  it('answers, and bends with the image, as the reference does under torch', leakFree(async () => {
    const { net, ...critic } = givenNet(vggCritic(), state);
    const x = image();
    const { logits, slopes } = tf.tidy(() => {
      const params = paramsOf(net);
      const judge = (at: tf.Tensor4D): tf.Tensor4D => net.network.apply(params, at);
      return { logits: judge(x), slopes: tf.grad((at) => tf.sum(tf.square(judge(at as tf.Tensor4D))))(x) };
    });
    expect(logits.shape).toEqual([2, 2, 3, 1]);
    const wanted = [0.383731, 0.322245, 0.366124, 0.147946, 0.139829, 0.143521, 0.28117, 0.33579, 0.28438, 0.171242, 0.156125, 0.203837];
    (await logits.data()).forEach((value, i) => { expect(value).toBeCloseTo(wanted[i] as number, 5); });
    const bends = await slopes.data();
    [0.0094329, -0.1095989, -0.0619863, 0.018679, -0.0020031, 0.1157004, -0.0893731, -0.02797, -0.0052022].forEach((value, i) => { expect(bends[1117 * i]).toBeCloseTo(value, 4); });
    tf.dispose([x, logits, slopes]);
    free({ critic });
  }));

  it('has no opinion at first, learns by its heads alone, and leaves the trunk out of what is saved', leakFree(async () => {
    const critic = withoutFrozen(makeNet(vggCritic(), { key: seeded(0), optimizer: adam(), lr: () => 1e-3, trainable: (name) => !ofTrunk(name), given: Object.fromEntries(Object.entries(state).filter(([name]) => ofTrunk(name))) }));
    expect(critic.layout.map(({ name }) => name)).toEqual([1, 2, 3].flatMap((k) => [0, 2].flatMap((i) => [`binary_classifier${k}.${i}.weight`, `binary_classifier${k}.${i}.bias`])).concat([4, 5].flatMap((k) => [`binary_classifier${k}.0.weight`, `binary_classifier${k}.0.bias`])));
    expect(Object.keys(critic.variables)).not.toContain('frozen');
    const before = [...await critic.weights.data()];
    const frame = await firstValueFrom(of({ ...batchAt(0), real: image(), fake: tf.tidy(() => tf.neg(image())) }).pipe(adversary<ReturnType<typeof batchAt> & { real: tf.Tensor4D; fake: tf.Tensor4D }>(critic, ({ real, fake }) => ({ real, fake }), { loss: hinge, key: seeded(0) })));
    const [first] = [await frame.realLogits.data()];
    expect(new Set(first).size).toBe(1);
    release(frame);
    expect([...await critic.weights.data()]).not.toEqual(before);
    free({ critic });
  }));

  it('says how large an image must be', leakFree(() => {
    const { net, ...critic } = givenNet(vggCritic(), state);
    expect(() => tf.tidy(() => net.network.apply(paramsOf(net), tf.zeros([1, 15, 32, 3])))).toThrow('vggCritic: expected images of at least 16 px but received 15');
    free({ critic });
  }));
});
