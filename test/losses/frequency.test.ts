import { describe, expect, it } from 'vitest';
import { focalFrequency, frequencyAmplitude } from '../../src/losses/frequency.ts';
import { mse } from '../../src/losses/mse.ts';
import { spectrumOf } from '../../src/losses/spectrum.ts';
import { gradientsOf } from '../../src/models/tape.ts';
import * as tf from '../../src/tf.ts';
import { leakFree } from '../support.ts';
import { differsFromDifferences, image } from './differences.ts';

const numbers = async (f: () => tf.Tensor): Promise<number[]> => {
  const value = tf.tidy(f);
  const data = [...await value.data()];
  value.dispose();
  return data;
};
/** a[c, y, x] = ((3x + 5y + 7c) mod 32) / 31 */
const pattern = (size: number): tf.Tensor4D => tf.tensor4d(Float32Array.from({ length: size * size * 3 }, (_, i) => {
  const [y, x, c] = [Math.floor(i / (3 * size)), Math.floor(i / 3) % size, i % 3];
  return ((3 * x + 5 * y + 7 * c) % 32) / 31;
}), [1, size, size, 3]);

describe('spectrumOf', () => {
  it.each([[4, 6], [5, 3]])('is the orthonormal transform of %i x %i values', async (h, w) => leakFree(async () => {
    const x = image(1, [2, h, w, 1]);
    const values = await x.data();
    const [real, imaginary] = [await numbers(() => spectrumOf(x).real), await numbers(() => spectrumOf(x).imaginary)];
    const half = Math.floor(w / 2) + 1;
    for (let b = 0; b < 2; b++) for (let k = 0; k < h; k++) for (let l = 0; l < half; l++) {
      let [re, im] = [0, 0];
      for (let y = 0; y < h; y++) for (let z = 0; z < w; z++) {
        const angle = -2 * Math.PI * ((k * y) / h + (l * z) / w);
        re += values[(b * h + y) * w + z]! * Math.cos(angle) / Math.sqrt(h * w);
        im += values[(b * h + y) * w + z]! * Math.sin(angle) / Math.sqrt(h * w);
      }
      expect(real[(b * h + k) * half + l]).toBeCloseTo(re, 5);
      expect(imaginary[(b * h + k) * half + l]).toBeCloseTo(im, 5);
    }
    x.dispose();
  })());
});

describe('frequency losses', () => {
  const halved = (): readonly [tf.Tensor4D, tf.Tensor4D] => { const a = pattern(16); return [a, tf.mul(a, 0.5)]; };

  it('have their published values', leakFree(async () => {
    expect((await numbers(() => mse(...halved())))[0]).toBeCloseTo(0.0847425, 6);
    expect((await numbers(() => focalFrequency(...halved())))[0]).toBeCloseTo(0.0649537, 6);
    expect((await numbers(() => frequencyAmplitude(...halved(), { eps: 1e-14 })))[0]).toBeCloseTo(0.1168094, 5);
    const impulse = (): tf.Tensor4D => tf.tensor4d([1, ...new Array<number>(15).fill(0)], [1, 4, 4, 1]);
    expect((await numbers(() => focalFrequency(impulse(), tf.zeros([1, 4, 4, 1]))))[0]).toBeCloseTo(0.0625, 7);
  }));

  it('are Parseval\'s when all frequencies weigh the same', leakFree(async () => {
    const [ffl] = await numbers(() => focalFrequency(image(1, [2, 5, 6, 3]), image(2, [2, 5, 6, 3]), { alpha: 0 }));
    const [plain] = await numbers(() => mse(image(1, [2, 5, 6, 3]), image(2, [2, 5, 6, 3])));
    expect(ffl).toBeCloseTo(plain!, 5);
  }));

  it('do not see a cyclic shift in amplitudes', leakFree(async () => {
    const [shifted] = await numbers(() => {
      const x = image(3, [1, 8, 8, 1]);
      return frequencyAmplitude(x, tf.concat([tf.slice(x, [0, 3, 0, 0], [1, 5, 8, 1]), tf.slice(x, [0, 0, 0, 0], [1, 3, 8, 1])], 1));
    });
    expect(shifted).toBeLessThan(1e-5);
  }));

  it('are 0, and so is their gradient, for equal images', leakFree(async () => {
    expect(await numbers(() => focalFrequency(pattern(8), pattern(8)))).toEqual([0]);
    expect(await differsFromDifferences((x) => tf.mul(focalFrequency(x as tf.Tensor4D, image(1, [1, 4, 4, 1])), 0), image(1, [1, 4, 4, 1]))).toBeLessThan(1e-6);
  }));

  it('weigh per patch, per batch and by mean spectra as told', leakFree(async () => {
    // A difference in one quarter of one image only: its own patch is weighed by its own largest amplitude.
    const one = (): readonly [tf.Tensor4D, tf.Tensor4D] => [tf.pad(image(4, [1, 4, 4, 1]), [[0, 1], [0, 4], [0, 4], [0, 0]]), tf.zeros([2, 8, 8, 1])];
    const [whole, cut] = [await numbers(() => focalFrequency(...one(), { patches: 2 })), await numbers(() => focalFrequency(image(4, [1, 4, 4, 1]), tf.zeros([1, 4, 4, 1])))];
    expect(whole[0]).toBeCloseTo(cut[0]! / 8, 6);
    const two = (): readonly [tf.Tensor4D, tf.Tensor4D] => [tf.concat([image(4, [1, 4, 4, 1]), tf.mul(image(4, [1, 4, 4, 1]), 0.1)], 0), tf.zeros([2, 4, 4, 1])];
    const [each] = await numbers(() => focalFrequency(...two()));
    const [batch] = await numbers(() => focalFrequency(...two(), { batchWide: true }));
    expect(each).toBeCloseTo(cut[0]! * (1 + 0.01) / 2, 6);
    expect(batch).toBeCloseTo(cut[0]! * (1 + 0.001) / 2, 6);
    const [average] = await numbers(() => focalFrequency(...two(), { average: true }));
    expect(average).toBeCloseTo(cut[0]! * 0.55 ** 2, 6);
    expect(() => tf.tidy(() => focalFrequency(image(1, [1, 4, 4, 1]), image(2, [1, 4, 4, 1]), { patches: 3 }))).toThrow('focalFrequency: expected 3 patches a side to divide 4 x 4 px');
  }));

  it.each([
    ['amplitude', (x: tf.Tensor4D, y: tf.Tensor4D) => frequencyAmplitude(x, y)],
    ['log amplitude', (x: tf.Tensor4D, y: tf.Tensor4D) => frequencyAmplitude(x, y, { logarithmic: true })],
    ['focal, alpha 0', (x: tf.Tensor4D, y: tf.Tensor4D) => focalFrequency(x, y, { alpha: 0, patches: 2 })],
  ] as const)('%s has the gradient of its differences', async (_name, loss) => leakFree(async () => {
    expect(await differsFromDifferences((x) => loss(x as tf.Tensor4D, image(7, [2, 4, 6, 3])), image(8, [2, 4, 6, 3]), { step: 3e-3 })).toBeLessThan(3e-3);
  })());

  it('focal: no gradient flows through the weight', leakFree(async () => {
    // Pixels 3 and 1: amplitudes 4 and 2 over sqrt(2), weights 1 and 1 / 2; by hand the loss is 4.5, its gradient (2.5, 1.5).
    const both = await numbers(() => {
      const x = tf.tensor4d([3, 1], [1, 1, 2, 1]);
      const { loss, grads: [gradient] } = gradientsOf([x], () => ({ loss: focalFrequency(x, tf.zeros([1, 1, 2, 1])), extra: undefined }));
      return tf.concat([tf.reshape(loss, [1]), tf.reshape(gradient!, [2])]);
    });
    [4.5, 2.5, 1.5].forEach((expected, i) => { expect(both[i]).toBeCloseTo(expected, 5); });
  }));
});
