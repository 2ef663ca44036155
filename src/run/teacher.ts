/** Whom students learn from. */
import { fileURLToPath } from 'node:url';
import { ConfigError } from '../errors.ts';
import { autoencoderOf } from '../models/autoencoders.ts';
import type { Codec } from '../models/codec.ts';
import { heldOutOf } from './heldOut.ts';
import type { RunContext } from './method.ts';
import { shownPath } from './outcome.ts';
import { latentOptions } from './space.ts';
import { scoreModel } from './validation.ts';

/** A small AutoencoderKL of the fixtures' images, so that a student has somebody to learn from before there is another. */
const standIn = fileURLToPath(new URL('../../fixtures/teacher', import.meta.url));

/** Where the teacher comes from; the stand-in where none is named. */
export const teacherOptions = (): ReturnType<typeof latentOptions> => latentOptions({ standIn });
type Teacher = Readonly<{ autoencoder: string; encoder: string; model: Readonly<Record<string, unknown>> }>;

/** Pixels per latent cell, and channels of the latent. @throws ConfigError where the configuration was not filled in */
export const teacherShape = ({ model }: Teacher): Readonly<{ factor: number; channels: number }> => {
  if (Object.keys(model).length === 0) throw new ConfigError('teacher', 'teacher: expected an autoencoder to learn from (teacher.autoencoder, or teacher.encoder with teacher.decoder) but none is named');
  return autoencoderOf(model);
};

/** Says who the teacher is, before a run. */
export const nameTeacher = ({ report }: Pick<RunContext, 'report'>, { autoencoder, encoder, model }: Teacher): void => {
  const { factor, channels } = teacherShape({ autoencoder, encoder, model });
  const path = autoencoder || encoder;
  const own = path === shownPath(standIn) || path === standIn;
  report.line(`teacher ${path}: ${channels} channels, ${factor} px a cell${own ? '; a small one of this project\'s fixtures: node pipelines/vae.ts trains one on your images, for teacher.autoencoder=runs/vae/latest' : ''}`);
};

/** Scores the teacher's own round trip of the held-out images, to compare the student's with. */
export const scoreTeacher = async (run: Pick<RunContext, 'dataset' | 'skippedFiles' | 'strict' | 'report'>, codec: Codec, { size, batch, seed }: { size: number; batch: number; seed: number }): Promise<void> => {
  const scored = await scoreModel(heldOutOf(run, { size }), (image) => codec.decode(codec.encode(image)), { batch, seed });
  if (scored) run.report.line(`the teacher itself: PSNR ${scored.scores.psnr.toFixed(2)} dB, SSIM ${scored.scores.ssim.toFixed(4)} on the same ${scored.images} images`);
};
