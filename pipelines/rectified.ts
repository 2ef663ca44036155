/**
 * Rectified flow on one paired folder, in three phases: a flow; a flow again, on the pairs that the first one connects; and a student that goes all the way at once.
 * Run: node pipelines/rectified.ts [--data fixtures/splats] [--init runs/flow/latest --set rectified.phase=reflow, then from that run distil]
 * @source Liu et al. 2022, arXiv 2209.03003, algorithm 1 and section 2.2; Lee et al. 2024, arXiv 2405.20320 (U-shaped times)
 */
import { pipe } from 'rxjs';
import { z } from 'zod';
import { weighted } from '../src/losses/objective.ts';
import { regress } from '../src/losses/regress.ts';
import { limitOf } from '../src/models/codec.ts';
import { type Clean, answer, denoiser } from '../src/models/denoiser.ts';
import { type StateDict, applyNet, makeNet } from '../src/models/net.ts';
import { translatorOf } from '../src/models/translateBy.ts';
import { backward } from '../src/operators/backward.ts';
import { corrupt } from '../src/operators/corrupt.ts';
import { ema } from '../src/operators/ema.ts';
import { encode } from '../src/operators/encode.ts';
import { inherit } from '../src/operators/inherit.ts';
import { reflow } from '../src/operators/reflow.ts';
import { restart } from '../src/operators/restart.ts';
import { seeded } from '../src/random.ts';
import type { Method } from '../src/run/method.ts';
import { augmentOptions, dataOptions, denoiserOptions, feedOptions, optimOptions, sampleOptions, seedOption, stepsOption, trackOptions } from '../src/run/options.ts';
import { runPipeline } from '../src/run/runPipeline.ts';
import { latentFiles, latentMultiple, latentOptions, workingSpace } from '../src/run/space.ts';
import { observe, pairsOf } from '../src/run/stages.ts';
import { trainedNet } from '../src/run/trained.ts';
import { rectified as rectifiedProcess } from '../src/schedules/processes/rectified.ts';
import { phases } from '../src/streams/phases.ts';
import { settle } from '../src/streams/settle.ts';

const schema = z.object({
  data: dataOptions({ root: 'fixtures/splats', size: 96, batch: 4 }),
  feed: feedOptions({ credits: 3, workers: 2, cache: '512MB' }),
  augment: augmentOptions({ shift: 0.05, rotate: 5, crop: 1, flip: 0.5, hue: 0, saturation: 0 }),
  rectified: z.object({
    phase: z.enum(['all', 'reflow', 'distil']).default('all').describe('reflow and distil alone go on from --init'), from: z.enum(['source', 'noise']).default('source').describe('where paths begin'),
    warm: z.number().min(0).max(1).default(0.6).describe('share of all steps that trains the first flow'), reflow: z.number().min(0).max(1).default(0.2).describe('and the second; the rest distils'),
    teacherSteps: z.int().min(1).default(8).describe('calls of the teacher per pair'), times: z.enum(['uniform', 'uShaped']).default('uniform').describe('times of the second flow'),
    calls: z.int().min(1).default(1).describe('calls that the student is distilled for'),
  }),
  latent: latentOptions(),
  network: denoiserOptions({ base: 16, multipliers: [1, 2, 4], depth: 1, attention: true, conditioned: true }),
  optim: optimOptions({ lr: 1e-3, beta1: 0.9, beta2: 0.999, weightDecay: 0, amsgrad: false, clip: 1, warmUp: 20, accumulate: 1 }),
  track: trackOptions({ halfLife: 400, logEvery: 10, sampleEvery: 100, validateEvery: 200, saveEvery: 100, keep: 3 }),
  sample: sampleOptions({ steps: 1 }),
  steps: stepsOption(500), seed: seedOption(0),
});
type Config = z.output<typeof schema>;

/** Where reflow and distillation begin. */
const startsOf = ({ rectified: { phase, warm, reflow: again }, steps }: Config): readonly [number, number] =>
  (phase === 'all' ? [Math.round(steps * warm), Math.round(steps * Math.min(1, warm + again))] : [0, phase === 'reflow' ? steps : 0]);
const nets = (config: Config, given?: Readonly<Record<string, StateDict>>) => {
  const [space, [second, third]] = [workingSpace(config.latent, given), startsOf(config)];
  const network = denoiser({ channels: space.codec.channels, ...config.network });
  return { denoiser: trainedNet(network, config, given, { phases: [second, third - second, config.steps - third] }), teacher: makeNet({ ...network, name: 'teacher' }, { key: seeded(config.seed), given: given?.['teacher'] ?? {} }), space };
};

export const rectified: Method<Config, ReturnType<typeof nets>> = {
  name: 'rectified', summary: 'rectified flow: a flow, reflow on its own pairs, and distillation to one step', schema, nets,
  files: ({ latent }) => latentFiles(latent),
  train: (config, run, resources) => {
    const [{ denoiser: net, teacher, space: { codec } }, { from, teacherSteps, times, calls }] = [resources, config.rectified];
    const [key, gate, [second, third]] = [seeded(run.seed), run.gate(config.feed.credits), startsOf(config)];
    const fit = (drawn: 'uniform' | 'uShaped' | 'calls') => pipe(
      corrupt(rectifiedProcess({ from, times: drawn, calls }), { key }),                                // + t, noisy, goal, weight
      backward(net, answer, weighted({ velocity: [1, regress] }), config.optim), ema(net, config.track),  // + output
    );
    const again = (at: number, drawn: Parameters<typeof fit>[0]) => pipe(
      inherit<Clean>(net, teacher, { at }), restart(net, { at }),                                       // what was trained so far teaches, and is trained on
      reflow(teacher, { from, steps: teacherSteps, key, ...limitOf(codec) }), fit(drawn),               // + eps; targetLatent: where the teacher's path ends
    );
    const learn = pipe(encode(codec), phases({ from: 0, run: fit('uniform') }, { from: second, run: again(second, times) }, { from: third, run: again(third, 'calls') }));
    return pairsOf(run, gate, config).pipe(gate.stage('engine', pipe(learn, settle())), observe(run, gate, config, resources, rectified.translate(resources, config)), gate.settle());
  },
  translate: ({ denoiser: net, space }, config) => translatorOf(space.codec, rectifiedProcess({ from: config.rectified.from }), () => applyNet(net, 'shadow'), config.sample.steps),
  multipleOf: ({ network, latent }) => 2 ** (network.multipliers.length - 1) * latentMultiple(latent),
};
if (import.meta.main) await runPipeline(rectified);
