/** What `sample` does when it is due: draws a strip of fixed held-out pairs and writes it. */
import { join } from 'node:path';
import * as tf from '../tf.ts';
import { latentPictures } from './latentPictures.ts';
import type { Part, RunContext, Translate } from './method.ts';
import { writeOrTell } from './observed.ts';
import { renderStrip } from './strip.ts';
import { type HeldOut, heldOutKey, stackImages, told, translateImages } from './validation.ts';

/** Eight digits, so that files sort by step. */
const stripName = (step: number): string => `step-${`${step}`.padStart(8, '0')}.png`;

/** Pictures of the latents of some images, of the images' size. */
const drawLatents = async ({ run }: Part, images: readonly Float32Array[], size: readonly [number, number]): Promise<Float32Array[]> => {
  const latents = tf.tidy(() => run(stackImages(images, size)));
  try {
    return latentPictures(await latents.data() as Float32Array, latents.shape, size[0] / latents.shape[1]);
  } finally {
    latents.dispose();
  }
};

/**
 * Makes a function that draws the strip after a step: `samples/step-<completed steps>.png` and `samples/latest.png`. Nothing is drawn when there are no pairs.
 * @param options.count rows of a strip: the first held-out pairs @param options.latents shows what it makes of the targets in place of the sources
 * @returns given the step, the path of its strip
 */
export const sampleStrips = (run: Pick<RunContext, 'folder' | 'seed' | 'steps' | 'report'>, heldOut: HeldOut, translate: Translate, { count, latents }: { count: number; latents?: Part }): ((step: number) => Promise<string | undefined>) => async (step) => {
  const size = [heldOut.height, heldOut.width] as const;
  const pairs = await Promise.all((await heldOut.pairs()).slice(0, count).map((load) => load()));
  if (pairs.length === 0) return undefined;
  const outputs = await translateImages(translate, pairs.map(({ source }) => source), size, { keys: pairs.map((_, i) => heldOutKey(run.seed, i)), batch: pairs.length, ...told(pairs) });
  const firsts = latents ? await drawLatents(latents, pairs.map(({ target }) => target), size) : pairs.map(({ source }) => source);
  const rows = pairs.map(({ target }, i) => ({ source: firsts[i] as Float32Array, target, output: outputs[i] as Float32Array }));
  const strip = await renderStrip(rows, size, `step ${step + 1} of ${run.steps}, averaged weights`, latents && { first: 'latent' });
  for (const name of [stripName(step + 1), 'latest.png']) await writeOrTell(run.report, join(run.folder.samples, name), strip);
  return join(run.folder.samples, stripName(step + 1));
};
