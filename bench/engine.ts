/**
 * Times training steps of the reference workloads, in alternation with PyTorch where it is installed.
 *
 *   npm run bench -- engine [workload ...] [--steps 3] [--rounds 5] [--warmup 2] [--threads 2] [--no-torch] [--profile] [--json]
 *
 * `--profile` adds the time by operator, from the runtime's profiler, in a run of its own.
 * Each side lives in a process of its own; a round is `steps` steps of one, then of the other. Ratios are of medians over all rounds; `cpu` is processor time a step.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { EngineStats } from '../src/tf.ts';
import { type Lap, enter } from './engine/contestant.ts';
import { median } from './engine/median.ts';
import { type OperatorTimes, profile } from './engine/profile.ts';
import { enterTorch, torchMissing } from './engine/torch.ts';
import { workloads } from './workloads/all.ts';

const ours = fileURLToPath(new URL('./engine/ours.ts', import.meta.url));

/** One side's laps in one line. */
const summary = (laps: readonly Lap[], batch: number) => {
  const all = laps.flatMap((lap) => lap.seconds);
  const seconds = median(all);
  const last = laps.at(-1) as Lap;
  const cpuSeconds = median(laps.map((lap) => lap.cpuSeconds / lap.seconds.length));
  return { seconds, fastest: Math.min(...all), cpuSeconds, imagesPerSecond: batch / seconds, loss: last.loss, peakBytes: last.peakBytes };
};

/** What our engine did besides running graphs. */
const overhead = (warmUp: Lap, laps: readonly Lap[]) => {
  const steps = laps.reduce((n, { seconds }) => n + seconds.length, 0);
  const total = laps.reduce((sum, { seconds }) => sum + seconds.reduce((a, b) => a + b, 0), 0);
  const sum = (key: keyof EngineStats): number => laps.reduce((all, { engine }) => all + (engine?.[key] ?? 0), 0);
  return {
    /** Graphs compiled while warming up, and after: the latter should be none. */
    compilations: [warmUp.engine?.compilations ?? 0, sum('compilations')],
    /** Kernel calls of a step. */
    kernelCalls: sum('nodes') / steps,
    /** Share of a step in which no graph runs: user code, TensorFlow.js, recording, matching, uploads. */
    outsideGraphs: 1 - sum('running') / total,
    /** Of that, what the engine itself takes to record and to match graphs. */
    recording: (sum('tracing') + sum('matching') + sum('building')) / total,
    uploadedBytes: sum('uploaded') / steps,
    downloadedBytes: sum('downloaded') / steps,
    /** Most that tensors and results held at once; what the runtime itself holds within a run is not in it. */
    peakTensorBytes: Math.max(...laps.map(({ engine }) => engine?.peakBytes ?? 0)),
    /** Seconds from nothing to a session. */
    compiling: warmUp.engine?.compiling ?? 0,
  };
};

const measure = async (name: string, { steps, rounds, warmup, threads, torch }: { steps: number; rounds: number; warmup: number; threads: number; torch: boolean }) => {
  const us = await enter(process.execPath, [ours, name], { MILLRACE_THREADS: `${threads}` });
  const warmUp = await us.lap(warmup);
  const them = torch ? await enterTorch(name, threads, warmup) : undefined;
  const laps: { us: Lap[]; them: Lap[] } = { us: [], them: [] };
  for (let round = 0; round < rounds; round++) {
    laps.us.push(await us.lap(steps));
    if (them) laps.them.push(await them.lap(steps));
  }
  await us.leave();
  await them?.leave();
  const { greeting } = us;
  const millrace = { engine: greeting.version, device: greeting.device, parameters: greeting.parameters, ...summary(laps.us, greeting.batch), ...overhead(warmUp, laps.us) };
  if (!them) return { name, batch: greeting.batch, millrace };
  const pytorch = { version: them.greeting.version, setting: them.setting, parameters: them.greeting.parameters, ...summary(laps.them, greeting.batch) };
  return { name, batch: greeting.batch, millrace, pytorch, ratio: millrace.seconds / pytorch.seconds };
};

const wholeNumber = (name: string, value: string): number => {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1) throw new RangeError(`engine: expected --${name} to be a positive integer but received ${value}`);
  return number;
};

export const main = async (args: readonly string[]): Promise<number> => {
  const { values, positionals } = parseArgs({
    args: [...args], allowPositionals: true, allowNegative: true,
    options: {
      steps: { type: 'string', default: '3' }, rounds: { type: 'string', default: '5' }, warmup: { type: 'string', default: '2' },
      threads: { type: 'string', default: '2' }, torch: { type: 'boolean', default: true }, profile: { type: 'boolean', default: false }, json: { type: 'boolean', default: false },
    },
  });
  const unknown = positionals.find((name) => workloads[name] === undefined);
  if (unknown !== undefined) throw new RangeError(`engine: expected workloads among ${Object.keys(workloads).join(', ')} but received ${unknown}`);
  const [steps, rounds, warmup, threads] = (['steps', 'rounds', 'warmup', 'threads'] as const).map((name) => wholeNumber(name, values[name])) as [number, number, number, number];
  const missing = values.torch ? torchMissing() : 'not asked for';
  if (missing !== undefined && !values.json) console.log(`without PyTorch: ${missing}`);
  const results = [];
  for (const name of positionals.length > 0 ? positionals : Object.keys(workloads)) {
    const result = await measure(name, { steps, rounds, warmup, threads, torch: missing === undefined });
    const operators = values.profile ? await profile(ours, name, steps) : undefined;
    results.push({ ...result, ...(operators && { operators }) });
    if (values.json) continue;
    console.log(line(result));
    if (operators) console.log(table(operators));
  }
  if (values.json) console.log(JSON.stringify({ steps, rounds, warmup, threads, ...(missing !== undefined && { withoutTorch: missing }), results }, undefined, 2));
  return 0;
};

const line = ({ name, millrace, pytorch, ratio }: Awaited<ReturnType<typeof measure>>): string => [
  name.padEnd(10),
  `${millrace.engine} ${millrace.seconds.toFixed(3)} s/step (cpu ${millrace.cpuSeconds.toFixed(2)}) ${millrace.imagesPerSecond.toFixed(1)}/s peak ${(millrace.peakBytes / 2 ** 20).toFixed(0)} MiB loss ${millrace.loss.toPrecision(4)}`,
  `compiled ${millrace.compilations.join('+')} outside graphs ${(100 * millrace.outsideGraphs).toFixed(1)} % (recording ${(100 * millrace.recording).toFixed(1)} %)`,
  ...(pytorch ? [`torch (${pytorch.setting}) ${pytorch.seconds.toFixed(3)} s/step (cpu ${pytorch.cpuSeconds.toFixed(2)}) peak ${(pytorch.peakBytes / 2 ** 20).toFixed(0)} MiB loss ${pytorch.loss.toPrecision(4)}`, `ratio ${ratio?.toFixed(2)} (cpu ${(millrace.cpuSeconds / pytorch.cpuSeconds).toFixed(2)})`] : []),
].join('  ');

const table = (operators: OperatorTimes): string => {
  const total = operators.reduce((sum, { seconds }) => sum + seconds, 0);
  return operators.slice(0, 12).map(({ op, seconds, calls }) =>
    `    ${op.padEnd(22)} ${(1_000 * seconds).toFixed(1).padStart(8)} ms ${(100 * seconds / total).toFixed(1).padStart(5)} % ${calls.toFixed(0).padStart(5)} calls`).join('\n');
};
