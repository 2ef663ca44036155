import { readFileSync } from 'node:fs';

/** What the lazy engine has done since it started or since `resetEngineStats()`. Zeros on executors that are not ours. */
export type EngineStats = {
  /** Graphs that were built and turned into a session. */
  compilations: number;
  /** Graphs that were run. */
  runs: number;
  /** Kernel calls that were recorded. */
  nodes: number;
  /** Seconds in kernel calls on the JS thread: shape inference and recording. TensorFlow.js's own bookkeeping is not in it. */
  tracing: number;
  /** Seconds spent finding what a flush needs and looking up its graph. */
  matching: number;
  /** Seconds of building and serialising graphs. */
  building: number;
  /** Seconds of creating sessions. */
  compiling: number;
  /** Seconds of running graphs: the executor's busy time. */
  running: number;
  /** Bytes of values fed to graphs from the JS thread, and bytes of results downloaded. */
  uploaded: number;
  downloaded: number;
  /** Bytes of values held for tensors that are alive, now and at the most. */
  bytes: number;
  peakBytes: number;
  /** The most memory this process ever held, in bytes: values, what sessions need while they run, and JavaScript. */
  peakResident: number;
  /** Tensor values alive: pending ones, stored ones and written ones. */
  values: number;
};

export const engineStatistics: EngineStats = {
  compilations: 0, runs: 0, nodes: 0, tracing: 0, matching: 0, building: 0, compiling: 0, running: 0, uploaded: 0, downloaded: 0, bytes: 0, peakBytes: 0, peakResident: 0, values: 0,
};

/** The most memory this process ever held, in bytes. What `resourceUsage` says begins, on Linux, at what the process that started this one held. */
const peakResident = (): number => {
  if (process.platform === 'linux') {
    try {
      const kilobytes = /^VmHWM:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
      if (kilobytes !== undefined) return Number(kilobytes) * 1024;
    } catch {
      // A system without /proc: what follows is the best there is.
    }
  }
  return process.resourceUsage().maxRSS * 1024;
};

/** A copy of the counters. The peak of the process is looked up when it is read: that takes as long as some dozen operations do. */
export const engineStats = (): Readonly<EngineStats> => ({ ...engineStatistics, get peakResident() { return peakResident(); } });

/** Sets the counters to zero; what is alive stays counted. */
export const resetEngineStats = (): void => {
  const { bytes, values } = engineStatistics;
  for (const key of Object.keys(engineStatistics) as (keyof EngineStats)[]) engineStatistics[key] = 0;
  Object.assign(engineStatistics, { bytes, peakBytes: bytes, values });
};
