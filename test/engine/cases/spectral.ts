import * as tf from '../../../src/tf.ts';
import { type Case, float, plain } from './case.ts';

type T = tf.Tensor;
const parts = (z: T): T[] => [tf.real(z), tf.imag(z)];
const why = 'a transform of n values sums n products, in another order than the oracle';
const tolerance = { relative: 3e-5, why };

export const spectral: readonly Case[] = [
  plain('complex, real, imag', [float([2, 5]), float([2, 5])], (a: T, b: T) => parts(tf.complex(a, b))),
  plain('arithmetic of complex numbers', [float([2, 5]), float([2, 5])], (a: T, b: T) => [tf.add, tf.sub, tf.mul].flatMap((f) => parts(f(tf.complex(a, b), tf.complex(b, tf.neg(a)))))),
  plain('abs of complex numbers', [float([2, 5]), float([2, 5])], (a: T, b: T) => tf.abs(tf.complex(a, b))),
  plain('reshape, slice, concat and transpose of complex numbers', [float([2, 4]), float([2, 4])], (a: T, b: T) => {
    const z = tf.complex(a, b);
    return [...parts(tf.reshape(z, [4, 2])), ...parts(tf.slice(z, [0, 1], [2, 2])), ...parts(tf.concat([z, z], 1)), ...parts(tf.transpose(z))];
  }),
  ...[4, 5, 8, 12].flatMap((n) => [
    plain(`fft of ${n}`, [float([2, n]), float([2, n])], (a: T, b: T) => parts(tf.spectral.fft(tf.complex(a, b))), { tolerance }),
    plain(`ifft of ${n}`, [float([2, n]), float([2, n])], (a: T, b: T) => parts(tf.spectral.ifft(tf.complex(a, b))), { tolerance }),
    plain(`rfft of ${n}`, [float([2, n])], (a: T) => parts(tf.spectral.rfft(a)), { tolerance }),
    plain(`irfft of ${n}`, [float([2, n]), float([2, n])], (a: T, b: T) => tf.spectral.irfft(tf.complex(a, b)), { tolerance }),
  ]),
  plain('stft', [float([24])], (a: T) => parts(tf.signal.stft(a as tf.Tensor1D, 8, 4)), { tolerance }),
];
