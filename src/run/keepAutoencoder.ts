/** What a run that trains an autoencoder leaves for others: a folder that diffusers loads and `latent.autoencoder` takes. */
import { join } from 'node:path';
import type { Autoencoder } from '../models/autoencoder.ts';
import { type Net, paramsOf } from '../models/net.ts';
import { saveModel } from '../models/weights/modelFolder.ts';
import { stateOf } from '../models/weights/netState.ts';
import * as tf from '../tf.ts';
import { autoencoderFolder } from './autoencoderFiles.ts';
import { heldOutOf } from './heldOut.ts';
import type { RunContext } from './method.ts';
import { unwrap } from './orThrow.ts';
import { shownPath } from './outcome.ts';
import { stackImages } from './validation.ts';

/** How latents come to about unit variance: by one factor and shift, by one of each channel, or as the configuration has it. */
export type LatentScaling = 'one' | 'channels' | 'keep';

/** Means and deviations, over all values or channel by channel; float64 sums. */
export const latentStatistics = (latents: readonly Float32Array[], channels: number): Readonly<{ mean: number[]; std: number[] }> => {
  const [sums, squares] = [new Float64Array(channels), new Float64Array(channels)];
  let count = 0;
  for (const values of latents) {
    count += values.length / channels;
    values.forEach((value, i) => { sums[i % channels] = (sums[i % channels] as number) + value; squares[i % channels] = (squares[i % channels] as number) + value * value; });
  }
  const mean = Array.from(sums, (sum) => sum / count);
  return { mean, std: Array.from(squares, (square, c) => Math.sqrt(Math.max(0, square / count - (mean[c] as number) ** 2))) };
};

/** The configuration's fields for a scaling. */
export const scalingFields = ({ mean, std }: ReturnType<typeof latentStatistics>, scaling: LatentScaling): Readonly<Record<string, unknown>> => {
  if (scaling === 'keep') return {};
  if (scaling === 'channels') return { scaling_factor: 1, latents_mean: mean, latents_std: std };
  const shift = mean.reduce((sum, one) => sum + one, 0) / mean.length;
  const variance = std.reduce((sum, one, c) => sum + one ** 2 + ((mean[c] as number) - shift) ** 2, 0) / std.length;
  return { scaling_factor: 1 / Math.sqrt(variance), shift_factor: shift };
};

/**
 * Writes the averaged weights and the configuration, with the scaling measured on training images at rest, to `autoencoder/` of the run folder.
 * @param net its parameters include the autoencoder's, under their own names
 * @param options.images training images at most that the scaling is measured on, evenly spread @param options.batch images at a time
 * @throws WeightsError when the folder cannot be written
 */
export const keepAutoencoder = async (run: Pick<RunContext, 'folder' | 'dataset' | 'skippedFiles' | 'report'>, net: Net<never, unknown>, autoencoder: Autoencoder, { size, batch, scaling, images = 256 }: {
  size: number; batch: number; scaling: LatentScaling; images?: number;
}): Promise<void> => {
  const { dataset } = run;
  const loads = scaling === 'keep' ? [] : await heldOutOf({ ...run, dataset: { ...dataset, validation: dataset.train }, strict: false }, { size, limit: images, memory: 0 }).pairs();
  const latents: Float32Array[] = [];
  for (let at = 0; at < loads.length; at += batch) {
    // Always a full batch, so that one graph does for all.
    const some = await Promise.all(Array.from({ length: batch }, (_, i) => (loads[Math.min(at + i, loads.length - 1)] as (typeof loads)[number])()));
    const z = tf.tidy(() => autoencoder.encode(paramsOf(net, 'shadow'), stackImages(some.map(({ target }) => target), [size, size])));
    const values = await z.data() as Float32Array;
    latents.push(values.slice(0, values.length / batch * Math.min(batch, loads.length - at)));
    z.dispose();
  }
  const measured = latentStatistics(latents, autoencoder.channels);
  const fields = scalingFields(measured, loads.length === 0 ? 'keep' : scaling);
  const all = await stateOf(net, 'shadow');
  const state = Object.fromEntries([...autoencoder.specs.keys()].map((name) => [name, all[name] as (typeof all)[string]]));
  const folder = join(run.folder.path, autoencoderFolder);
  await unwrap(saveModel(folder, { network: { ...autoencoder, config: { ...autoencoder.config as object, ...fields } }, state }));
  const { scaling_factor: factor } = fields as { scaling_factor?: number };
  const told = factor === undefined ? 'scaled as configured' : `latents of ${loads.length} images have deviation ${scaling === 'one' ? (1 / factor).toPrecision(4) : `[${measured.std.map((one) => one.toPrecision(3)).join(', ')}]`}`;
  run.report.line(`autoencoder ${shownPath(folder)}: ${told}; to work in it: --set latent.autoencoder=${shownPath(run.folder.path)}`);
};
