/** What `report` counts and writes: speed over the last steps, smoothed loss terms, the two logs. */
import type { ObservableInput } from 'rxjs';
import type { CreditGate, GateStats } from '../streams/creditGate.ts';
import type { Settled } from '../streams/frames.ts';
import { engineStats } from '../tf.ts';
import type { RunContext } from './method.ts';
import { lossTerms, progressLine } from './progress.ts';
import { type LogRecord, readLog } from './runLog.ts';

/** A line of `timing.jsonl`. */
export type Timing = Readonly<{
  step: number;
  /** Wall clock, ISO 8601, UTC. */
  time: string;
  /** Seconds of training up to here, over all sessions of a resumed run, pauses left out. */
  seconds: number;
  /** Images trained on up to here, over all sessions. */
  images: number;
  /** Speed over the last steps. */
  imagesPerSecond: number;
  /** Share of this session's time in which the executor ran graphs (where it does not count that: in which a batch was with it), in 0..1. */
  engineBusy: number;
  /** Of this session: see `GateStats`. */
  maxInFlight: number;
  bottleneck: string;
  /** Most memory that the process held in this session, and most that the engine's tensors held at once, in bytes; what graphs need while they run is in the first alone. */
  peakBytes: number;
  peakTensorBytes: number;
}>;

export type Reporter = Readonly<{
  /** Counts a step and redraws the progress line. */
  see: (frame: Settled) => void;
  /** Writes the step seen last to both logs. */
  write: () => ObservableInput<unknown>;
  /** Whether the step seen last is in the timing log. */
  isWritten: () => boolean;
  /** Writes the step seen last to the timing log. */
  close: () => ObservableInput<unknown>;
}>;

/** Steps that the speed is measured over. */
const window = 50;

const clockOf = ({ seconds }: GateStats): number => Object.values(seconds).reduce((sum, part) => sum + part, 0);

/** See `report`. @param width characters of the terminal, undefined where there is none */
export const reporter = (run: Pick<RunContext, 'folder' | 'start' | 'steps' | 'report'>, gate: Pick<CreditGate, 'stats'>, width: () => number | undefined): Reporter => {
  const { folder } = run;
  const recent: { clock: number; images: number }[] = [];
  const smoothed: Record<string, number> = {};
  let last: Settled | undefined;
  let images = 0;
  let written = run.start - 1;
  let isFull = false;
  let earlier: { seconds: number; images: number } | undefined;

  const ranBefore = engineStats().running;
  const busy = (stats: GateStats): number => {
    const ran = engineStats().running - ranBefore;
    const clock = clockOf(stats);
    return ran > 0 && clock > 0 ? Math.min(1, ran / clock) : stats.engineBusy;
  };

  /** Seconds and images per second of the last steps. */
  const speed = (): { perStep: number; images: number } | undefined => {
    const [first, final] = [recent[0], recent.at(-1)];
    if (first === undefined || final === undefined || final.clock <= first.clock) return undefined;
    return { perStep: (final.clock - first.clock) / (recent.length - 1), images: (final.images - first.images) / (final.clock - first.clock) };
  };
  const append = async (log: 'metrics' | 'timing', record: LogRecord): Promise<void> => {
    const failure = await folder[log].append(record);
    if (failure && !isFull) run.report.line(`${folder[log].path}: cannot be written (${failure.message}); its lines are kept in memory and tried again`);
    isFull = failure !== undefined;
  };
  const time = async (frame: Settled): Promise<void> => {
    if (earlier === undefined) {
      const before = (await readLog(folder.timing.path)).filter(({ step }) => step < run.start).at(-1) as Timing | undefined;
      earlier = { seconds: before?.seconds ?? 0, images: before?.images ?? 0 };
    }
    const { stats } = gate;
    const { peakResident, peakBytes: peakTensorBytes } = engineStats();
    await append('timing', {
      step: frame.step, time: new Date().toISOString(), seconds: earlier.seconds + clockOf(stats), images: earlier.images + images, imagesPerSecond: speed()?.images ?? 0,
      engineBusy: busy(stats), maxInFlight: stats.maxInFlight, bottleneck: stats.bottleneck, peakBytes: peakResident, peakTensorBytes,
    } satisfies Timing);
    written = frame.step;
  };

  return {
    see: (frame) => {
      last = frame;
      const { stats } = gate;
      images += frame.ids.length;
      recent.push({ clock: clockOf(stats), images });
      if (recent.length > window) recent.shift();
      for (const [name, value] of Object.entries(lossTerms(frame.metrics))) {
        const before = smoothed[name];
        smoothed[name] = before === undefined || !Number.isFinite(before) ? value : 0.9 * before + 0.1 * (Number.isFinite(value) ? value : before);
      }
      const pace = speed();
      run.report.bar(progressLine({
        step: frame.step + 1, steps: run.steps, secondsPerStep: pace?.perStep, imagesPerSecond: pace?.images, engineBusy: busy(stats), bottleneck: stats.bottleneck, terms: smoothed,
      }, width()));
    },
    write: async () => {
      const frame = last as Settled;
      await append('metrics', { step: frame.step, epoch: frame.epoch, ...frame.metrics });
      await time(frame);
    },
    isWritten: () => last === undefined || written === last.step,
    close: () => time(last as Settled),
  };
};
