/** The parts of `pipelines/taesd.ts`: options by group, and the nets they make. */
import * as E from 'fp-ts/lib/Either.js';
import { z } from 'zod';
import { type AdversarialLoss, adversarialLosses, meanDistance } from '../losses/adversarial.ts';
import { type RecipeWeights, recipeNames, taesdRecipes } from '../losses/imageTerms.ts';
import { latentCritic } from '../models/latentCritic.ts';
import type { StateDict } from '../models/net.ts';
import { type ReplayPolicy, classicHistory, replayBuffer, seraenaHistory } from '../models/replayBuffer.ts';
import { decoderCritic, studentOf } from '../models/student.ts';
import { fitted } from '../models/weights/report.ts';
import { divergenceControl } from '../operators/undoDivergence.ts';
import { divergenceRules } from '../optim/divergence.ts';
import { perceptualFiles, perceptualNets, type perceptualOptions, withoutPerceptual } from './autoencoderOptions.ts';
import { keepStudent } from './keepStudent.ts';
import type { GivenFiles } from './given.ts';
import type { Purpose, RunContext } from './method.ts';
import type { dataOptions, optimOptions } from './options.ts';
import { latentFiles, workingSpace } from './space.ts';
import { nameTeacher, scoreTeacher, type teacherOptions, teacherShape } from './teacher.ts';
import { trainedNet } from './trained.ts';

const count = (value: number, text: string) => z.int().min(1).default(value).describe(text);
const weight = (text: string) => z.number().min(0).optional().describe(`${text}; as the recipe has it`);
const file = (text: string) => z.string().default('').describe(text).meta({ value: 'FILE' });

/** The two halves that are trained. */
export const studentOptions = (given: { width: number; blocks: number }) => z.object({
  variant: z.enum(['f8', 'f8Pool']).default('f8').describe('f8Pool has pools in its deepest blocks, as TAEF2'),
  width: count(given.width, 'width of every layer; 64 in TAESD'),
  blocks: count(given.blocks, 'blocks of each level but the outermost; 3 in TAESD'),
  encoder: file('weights to begin from, as TAESD\'s files have them'),
  decoder: file('the same for the decoder'),
});

/** What the halves are trained on: a recipe, and what is to differ from it. */
export const recipeOptions = () => ({
  recipe: z.enum(recipeNames).default('v1.0').describe('mixture of the decoder\'s losses, by versions of TAESD; mse and auxiliary are what surrounds them'),
  loss: z.object({
    latent: z.number().min(0).default(1).describe('mean squared error of latents; with 0 the encoder stays as it is'),
    gan: weight('the critic\'s term'), mse: weight('mean squared error'), lpips: weight('perceptual distance, where perceptual.lpips gives its weights'),
    amplitude: weight('mean absolute difference of frequency amplitudes'), low: weight('mean squared error at an eighth of the resolution'), latentGan: weight('a critic of the encoder\'s latents'),
  }),
});

/** How the critic plays. */
export const ganOptions = (given: { rate: number; base: number; layers: number; history: number }) => z.object({
  loss: z.enum(['seraena', ...Object.keys(adversarialLosses) as (keyof typeof adversarialLosses)[]]).default('meanDistance').describe('the game; seraena turns the critic\'s gradient into a corrected image instead'),
  distance: z.enum(['absolute', 'squared']).default('absolute').describe('of mean scores, in meanDistance'),
  rate: z.number().positive().default(given.rate).describe('learning rate of the critics over that of the students; 10 in seraena'),
  base: count(given.base, 'width of the critics\' first layer'),
  layers: count(given.layers, 'convolutions of stride 2 of the image critic: 1, 2, 3 see patches of 16, 34, 70 px'),
  replay: z.enum(['none', 'classic', 'seraena']).default('classic').describe('which past fakes the critic is shown: none, one in two once the memory is full, or half a batch of draws'),
  history: count(given.history, 'fakes that are remembered'),
  r1: z.number().min(0).default(0).describe('weight of R1 on the critic'),
  r2: z.number().min(0).default(0).describe('weight of R2'),
});

/** When a run counts as diverged: see `undoDivergence`. */
export const guardOptions = ({ tolerance }: { tolerance: number }) => z.object({
  on: z.boolean().default(true).describe('whether a run that diverges goes back to its last good weights, with a lower adversarial weight'),
  tolerance: z.number().gt(1).default(tolerance).describe('how many times its best the decoder\'s mean squared error may be'),
  patience: count(divergenceRules.patience, 'steps in a row beyond that'),
  warmUp: z.int().min(0).default(divergenceRules.warmUp).describe('steps at the start, and after each return, that are not judged'),
  every: count(divergenceRules.every, 'steps between good weights that are kept'),
  lower: z.number().min(0).lt(1).default(divergenceRules.lower).describe('what the adversarial weight is multiplied by at each return'),
  most: z.int().min(0).default(divergenceRules.most).describe('returns before the run gives up'),
});

/** The groups of a configuration that these read. */
export type TaesdConfig = Readonly<{
  data: z.output<ReturnType<typeof dataOptions>>;
  teacher: z.output<ReturnType<typeof teacherOptions>>;
  student: z.output<ReturnType<typeof studentOptions>>;
  recipe: z.output<ReturnType<typeof recipeOptions>['recipe']>;
  loss: z.output<ReturnType<typeof recipeOptions>['loss']>;
  gan: z.output<ReturnType<typeof ganOptions>>;
  guard: z.output<ReturnType<typeof guardOptions>>;
  perceptual: z.output<ReturnType<typeof perceptualOptions>>;
  optim: z.output<ReturnType<typeof optimOptions>>;
  steps: number;
  seed: number;
}>;

/** The recipe's weights, with those that the configuration gives itself. */
export const weightsOf = ({ recipe, loss }: Pick<TaesdConfig, 'recipe' | 'loss'>): RecipeWeights => {
  const { latent: _, ...given } = loss;
  return { ...taesdRecipes[recipe], ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) };
};

/** The game's two terms; seraena has its own, and gives the critic of latents the author's. */
export const gameOf = ({ loss, distance }: TaesdConfig['gan']): AdversarialLoss => (loss === 'meanDistance' || loss === 'seraena' ? meanDistance({ distance }) : adversarialLosses[loss]);

export const policyOf = ({ replay }: TaesdConfig['gan']): ReplayPolicy | undefined => ({ none: undefined, classic: classicHistory(), seraena: seraenaHistory })[replay];

/** The files to train with: the teacher, what the student begins from, perceptual networks. A trained student stands by itself. */
export const taesdFiles = ({ teacher, student, perceptual }: Pick<TaesdConfig, 'teacher' | 'student' | 'perceptual'>, purpose: Purpose): GivenFiles => (purpose === 'use' ? {} : {
  ...latentFiles(teacher), ...perceptualFiles(perceptual), ...(student.encoder !== '' && { encoder: [student.encoder] }), ...(student.decoder !== '' && { decoder: [student.decoder] }),
});

/** Says who the teacher is, and what the run goes without. */
export const introduce = (run: Pick<RunContext, 'report'>, config: TaesdConfig, nets: ReturnType<typeof perceptualNets>): void => {
  nameTeacher(run, config.teacher);
  for (const text of withoutPerceptual({ lpips: weightsOf(config).lpips, convnext: 0 }, nets)) run.report.line(text);
};

/** What is left to do at the end of a run: the teacher's own scores, and the student as others take it (one with pools is none that diffusers knows). */
export const conclude = async (run: RunContext, config: TaesdConfig, { encoder, decoder, teacher: { codec } }: Pick<ReturnType<typeof taesdNets>, 'encoder' | 'decoder' | 'teacher'>): Promise<void> => {
  await scoreTeacher(run, codec, { ...config.data, seed: config.seed });
  const { factor, channels } = teacherShape(config.teacher);
  if (config.student.variant === 'f8') await keepStudent(run, { encoder, decoder }, { channels, halvings: Math.log2(factor), ...config.student });
};

/** Everything a run holds. What a configuration does not use is not made. @throws WeightsError where the files a student is to begin from are not of its variant and sizes */
export const taesdNets = (config: TaesdConfig, given: Readonly<Record<string, StateDict>> = {}) => {
  const { data: { size }, gan, guard } = config;
  const [shape, weights] = [teacherShape(config.teacher), weightsOf(config)];
  const networks = studentOf(shape, config.student);
  for (const half of ['encoder', 'decoder'] as const) {
    const [path, state] = [config.student[half], given[half]];
    const fits = path === '' || !state ? undefined : fitted(networks[half], state, path);
    if (fits && E.isLeft(fits)) throw fits.left;
  }
  const students = { encoder: trainedNet(networks.encoder, config, given), decoder: trainedNet(networks.decoder, config, given) };
  const others = { ...config, optim: { ...config.optim, lr: config.optim.lr * gan.rate, accumulate: 1 } };
  const critics = {
    ...(weights.gan > 0 && { critic: trainedNet(decoderCritic({ kind: gan.loss === 'seraena' ? 'seraena' : 'patch', channels: shape.channels, ...gan }), others, given, { shadow: false }) }),
    ...(weights.latentGan > 0 && config.loss.latent > 0 && { latentCritic: trainedNet(latentCritic({ channels: shape.channels, base: gan.base }), others, given, { shadow: false }) }),
  };
  return {
    ...students, ...critics, teacher: workingSpace(config.teacher, given), ...perceptualNets(config.perceptual, given),
    ...(weights.gan > 0 && { history: replayBuffer({ capacity: gan.history, shapes: { fake: [size, size, 3], context: [size / shape.factor, size / shape.factor, shape.channels] } }) }),
    ...(weights.gan > 0 && guard.on && { control: divergenceControl({ ...students, ...critics }) }),
  };
};
