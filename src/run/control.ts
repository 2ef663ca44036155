/** Pause, resume, sample now, save now, stop: asked for by signals or by keys, obeyed by the credit gate and by the operators that sample and save. */
import { BehaviorSubject, type Observable, ReplaySubject, Subject } from 'rxjs';

/** What a person, or another program, asks of a run. */
export type Control = Readonly<{
  /** Whether the run is held; says the present state on subscription. */
  paused: Observable<boolean>;
  /** Draw a sample strip: after the step under way, or at once when there is none. */
  sample: Observable<void>;
  /** Save a checkpoint: after the step under way, or at once when there is none. */
  save: Observable<void>;
  /** Finish the step, save and end; repeats itself to late subscribers. */
  stop: Observable<void>;
}>;

/** A `Control` and the hands that work it. */
export type ControlPanel = Control & Readonly<{
  hold: (paused: boolean) => void;
  readonly isPaused: boolean;
  requestSample: () => void;
  requestSave: () => void;
  /** @param exitCode what the process ends with, by convention 128 + the signal's number; the first request decides */
  requestStop: (exitCode?: number) => void;
  /** The exit code asked for, once a stop was. */
  readonly stopCode: number | undefined;
}>;

export const controlPanel = (): ControlPanel => {
  const paused = new BehaviorSubject(false);
  const [sample, save] = [new Subject<void>(), new Subject<void>()];
  const stop = new ReplaySubject<void>(1);
  let stopCode: number | undefined;
  return {
    paused, sample, save, stop,
    hold: (value) => { if (value !== paused.value) paused.next(value); },
    get isPaused() { return paused.value; },
    requestSample: () => { sample.next(); },
    requestSave: () => { save.next(); },
    requestStop: (exitCode = 0) => {
      if (stopCode !== undefined) return;
      stopCode = exitCode;
      stop.next();
    },
    get stopCode() { return stopCode; },
  };
};

/** What the listeners need of a process; `process` is one. */
export type Host = Readonly<{
  pid: number;
  on: (signal: NodeJS.Signals, listener: () => void) => unknown;
  off: (signal: NodeJS.Signals, listener: () => void) => unknown;
  kill: (pid: number, signal: NodeJS.Signals) => unknown;
  exit: (code: number) => void;
}>;

/** What the keys need of a terminal; `process.stdin` is one. */
export type Keyboard = Readonly<{
  isTTY?: boolean;
  setRawMode: (raw: boolean) => unknown;
  on: (event: 'data', listener: (data: Buffer | string) => void) => unknown;
  off: (event: 'data', listener: (data: Buffer | string) => void) => unknown;
  resume: () => unknown;
  pause: () => unknown;
  unref?: () => unknown;
}>;

type Say = (text: string) => void;

/** Asks for a stop; the second time ends the process at once. */
const interrupt = (panel: ControlPanel, host: Host, exitCode: number, say: Say): void => {
  if (panel.stopCode !== undefined) { host.exit(exitCode); return; }
  say('stopping: the step is finished and saved (once more to stop at once)');
  panel.requestStop(exitCode);
};

const pause = (panel: ControlPanel, paused: boolean, { pid }: Host, say: Say): void => {
  if (paused === panel.isPaused) return;
  panel.hold(paused);
  say(paused ? `paused; p, or kill -CONT ${pid}, goes on` : 'going on');
};

/** Milliseconds within which a second signal is the same wish. */
const echo = 100;

/**
 * Listens to signals: INT, TERM and HUP stop (a second one at once), TSTP pauses (a second one suspends the process), CONT goes on, USR1 samples, USR2 saves.
 * Signals that the system does not have are left out.
 * @returns stops listening
 */
export const listenToSignals = (panel: ControlPanel, say: Say, host: Host = process, now: () => number = () => performance.now()): (() => void) => {
  let last = -Infinity;
  const stop = (exitCode: number) => () => {
    // Under npm one Ctrl-C arrives twice: from the terminal, and passed on by npm.
    const isEcho = now() - last < echo;
    last = now();
    if (!isEcho) interrupt(panel, host, exitCode, say);
  };
  const orders: readonly (readonly [NodeJS.Signals, () => void])[] = [
    ['SIGINT', stop(130)],
    ['SIGTERM', stop(143)],
    ['SIGHUP', stop(129)],
    ['SIGTSTP', () => { if (panel.isPaused) host.kill(host.pid, 'SIGSTOP'); else pause(panel, true, host, say); }],
    ['SIGCONT', () => { pause(panel, false, host, say); }],
    ['SIGUSR1', () => { panel.requestSample(); }],
    ['SIGUSR2', () => { panel.requestSave(); }],
  ];
  const heard = orders.filter(([signal, listener]) => {
    try { host.on(signal, listener); return true; } catch { return false; }
  });
  return () => { for (const [signal, listener] of heard) host.off(signal, listener); };
};

export const keysText = 'keys: p pauses, s samples, c saves a checkpoint, q stops';

/**
 * Listens to single keys when `keyboard` is a terminal, which is put into raw mode. Keys that the terminal would have turned into signals keep their meaning.
 * @returns stops listening and gives the terminal back as it was
 */
export const listenToKeys = (panel: ControlPanel, say: Say, keyboard: Keyboard = process.stdin, host: Host = process): (() => void) => {
  if (!keyboard.isTTY) return () => {};
  const restore = (): void => { keyboard.setRawMode(false); };
  const keys: Readonly<Record<string, () => void>> = {
    p: () => { pause(panel, !panel.isPaused, host, say); },
    s: () => { panel.requestSample(); },
    c: () => { panel.requestSave(); },
    q: () => { if (panel.stopCode === undefined) interrupt(panel, host, 0, say); },
    h: () => { say(keysText); },
    '?': () => { say(keysText); },
    '\x03': () => { if (panel.stopCode !== undefined) restore(); interrupt(panel, host, 130, say); },
    '\x1a': () => { restore(); host.kill(host.pid, 'SIGSTOP'); },
  };
  const listener = (data: Buffer | string): void => { for (const key of data.toString()) keys[key.toLowerCase()]?.(); };
  const raw = (): void => { keyboard.setRawMode(true); };
  raw();
  keyboard.on('data', listener);
  keyboard.resume();
  // The shell set the terminal to its own liking while the process was suspended.
  host.on('SIGCONT', raw);
  return () => {
    host.off('SIGCONT', raw);
    keyboard.off('data', listener);
    keyboard.pause();
    restore();
  };
};
