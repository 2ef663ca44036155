import * as tf from '../tf.ts';
import { type Key, fold, normal } from '../random.ts';
import type { Process } from '../schedules/processes/process.ts';
import { runRecipe } from '../schedules/samplers/sampler.ts';
import { type Codec, limitOf } from './codec.ts';

/** Unit normal noise of one shape for a batch, each image's from its own key. */
export const noiseFor = (keys: readonly Key[], name: string, index: number, [, height, width, channels]: readonly [number, number, number, number]): tf.Tensor4D => {
  const size = height * width * channels;
  const values = new Float32Array(keys.length * size);
  keys.forEach((key, i) => { values.set(normal(fold(key, name, index), size), i * size); });
  return tf.tensor4d(values, [keys.length, height, width, channels]);
};

/**
 * Samples a process: from its start (noise, or the source) to an estimate of the target. Call inside a tidy.
 * @param network answers for (input, t, source); input as the process scales it
 * @param source float32 [B, H, W, C], in the space the process works in
 * @param options.calls network calls @param options.keys one per image; all noise follows from them
 * @param options.limit applied to every estimate, such as a clamp in pixel space
 * @returns float32 [B, H, W, C]
 */
export const translateBy = (process: Process, network: (input: tf.Tensor4D, t: tf.Tensor1D, source: tf.Tensor4D) => tf.Tensor4D, source: tf.Tensor4D, { calls, keys, limit }: {
  calls: number; keys: readonly Key[]; limit?: (estimate: tf.Tensor4D) => tf.Tensor4D;
}): tf.Tensor4D => {
  const plan = process.sample(calls);
  const begin = tf.add<tf.Tensor4D>(tf.mul(source, plan.start.source), plan.start.eps === 0 ? 0 : tf.mul(noiseFor(keys, 'start', 0, source.shape), plan.start.eps));
  let call = 0;
  const estimate = (input: tf.Tensor4D): tf.Tensor4D => {
    const { t, estimate: { x, output, source: share } } = plan.calls[call] as (typeof plan.calls)[number];
    const { inputScale } = plan.recipe.steps[call] as (typeof plan.recipe.steps)[number];
    call++;
    const answer = network(input, tf.fill([source.shape[0]], t), source);
    const parts = ([[x / inputScale, input], [output, answer], [share, source]] as const).filter(([weight]) => weight !== 0);
    return tf.addN(parts.map(([weight, tensor]) => tf.mul(tensor, weight)));
  };
  return runRecipe(estimate, begin, plan.recipe, {
    noise: (i) => noiseFor(keys, 'step', i, source.shape),
    ...(limit && { limit }),
    ...(plan.shift && { after: (x: tf.Tensor4D, i: number) => tf.add<tf.Tensor4D>(x, tf.mul(source, plan.shift?.[i] ?? 0)) }),
  });
};

/**
 * A trained process as a function of images: into the codec's space, sampled there, and back. In pixel space every estimate is clamped to [-1, 1].
 * @param steps network calls where none are asked for
 */
export const translatorOf = (codec: Codec, process: Process, network: () => (input: tf.Tensor4D, t: tf.Tensor1D, source: tf.Tensor4D) => tf.Tensor4D, steps: number) =>
  (source: tf.Tensor4D, { keys, steps: calls = steps }: Readonly<{ keys: readonly Key[]; steps?: number }>): tf.Tensor4D =>
    codec.decode(translateBy(process, network(), codec.encode(source), { calls, keys, ...limitOf(codec) }));
