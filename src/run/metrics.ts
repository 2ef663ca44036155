/** The numbers that models are scored with on held-out pairs. */
import { msSsim } from '../losses/msSsim.ts';
import { psnr } from '../losses/psnr.ts';
import { ssim } from '../losses/ssim.ts';
import { applyNet } from '../models/net.ts';
import type { GivenNet } from '../models/net.ts';
import type { Lpips } from '../models/lpips.ts';
import * as tf from '../tf.ts';
import { stackImages } from './validation.ts';

export type Metric = Readonly<{
  name: string;
  unit: string;
  /** Whether a larger score is the better one. */
  isHigherBetter: boolean;
  /** Digits after the point that are shown. */
  digits: number;
  /** Scores of images in [-1, 1]: float32 [B, H, W, 3] twice to [B]. */
  score: (made: tf.Tensor4D, target: tf.Tensor4D) => tf.Tensor1D;
}>;

/** Scores of one image by metric name. */
export type ImageScores = Readonly<Record<string, number>>;

/** Images must be larger than this for MS-SSIM's five scales with an 11-pixel window. */
const leastForMsSsim = 160;

/** The metrics that images of this size allow; LPIPS where its weights are given. */
export const metricsFor = (size: number, lpips?: GivenNet<[tf.Tensor4D, tf.Tensor4D], Lpips>): readonly Metric[] => [
  { name: 'PSNR', unit: 'dB', isHigherBetter: true, digits: 2, score: (made, target) => psnr(made, target) },
  { name: 'SSIM', unit: '', isHigherBetter: true, digits: 4, score: (made, target) => ssim(made, target) },
  ...(size > leastForMsSsim ? [{ name: 'MS-SSIM', unit: '', isHigherBetter: true, digits: 4, score: (made: tf.Tensor4D, target: tf.Tensor4D) => msSsim(made, target) }] : []),
  ...(lpips ? [{ name: 'LPIPS', unit: '', isHigherBetter: false, digits: 4, score: (made: tf.Tensor4D, target: tf.Tensor4D) => applyNet(lpips.net)(made, target).total }] : []),
];

/** Scores images against their targets, `batch` at a time, the last batch filled up by repetition so that one graph does for all. */
export const scoreImages = async (metrics: readonly Metric[], made: readonly Float32Array[], targets: readonly Float32Array[], size: readonly [number, number], batch: number): Promise<ImageScores[]> => {
  const scores: ImageScores[] = [];
  for (let at = 0; at < made.length; at += batch) {
    const count = Math.min(batch, made.length - at);
    const some = (images: readonly Float32Array[]): tf.Tensor4D => stackImages(Array.from({ length: batch }, (_, i) => images[Math.min(at + i, images.length - 1)] as Float32Array), size);
    const values = tf.tidy(() => {
      const [x, y] = [tf.clipByValue(some(made), -1, 1) as tf.Tensor4D, some(targets)];
      return tf.stack(metrics.map(({ score }) => score(x, y)));
    });
    try {
      const numbers = await values.data();
      for (let i = 0; i < count; i++) scores.push(Object.fromEntries(metrics.map(({ name }, m) => [name, numbers[m * batch + i] as number])));
    } finally {
      values.dispose();
    }
  }
  return scores;
};

/** Mean of each score over images. */
export const meanOf = (scores: readonly ImageScores[], name: string): number => scores.reduce((sum, one) => sum + (one[name] as number), 0) / scores.length;
