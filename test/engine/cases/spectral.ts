import * as tf from '../../../src/tf.ts';
import { type Case, float, plain } from './case.ts';

type T = tf.Tensor;
const parts = (z: T): T[] => [tf.real(z), tf.imag(z)];
export const spectral: readonly Case[] = [
  plain('complex, real, imag', [float([2, 5]), float([2, 5])], (a: T, b: T) => parts(tf.complex(a, b))),
  plain('arithmetic of complex numbers', [float([2, 5]), float([2, 5])], (a: T, b: T) => [tf.add, tf.sub, tf.mul].flatMap((f) => parts(f(tf.complex(a, b), tf.complex(b, tf.neg(a)))))),
  plain('abs of complex numbers', [float([2, 5]), float([2, 5])], (a: T, b: T) => tf.abs(tf.complex(a, b))),
  plain('reshape, slice, concat and transpose of complex numbers', [float([2, 4]), float([2, 4])], (a: T, b: T) => {
    const z = tf.complex(a, b);
    return [...parts(tf.reshape(z, [4, 2])), ...parts(tf.slice(z, [0, 1], [2, 2])), ...parts(tf.concat([z, z], 1)), ...parts(tf.transpose(z))];
  }, { oracle: (...both) => [(x: T) => tf.reshape(x, [4, 2]), (x: T) => tf.slice(x, [0, 1], [2, 2]), (x: T) => tf.concat([x, x], 1), (x: T) => tf.transpose(x)].flatMap((f) => both.map(f)) }),
  plain('cast to complex and back', [float([2, 4])], (a: T) => { const z = tf.cast(a, 'complex64'); return [...parts(z), tf.cast(z, 'float32')]; }),
  ...[4, 5, 8, 12, 128, 210].flatMap((n) => [
    plain(`fft of ${n}`, [float([2, n]), float([2, n])], (a: T, b: T) => parts(tf.spectral.fft(tf.complex(a, b)))),
    plain(`ifft of ${n}`, [float([2, n]), float([2, n])], (a: T, b: T) => parts(tf.spectral.ifft(tf.complex(a, b)))),
    plain(`rfft of ${n}`, [float([2, n])], (a: T) => parts(tf.spectral.rfft(a))),
    plain(`irfft of ${n}`, [float([2, n]), float([2, n])], (a: T, b: T) => tf.spectral.irfft(tf.complex(a, b))),
  ]),
  plain('stft', [float([24])], (a: T) => parts(tf.signal.stft(a as tf.Tensor1D, 8, 4))),
];
