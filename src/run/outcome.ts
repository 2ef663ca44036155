/** How a run ended, in words: what a person reads last. */
import { relative } from 'node:path';
import { listCheckpoints } from './checkpoint.ts';
import { RunError, type RunEnd } from './training.ts';

/** A path as somebody in `cwd` would write it. */
export const shownPath = (path: string, cwd = process.cwd()): string => {
  const near = relative(cwd, path);
  return near === '' ? '.' : (near.startsWith('..') ? path : near);
};

/** A word of a command line, quoted where a shell would take it apart. */
const quoted = (word: string): string => (/^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** The command that goes on with a run. @param script path of the pipeline file */
export const resumeCommand = (script: string, { folder }: RunEnd): string => `node ${quoted(shownPath(script))} --resume ${quoted(shownPath(folder.path))}`;

/** What is left of a run that did not come to its end, and how to go on with it. */
export const leftBehind = async (script: string, end: RunEnd): Promise<string[]> => {
  const [newest] = await listCheckpoints(end.folder.checkpoints);
  if (newest === undefined) return ['no checkpoint was saved'];
  return [`checkpoint saved: ${shownPath(newest.path)}${newest.step < end.step ? ` (${end.step} steps were done)` : ''}`, 'continue with', `  ${resumeCommand(script, end)}`];
};

/** An error in words: the message (which names operator, step and images, or the file at fault), and the stack where `DEBUG` is set. */
export const errorText = (cause: unknown, debug = Boolean(process.env['DEBUG'])): string => {
  if (!(cause instanceof Error)) return `error: ${String(cause)}`;
  // What is no MillraceError is a fault of the program: its kind helps whoever reports it.
  const known = '_tag' in cause || cause instanceof RunError || cause.name === 'Error';
  const text = `error: ${known ? '' : `${cause.name}: `}${cause.message}`;
  return debug ? `${text}\n${stackOf(cause)}` : text;
};

const stackOf = (cause: Error): string => `${cause.stack ?? ''}${cause.cause instanceof Error ? `\ncaused by ${stackOf(cause.cause)}` : ''}`;

