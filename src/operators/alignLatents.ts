import type { OperatorFunction } from 'rxjs';
import * as tf from '../tf.ts';
import { antiCollapse, commonDirection, commonShift, oneLine, straightFlow } from '../losses/diffusion/straightLine.ts';
import { l1 } from '../losses/l1.ts';
import { mse } from '../losses/mse.ts';
import { weighted } from '../losses/objective.ts';
import type { Clean } from '../models/denoiser.ts';
import { type LineAutoencoder, type LineKind, rowsOf } from '../models/lineAutoencoder.ts';
import { type Net, applyNet } from '../models/net.ts';
import { constantOf } from '../models/tape.ts';
import { trainStep } from '../optim/trainStep.ts';
import { type Key, fold, normal, uniform } from '../random.ts';
import type { Measured } from '../streams/frames.ts';
import { mapTensors } from '../streams/mapTensors.ts';

type Image = tf.Tensor4D;

/** One autoencoder of the experiment, the velocity between its latents, and whether its pairs are torn apart (the control). */
export type LineArm = Readonly<{ net: Net<[Image], Image>; autoencoder: LineAutoencoder; flow: Net<[z: Image, t: tf.Tensor1D], Image>; shuffled?: boolean }>;

/** Every image's successor in the batch: pairs that do not belong together. */
export const successors = (images: Image): Image => tf.concat([tf.slice(images, [1, 0, 0, 0], [-1, -1, -1, -1]), tf.slice(images, [0, 0, 0, 0], [1, -1, -1, -1])], 0);

const broadcast = (values: tf.Tensor1D): Image => tf.reshape(values, [-1, 1, 1, 1]);

/**
 * Trains an autoencoder whose latents of a pair, a and b, are asked to lie on a line, and the velocity between them: L1 of both reconstructions, line * R, collapse * what
 * keeps latents from collapsing, cross * L1 of the target decoded from a + shift, with noise as large as what the shift leaves over.
 *
 * Reads  sourceLatent, targetLatent  float32 [B, H, W, C], B at least 2
 * Adds   metrics  `<net>.source`, `.target`, `.line`, `.collapse`, `.cross`; `<flow>.velocity`
 * Timing one frame out for each frame in, synchronously; ends and fails with its source.
 * @param arm what is trained @param options.kind which regulariser R @param options.line, options.collapse, options.cross weights; 0 leaves a term out
 * @param options.noise share of the residual's standard deviation that is added to a + shift @param options.key of noise and times, as functions of the step
 * @source this project's; see Liu et al. 2022, arXiv 2209.03003 (straightness) and Bardes et al. 2022, arXiv 2105.04906 (anti-collapse)
 */
export function alignLatents<F extends Clean>({ net, autoencoder: { encode, decode, shift, direction, shifted, follow }, flow, shuffled = false }: LineArm, { kind, line, collapse, cross, noise, clip, key }: Readonly<{
  kind: LineKind; line: number; collapse: number; cross: number; noise: number; clip: number; key: Key;
}>): OperatorFunction<F, F & Measured> {
  return mapTensors(`alignLatents(${net.name})`, (frame: F): F & Measured => {
    const [source, target] = [frame.sourceLatent, shuffled ? successors(frame.targetLatent) : frame.targetLatent];
    const times = tf.tensor1d(uniform(fold(key, 'line time', frame.step), source.shape[0]));
    const between = (a: Image, b: Image): Image => tf.add(tf.mul(b, tf.sub(1, broadcast(times))), tf.mul(a, broadcast(times)));
    const { a, b, metrics } = trainStep(net, frame as F & Partial<Measured>, (_apply, _frame, params) => {
      // Both images, and all latents, go through the autoencoder as one batch: a third of the graph.
      const [a, b] = tf.split(encode(params, tf.concat([source, target], 0)), 2, 0) as [Image, Image];
      follow(params, a, b);
      const spread = constantOf(() => tf.mul(tf.tensor4d(normal(fold(key, 'line', frame.step), a.size), a.shape), tf.mul(noise, tf.sqrt(tf.mean(tf.square(tf.sub(tf.sub(b, a), shift(params))))))));
      const regulariser = {
        shift: () => commonShift(rowsOf(a), rowsOf(b), tf.reshape(shift(params), [-1])), direction: () => commonDirection(rowsOf(a), rowsOf(b), direction(params)),
        flow: () => straightFlow(rowsOf(applyNet(flow)(between(a, b), times)), rowsOf(a), rowsOf(b)), oneLine: () => oneLine(rowsOf(tf.concat([a, b], 0))),
      };
      const latents = cross === 0 ? [a, b] : [a, b, tf.add<Image>(shifted(params, a), spread)];
      const [madeSource, madeTarget, crossed = madeTarget] = tf.split(decode(params, tf.concat(latents, 0)), latents.length, 0) as [Image, Image, Image?];
      return { a, b, regular: line === 0 ? tf.scalar(0) : regulariser[kind](), madeSource, madeTarget, crossed };
    }, weighted({
      source: [1, ({ madeSource }) => l1(madeSource, source)], target: [1, ({ madeTarget }) => l1(madeTarget, target)],
      line: [line, ({ regular }) => regular as tf.Scalar], collapse: [collapse, (seen) => antiCollapse(rowsOf(tf.concat([seen.a, seen.b], 0)))],
      cross: [cross, ({ crossed }) => l1(crossed, target)],
    }), { clip });
    const trained = trainStep(flow, { ...frame, metrics }, (velocity) => ({ velocity: velocity(between(a, b), times) }), weighted({ velocity: [1, ({ velocity }) => mse(velocity, tf.sub(b, a))] }), { clip });
    return { ...frame, metrics: trained.metrics };
  });
}
