/** The smallest method on real images, as a program: two convolutions that answer the target. Its model can be told to fail. For tests of what looks at a step. */
import { pipe } from 'rxjs';
import { z } from 'zod';
import { mse } from '../../src/losses/mse.ts';
import { weighted } from '../../src/losses/objective.ts';
import { applyNet } from '../../src/models/net.ts';
import { backward } from '../../src/operators/backward.ts';
import { ema } from '../../src/operators/ema.ts';
import type { Method, Translate } from '../../src/run/method.ts';
import { augmentOptions, dataOptions, feedOptions, optimOptions, seedOption, stepsOption, trackOptions } from '../../src/run/options.ts';
import { runPipeline } from '../../src/run/runPipeline.ts';
import { observe, pairsOf } from '../../src/run/stages.ts';
import { trainedNet } from '../../src/run/trained.ts';
import type { Pair } from '../../src/streams/frames.ts';
import { settle } from '../../src/streams/settle.ts';
import * as tf from '../../src/tf.ts';
import { tinyNetwork } from './support.ts';

const schema = z.object({
  data: dataOptions({ root: 'fixtures/tiny', size: 16, batch: 2 }),
  feed: feedOptions({ credits: 2, workers: 1, cache: '16MB' }),
  augment: augmentOptions({ shift: 0, rotate: 0, crop: 1, flip: 0.5, hue: 0, saturation: 0 }),
  optim: optimOptions({ lr: 1e-2, beta1: 0.9, beta2: 0.999, weightDecay: 0, amsgrad: false, clip: 1, warmUp: 0, accumulate: 1 }),
  track: trackOptions({ halfLife: 10, logEvery: 1, sampleEvery: 1000, validateEvery: 1000, saveEvery: 1000, keep: 3 }),
  failFrom: z.int().default(-1).describe('call of the model from which on it fails'),
  steps: stepsOption(6),
  seed: seedOption(0),
});
type Config = z.output<typeof schema>;
const nets = (config: Config) => ({ tiny: trainedNet(tinyNetwork, config) });

export const imagePipeline: Method<Config, ReturnType<typeof nets>> = {
  name: 'image',
  summary: 'two convolutions',
  schema,
  nets,
  train: (config, run, resources) => {
    const gate = run.gate(config.feed.credits);
    const translate = imagePipeline.translate(resources, config);
    let calls = 0;
    const failing: Translate = (source, options) => {
      const made = translate(source, options);
      if (config.failFrom >= 0 && calls++ >= config.failFrom) throw new Error('asked to fail');
      return made;
    };
    const learn = pipe(
      backward(resources.tiny, (net, { source }: Pair) => ({ output: net(source) }), weighted({ l2: [1, ({ output, target }: Pair & { output: tf.Tensor4D }) => mse(output, target)] })),
      ema(resources.tiny, config.track),
    );
    return pairsOf(run, gate, config).pipe(gate.stage('engine', pipe(learn, settle())), observe(run, gate, config, resources, failing), gate.settle());
  },
  translate: ({ tiny }) => (source) => applyNet(tiny, 'shadow')(source),
  multipleOf: () => 1,
};

if (import.meta.main) await runPipeline(imagePipeline);
