/**
 * A training run small enough to be killed often: two nets, a replay buffer, EMA, all of the plain-number stretch, on made-up pairs.
 * Usage: node test/resume/child.ts <root> <steps> [slow]. Resumes the run in <root> when there is one. `slow` makes each sync of a file take a while.
 */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { NEVER, Subject, concatMap, lastValueFrom, map, of, pipe, timer } from 'rxjs';
import * as tf from '../../src/tf.ts';
import { mse } from '../../src/losses/mse.ts';
import { weighted } from '../../src/losses/objective.ts';
import { applyNet, makeNet } from '../../src/models/net.ts';
import { replayBuffer } from '../../src/models/replayBuffer.ts';
import { backward } from '../../src/operators/backward.ts';
import { checkpoint } from '../../src/operators/checkpoint.ts';
import { ema } from '../../src/operators/ema.ts';
import { guard } from '../../src/operators/guard.ts';
import { type Replayed, replay } from '../../src/operators/replay.ts';
import { report } from '../../src/operators/report.ts';
import { sample } from '../../src/operators/sample.ts';
import { validate } from '../../src/operators/validate.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { fold, seeded, uniform } from '../../src/random.ts';
import type { Translate } from '../../src/run/method.ts';
import { restoreRun } from '../../src/run/restore.ts';
import { createRunFolder, openRunFolder, rewindRunFolder } from '../../src/run/runFolder.ts';
import { creditGate } from '../../src/streams/creditGate.ts';
import type { Batch, Pair, Settled } from '../../src/streams/frames.ts';
import { settle } from '../../src/streams/settle.ts';
import { madeUp } from '../run/heldOut.ts';
import { right, tinyNetwork } from '../run/support.ts';

const [root = '', stepsText = '', slow] = process.argv.slice(2);
const steps = Number(stepsText);
const [seed, size] = [7, 16];

if (slow === 'slow') {
  const handle = await open(import.meta.filename);
  const prototype = Object.getPrototypeOf(handle) as { sync: () => Promise<void> };
  await handle.close();
  const { sync } = prototype;
  prototype.sync = async function slowly() {
    await new Promise((resolve) => { setTimeout(resolve, 15); });
    return sync.call(this);
  };
}

await tf.startEngine();
const net = (name: string) => makeNet({ ...tinyNetwork, name }, { key: fold(seeded(seed), name), optimizer: adamw(), lr: (step) => 0.01 / (1 + step / 20), shadow: true });
const nets = { generator: net('generator'), critic: net('critic'), memory: replayBuffer({ capacity: 5, shapes: { fake: [size, size, 3] } }) };

const before = await openRunFolder(join(root, 'tiny', 'latest'))();
const folder = E.isRight(before) ? before.right.run : await right(createRunFolder({ root, method: 'tiny', config: { seed, steps }, env: {} }));
const restored = await right(restoreRun(folder, nets));
for (const { message } of restored?.broken ?? []) console.log(`broken ${message}`);
const start = restored?.state.step ?? 0;
await right(rewindRunFolder(folder, start));
console.log(`start ${start}`);

/** Pairs that follow from seed and step; one in nine is not finite. */
const decode = (batch: Batch): Pair => {
  const key = fold(seeded(seed), 'pairs', batch.step);
  const source = tf.tensor4d(uniform(key, 2 * size * size * 3).map((x) => 2 * x - 1), [2, size, size, 3]);
  const target = tf.tidy(() => (batch.step % 9 === 4 ? tf.mul(source, tf.tensor1d([1, 1, NaN])) : tf.mul(source, tf.tensor1d([0.5, 0.75, 1])))) as tf.Tensor4D;
  return { ...batch, source, target };
};
function* batches(): Iterable<Batch> { for (let step = start; step < steps; step++) yield { step, epoch: Math.floor(step / 10), ids: [`a${step}`, `b${step}`] }; }

const translate: Translate = (source) => applyNet(nets.generator, 'shadow')(source);
const run = {
  folder, seed, start, steps, report: { line: () => {}, bar: () => {} },
  control: { paused: of(false), save: NEVER, sample: new Subject<void>(), stop: NEVER },
};
const gate = creditGate(2);
const heldOut = madeUp(3, size);
type Image = tf.Tensor4D;
type Apply = (image: Image) => Image;
const generate = (generator: Apply, { source }: Pair): { fake: Image } => ({ fake: generator(source) });
const judge = (critic: Apply, { replayed }: Pair & Replayed<'fake'>): { judged: Image } => ({ judged: critic(replayed.fake) });
const observers = pipe(
  validate<Settled>(run, heldOut, translate, { every: 10, batch: 2 }),
  sample(run, gate, heldOut, translate, { every: 10, count: 2 }),
  report(run, gate, { every: 2 }),
);
const observe = pipe(guard<Settled>(run), checkpoint(run, nets, observers, { every: 5, keep: 3 }));
const trained = gate.pull(batches()).pipe(
  map(decode),
  gate.inTurn(),
  backward(nets.generator, generate, weighted({ l2: [1, ({ fake, target }) => mse(fake, target)] })),
  replay(nets.memory, ({ fake }) => ({ fake }), { key: seeded(seed) }),
  backward(nets.critic, judge, weighted({ l2: [1, ({ judged, source }) => mse(judged, source)] })),
  ema(nets.generator, { halfLife: 20 }),
  ema(nets.critic, { halfLife: 20 }),
  settle(),
);
await lastValueFrom(trained.pipe(
  observe,
  concatMap((frame) => { console.log(`step ${frame.step + 1}`); return timer(5).pipe(map(() => frame)); }),
  gate.settle(),
), { defaultValue: undefined });
console.log('done');
