import * as TE from 'fp-ts/lib/TaskEither.js';
import { type Dataset, type PairFile, describeDataset } from '../data/dataset.ts';
import { rescanDataset, scanDataset, type Changes } from '../data/scan.ts';
import type { DatasetError } from '../errors.ts';
import type { Rescan } from './watch.ts';

/** What a run needs to know of folders of pairs. */
export type Datasets = Readonly<{
  /** Finds the pairs of a folder. */
  open: (root: string) => TE.TaskEither<DatasetError, Dataset>;
  /** What was found, in lines: the layout, how many pairs, what is wrong. */
  describe: (dataset: Dataset) => readonly string[];
  /** Reads a folder again, as far as it has changed. */
  rescan: (dataset: Dataset) => TE.TaskEither<DatasetError, Rescan<Dataset>>;
}>;

/** Lines that are shown of a list that may be long. */
const shown = 5;
const some = (lines: readonly string[], rest: string): string[] => (lines.length > shown ? [...lines.slice(0, shown), `and ${lines.length - shown} more${rest}`] : [...lines]);

/** A pair by what it would teach. */
const wordOf = ({ id, source, target, prompt }: PairFile): string => JSON.stringify([id, source.hash, target.hash, prompt]);
const wordsOf = ({ train, validation }: Dataset): string => JSON.stringify([train.map(wordOf), validation.map(wordOf)]);

const named = (what: string, paths: readonly string[]): string[] =>
  (paths.length === 0 ? [] : [`${what} ${paths.length} ${paths.length === 1 ? 'file' : 'files'}: ${paths.slice(0, shown).join(', ')}${paths.length > shown ? ', ...' : ''}`]);

/** What a second look at a folder says: what changed, which files wait for a twin, and whether there is anything new to learn. */
export const compareDatasets = (previous: Dataset, { dataset, added, changed, removed }: Changes): Rescan<Dataset> => {
  const known = new Set(previous.unused.map(({ path }) => path));
  const waiting = dataset.unused.filter(({ path }) => !known.has(path)).map(({ path, why }) => `waiting: ${path}: ${why}`);
  const differs = wordsOf(previous) !== wordsOf(dataset);
  const counts = differs ? [`${dataset.train.length} pairs to train on (${previous.train.length} before), ${dataset.validation.length} held out (${previous.validation.length} before)`] : [];
  const files = [...named('added', added), ...named('changed', changed), ...named('removed', removed)];
  return { dataset, differs, lines: [...(files.length > 0 ? files : ['no file is different']), ...counts, ...some(waiting, '')] };
};

/** Folders of images. */
export const datasetsOnDisk: Datasets = {
  open: scanDataset,
  describe: (dataset) => {
    const [first = '', ...unused] = describeDataset(dataset);
    return [first, ...some(unused, ' (node pipelines/check.ts lists all)')];
  },
  rescan: (previous) => TE.map((changes: Changes) => compareDatasets(previous, changes))(rescanDataset(previous)),
};
