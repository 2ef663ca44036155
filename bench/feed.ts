/**
 * Measures how the engine is fed: 512-px JPEG pairs -> augmented 256-px batches.
 *
 *   npm run bench -- feed [--pairs 64] [--batch 4] [--batches 40] [--workers 2] [--credits 3] [--steps 12] [--rounds 3] [--no-torch] [--no-train] [--json]
 *
 * Loader alone, with and without a cache, beside torchvision's DataLoader with as many workers (the middle of several rounds each); the share of the time in
 * which an engine that computes nothing but takes its time has work, and that of the real one while a small generator trains from the same files; what the stream
 * itself costs per step, with nothing to do; and the memory of the process at its highest.
 */
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Observable, type OperatorFunction, concatMap, lastValueFrom, map, of, pipe, tap, timer } from 'rxjs';
import sharp from 'sharp';
import { crop } from '../src/data/augmentations/crop.ts';
import { flip } from '../src/data/augmentations/flip.ts';
import { hue } from '../src/data/augmentations/hue.ts';
import { rotate } from '../src/data/augmentations/rotate.ts';
import { saturation } from '../src/data/augmentations/saturation.ts';
import { shift } from '../src/data/augmentations/shift.ts';
import type { PairFile } from '../src/data/dataset.ts';
import { type DecodePool, type DecodeStats, decodePool } from '../src/data/decodePool.ts';
import { mse } from '../src/losses/mse.ts';
import { weighted } from '../src/losses/objective.ts';
import { makeNet } from '../src/models/net.ts';
import { turboGenerator } from '../src/models/turbo.ts';
import { augment } from '../src/operators/augment.ts';
import { backward } from '../src/operators/backward.ts';
import { batch as upload } from '../src/operators/batch.ts';
import { type Pixels, decodePairs } from '../src/operators/decodePairs.ts';
import { adam } from '../src/optim/adam.ts';
import { type Key, fold, seeded, uniform } from '../src/random.ts';
import { type CreditGate, creditGate } from '../src/streams/creditGate.ts';
import type { Batch, Pair } from '../src/streams/frames.ts';
import { pairBatches } from '../src/streams/pairBatches.ts';
import { settle } from '../src/streams/settle.ts';
import { type Stage, stages } from '../src/streams/stageClock.ts';
import * as tf from '../src/tf.ts';
import { torchMissing } from './engine/torch.ts';

const [fileSide, size] = [512, 256];
const augmentations = [shift(0.05), rotate(10), crop(0.9), flip(0.5), hue(18), saturation(0.2)];

/** A picture with structure at all scales, so that its file has the size of a photograph's. */
const picture = async (key: Key): Promise<Buffer> => {
  const layers = await Promise.all([4, 16, 64, 512].map((n) => sharp(Uint8Array.from(uniform(fold(key, n), n * n * 3), (u) => 256 * u), { raw: { width: n, height: n, channels: 3 } })
    .resize(fileSide, fileSide, { kernel: 'cubic' }).raw().toBuffer()));
  const mixed = Uint8Array.from({ length: fileSide * fileSide * 3 }, (_, at) => layers.reduce((sum, layer, k) => sum + ([0.5, 0.25, 0.17, 0.08][k] as number) * (layer[at] as number), 0));
  return sharp(mixed, { raw: { width: fileSide, height: fileSide, channels: 3 } }).jpeg({ quality: 90 }).toBuffer();
};

/** One after the other, so that making them does not count as the feed's memory. */
const writePairs = async (root: string, count: number): Promise<PairFile[]> => {
  const image = async (side: string, i: number): Promise<PairFile['source']> => {
    const file = join(root, side, `${i}.jpg`);
    await writeFile(file, await picture(fold(seeded(i), side)));
    return { path: `${side}/${i}.jpg`, file, bytes: 0, mtimeMs: 0, hash: '', part: 'whole' };
  };
  for (const side of ['source', 'target']) await mkdir(join(root, side));
  const pairs: PairFile[] = [];
  for (let i = 0; i < count; i++) pairs.push({ id: `${i}`, source: await image('source', i), target: await image('target', i) });
  return pairs;
};

type Options = Readonly<{ batch: number; batches: number; workers: number; credits: number; steps: number; rounds: number }>;

/** Of several measurements the one of middling speed. */
const inTheMiddle = <T extends Readonly<{ pairsPerSecond: number }>>(found: readonly T[]): T => found.toSorted((a, b) => a.pairsPerSecond - b.pairsPerSecond)[Math.floor(found.length / 2)] as T;

const decoded = (pairs: readonly PairFile[], gate: CreditGate, { batch, workers }: Options, steps: number, cache: string, open = decodePool): Observable<Batch & Pixels> =>
  gate.pull(pairBatches(pairs, { batch, seed: 1, steps })).pipe(augment(seeded(1), ...augmentations), decodePairs({ size, workers, cache, open }));

/** Pairs per second of the loader with an engine that takes no time; the first epoch, or three batches, warm it up. */
const loader = async (pairs: readonly PairFile[], options: Options, cache: string) => {
  const gate = creditGate(options.credits);
  const warm = cache === 'off' ? 3 : Math.ceil(pairs.length / options.batch) + options.credits;
  let begun = 0;
  let pool: DecodePool | undefined;
  const before: { stats?: DecodeStats } = {};
  const mark = tap(({ step }: Batch) => { if (step === warm - 1) { begun = performance.now(); before.stats = (pool as DecodePool).stats; } });
  await lastValueFrom(decoded(pairs, gate, options, warm + options.batches, cache, (given) => (pool = decodePool(given))).pipe(gate.inTurn(), mark, gate.settle()));
  const seconds = (performance.now() - begun) / 1000;
  const after = (pool as DecodePool).stats;
  const share = (part: keyof DecodeStats['seconds']): number => (after.seconds[part] - (before.stats as DecodeStats).seconds[part]) / seconds / options.workers;
  return {
    pairsPerSecond: options.batch * options.batches / seconds, maxInFlight: gate.stats.maxInFlight,
    workers: { disk: share('disk'), decode: share('decode'), augment: share('augment'), idle: share('idle') },
  };
};

/** Milliseconds per step of the stream itself: everything is there at once, and nothing is computed. */
const overhead = async (pairs: readonly PairFile[], { batch, credits }: Options) => {
  const steps = 1500;
  const gate = creditGate(credits);
  const pixels = new Float32Array(3);
  const spent = { disk: 0, decode: 0, augment: 0 };
  const decode = ({ jobs }: { jobs: readonly { pair: PairFile }[] }) => of(jobs.map(({ pair: { id } }) => ({ id, source: pixels, target: pixels, broken: [], spent })));
  let begun = 0;
  await lastValueFrom(gate.pull(pairBatches(pairs, { batch, seed: 1, steps: 2 * steps })).pipe(
    augment(seeded(1), ...augmentations), decodePairs({ size: 1, open: () => ({ decode, close: () => {} }) }), gate.inTurn(), gate.stage('engine', map((frame) => frame)),
    tap(({ step }) => { if (step === steps - 1) begun = performance.now(); }), gate.settle(),
  ));
  return (performance.now() - begun) / steps;
};

/** Seconds by stage, and of running graphs, from step `begin` on. @param engine what becomes of a frame in its turn */
const timed = async (frames: Observable<Batch & Pixels>, gate: CreditGate, begin: number, engine: OperatorFunction<Batch & Pixels, Batch>) => {
  const look = () => ({ seconds: gate.stats.seconds, running: tf.engineStats().running });
  let [first, last] = [look(), look()];
  await lastValueFrom(frames.pipe(gate.inTurn(), engine, tap(({ step }) => {
    last = look();
    if (step === begin - 1) first = last;
  }), gate.settle()));
  const seconds = Object.fromEntries(stages.map((stage) => [stage, last.seconds[stage] - first.seconds[stage]])) as Record<Stage, number>;
  return { seconds, total: Object.values(seconds).reduce((a, b) => a + b, 0), running: last.running - first.running };
};

/** The busy share of an engine that needs nothing but time, four fifths as fast as the loader: how even the feed is. */
const paced = async (pairs: readonly PairFile[], options: Options, pairsPerSecond: number): Promise<number> => {
  const gate = creditGate(options.credits);
  const engine = gate.stage('engine', concatMap((frame: Batch) => timer(1000 * options.batch / (0.8 * pairsPerSecond)).pipe(map(() => frame))));
  const { seconds, total } = await timed(decoded(pairs, gate, options, 3 + options.batches, 'off'), gate, 3, engine);
  return seconds.engine / total;
};

/**
 * Trains a small generator from the files, and then on a batch that is there already: what decoding beside it costs the engine. Counts from the third step on,
 * when everything is compiled and the credits are out.
 */
const training = async (pairs: readonly PairFile[], options: Options) => {
  const engine = await tf.startEngine();
  const net = makeNet(turboGenerator({ channels: 3, base: 16, multipliers: [1, 2, 4], depth: 1, groups: 8, skipInit: 1e-5, residual: true }), { key: seeded(1), optimizer: adam({}), lr: () => 1e-4 });
  const warm = 3;
  const learn = pipe(
    backward(net, (run, { source }: Pair) => ({ fake: run(source, tf.ones([options.batch, 1, 1, 1])) }), weighted({ l2: [1, ({ fake, target }) => mse(fake, target)] })),
    settle(),
  );
  const measure = (feed: (gate: CreditGate) => Observable<Batch & Pixels>) => {
    const gate = creditGate(options.credits);
    return timed(feed(gate), gate, warm, pipe(upload(), gate.stage('engine', learn)));
  };
  const fed = await measure((gate) => decoded(pairs, gate, options, warm + options.steps, 'off'));
  const pixels = new Float32Array(options.batch * size * size * 3);
  const ready = map((batch: Batch) => ({ ...batch, pixels: { source: pixels, target: pixels, shape: [options.batch, size, size, 3] as const } }));
  const alone = await measure((gate) => gate.pull(pairBatches(pairs, { batch: options.batch, seed: 1, steps: warm + options.steps })).pipe(ready));
  tf.dispose(Object.values(net.variables));
  return {
    engine: engine.name, secondsPerStep: fed.total / options.steps, secondsPerStepAlone: alone.total / options.steps,
    engineBusy: fed.seconds.engine / fed.total, executorBusy: fed.running / fed.total, seconds: fed.seconds,
  };
};

const dataLoader = (root: string, { batch, batches, workers }: Options): { pairsPerSecond: number; peakBytes: number; version: string } => {
  const script = fileURLToPath(new URL('./twins/feed.py', import.meta.url));
  const { status, stdout, stderr } = spawnSync('/usr/bin/python3', [script, root, ...[size, batch, workers, batches].map(String)], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`feed: torchvision's DataLoader failed: ${stderr.trim().split('\n').at(-1)}`);
  return JSON.parse(stdout) as ReturnType<typeof dataLoader>;
};

const numbers = { pairs: '64', batch: '4', batches: '40', workers: '2', credits: '3', steps: '12', rounds: '3' };

export const main = async (args: readonly string[]): Promise<number> => {
  const flags = Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, { type: 'string' as const, default: value }]));
  const { values } = parseArgs({ args: [...args], allowNegative: true, options: { ...flags, torch: { type: 'boolean', default: true }, train: { type: 'boolean', default: true }, json: { type: 'boolean', default: false } } });
  const given = Object.fromEntries(Object.keys(numbers).map((name) => {
    const value = Number(values[name as keyof typeof values]);
    if (!Number.isInteger(value) || value < 1) throw new RangeError(`feed: expected --${name} to be a positive integer but received ${values[name as keyof typeof values]}`);
    return [name, value];
  })) as Options & { pairs: number };
  const root = await mkdtemp(join(tmpdir(), 'millrace-feed-'));
  const say = (text: string): void => { if (!values.json) console.log(text); };
  const peak = (): number => process.resourceUsage().maxRSS * 1024;
  try {
    const pairs = await writePairs(root, given.pairs);
    const before = peak();
    const missing = values.torch ? torchMissing() : 'not asked for';
    // In turns, so that what else the machine does hits both.
    const [ours, theirs]: [Awaited<ReturnType<typeof loader>>[], ReturnType<typeof dataLoader>[]] = [[], []];
    for (let round = 0; round < given.rounds; round++) {
      ours.push(await loader(pairs, given, 'off'));
      if (missing === undefined) theirs.push(dataLoader(root, given));
    }
    const off = { ...inTheMiddle(ours), peakBytes: peak() };
    const cached = { ...await loader(pairs, given, '512MB'), peakBytes: peak() };
    const [mine, other] = [off, cached].map(({ peakBytes }) => `${(peakBytes / 2 ** 20).toFixed(0)} MiB`);
    const went = ({ workers }: typeof off): string => Object.entries(workers).map(([part, share]) => `${part} ${(100 * share).toFixed(0)}%`).join(', ');
    say(`loader     ${off.pairsPerSecond.toFixed(1)} pairs/s, ${given.workers} workers (${went(off)}), peak ${mine} (${(before / 2 ** 20).toFixed(0)} before); ${cached.pairsPerSecond.toFixed(1)} pairs/s from the cache, peak ${other}`);
    const torchvision = missing === undefined ? inTheMiddle(theirs) : undefined;
    say(torchvision ? `DataLoader ${torchvision.pairsPerSecond.toFixed(1)} pairs/s, ${given.workers} workers, peak ${(torchvision.peakBytes / 2 ** 20).toFixed(0)} MiB; ratio ${(off.pairsPerSecond / torchvision.pairsPerSecond).toFixed(2)}` : `DataLoader ${missing}`);
    const pacedBusy = await paced(pairs, given, off.pairsPerSecond);
    say(`paced      an engine four fifths as fast as the loader is busy ${(100 * pacedBusy).toFixed(2)}% of the time`);
    const overheadMs = await overhead(pairs, given);
    say(`stream     ${overheadMs.toFixed(3)} ms per step of ${given.batch} pairs with nothing to do`);
    const train = values.train ? await training(pairs, given) : undefined;
    if (train) {
      say(`training   engine ${train.engine} busy ${(100 * train.engineBusy).toFixed(2)}% (graphs running ${(100 * train.executorBusy).toFixed(1)}%) of ${train.secondsPerStep.toFixed(3)} s per step of ${given.batch} pairs, `
        + `${train.secondsPerStepAlone.toFixed(3)} s without decoding beside it, peak ${(peak() / 2 ** 20).toFixed(0)} MiB`);
    }
    if (values.json) console.log(JSON.stringify({ ...given, loader: { ...off, cached }, ...(torchvision ? { torchvision } : { withoutTorchvision: missing }), pacedBusy, overheadMs, ...(train && { training: train }), peakBytes: peak() }, undefined, 2));
    return 0;
  } finally {
    await rm(root, { recursive: true, force: true });
  }
};
