import { open, readFile, truncate, writeFile } from 'node:fs/promises';
import { CheckpointError } from '../errors.ts';

/** A record of a log: the step it speaks of, and plain values. */
export type LogRecord = Readonly<Record<string, unknown>> & Readonly<{ step: number }>;

/** A file of one JSON record a line, in order of steps. */
export type RunLog = Readonly<{
  path: string;
  /**
   * Appends a record. A record that cannot be written (a full disk) stays in memory and is tried again with the next: nothing is lost, no line is torn.
   * @returns the system's error while records are waiting
   */
  append: (record: LogRecord) => Promise<NodeJS.ErrnoException | undefined>;
  /** Brings everything to the disk. @throws the system's error */
  sync: () => Promise<void>;
}>;

/** Shortest decimal that gives the float32 back; numbers JSON cannot say become strings. */
const plain = (_key: string, value: unknown): unknown => {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  return Number.isFinite(value) ? Number(value.toPrecision(9)) : String(value);
};

/** One line: numbers with 9 significant digits, which is all a float32 has; NaN and infinities as strings. */
export const logLine = (record: LogRecord): string => `${JSON.stringify(record, plain)}\n`;

const parse = (path: string, line: string): LogRecord => {
  try {
    return JSON.parse(line) as LogRecord;
  } catch (cause) {
    throw new CheckpointError(path, `${path}: expected one JSON record a line but found ${JSON.stringify(line.slice(0, 40))}`, cause);
  }
};

/** The records of a log; none when there is no file. A torn last line is left out. */
export const readLog = async (path: string): Promise<LogRecord[]> => {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return '';
    throw cause;
  });
  return text.split('\n').slice(0, -1).map((line) => parse(path, line));
};

/** Cuts a log back to the records of steps before `step`, and cuts off a torn last line; so that a resumed run goes on where its checkpoint was. */
export const rewindLog = async (path: string, step: number): Promise<void> => {
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined;
    throw cause;
  });
  if (bytes === undefined) return;
  let keep = 0;
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, keep)) {
    const record = parse(path, bytes.toString('utf8', keep, end));
    if (record.step >= step) break;
    keep = end + 1;
  }
  if (keep < bytes.length) await truncate(path, keep);
};

/** Opens a log for appending; the file is made with the first record. */
export const openLog = (path: string): RunLog => {
  let waiting = '';
  let length: number | undefined;
  const write = async (sync: boolean): Promise<void> => {
    const file = await open(path, 'a');
    try {
      length ??= (await file.stat()).size;
      if (waiting !== '') {
        const bytes = Buffer.from(waiting);
        try {
          await writeFile(file, bytes);
        } catch (cause) {
          await file.truncate(length);
          throw cause;
        }
        length += bytes.length;
        waiting = '';
      }
      if (sync) await file.sync();
    } finally {
      await file.close();
    }
  };
  return {
    path,
    append: async (record) => {
      waiting += logLine(record);
      try {
        await write(false);
        return undefined;
      } catch (cause) {
        return cause as NodeJS.ErrnoException;
      }
    },
    sync: () => (waiting === '' && length === undefined ? Promise.resolve() : write(true)),
  };
};
