import type { ReportSink } from './method.ts';

/** What the terminal needs of a stream; `process.stdout` is one. */
export type Output = Readonly<{ isTTY?: boolean; columns?: number; write: (text: string) => unknown; on?: (event: 'error', listener: (cause: NodeJS.ErrnoException) => void) => unknown }>;

export type Terminal = ReportSink & Readonly<{
  /** Leaves the last state of the bar standing as a line of its own. */
  end: () => void;
}>;

/**
 * Speaks to a person: lines, and a progress bar that is redrawn in place. Where there is no terminal the bar is a plain line every few seconds.
 * @param out where to write; a reader that goes away ends the talking, not the run
 * @param options.every milliseconds between the bar's plain lines @param options.frame milliseconds between redraws
 */
export const terminal = (out: Output = process.stdout, { every = 5000, frame = 100, now = () => performance.now() }: { every?: number; frame?: number; now?: () => number } = {}): Terminal => {
  let bar = '';
  /** What stands on the screen without a line end. */
  let drawn = '';
  let last = -Infinity;
  let isOpen = true;
  out.on?.('error', (cause) => { if (cause.code === 'EPIPE') isOpen = false; else throw cause; });
  const write = (text: string): void => { if (isOpen) out.write(text); };
  const draw = (): void => {
    const text = out.columns && bar.length > out.columns ? `${bar.slice(0, out.columns - 1)}…` : bar;
    write(out.isTTY ? `\r${text}\x1b[K` : `${text}\n`);
    drawn = bar;
    last = now();
  };
  return {
    line: (text) => {
      if (!out.isTTY) { write(`${text}\n`); return; }
      write(`${drawn === '' ? '' : '\r\x1b[K'}${text}\n`);
      drawn = '';
      if (bar !== '') draw();
    },
    bar: (text) => {
      bar = text;
      if (now() - last >= (out.isTTY ? frame : every)) draw();
    },
    end: () => {
      if (bar !== '' && bar !== drawn) draw();
      if (out.isTTY && drawn !== '') write('\n');
      [bar, drawn, last] = ['', '', -Infinity];
    },
  };
};
