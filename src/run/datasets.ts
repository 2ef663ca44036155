import type { TaskEither } from 'fp-ts/lib/TaskEither.js';
import type { Dataset } from '../data/dataset.ts';
import type { DatasetError } from '../errors.ts';
import type { Rescan } from './watch.ts';

/** What a run needs to know of folders of pairs. */
export type Datasets = Readonly<{
  /** Finds the pairs of a folder. */
  open: (root: string) => TaskEither<DatasetError, Dataset>;
  /** What was found, in lines: the layout, how many pairs, what is wrong. */
  describe: (dataset: Dataset) => readonly string[];
  /** Reads a folder again, as far as these paths are concerned. */
  rescan: (dataset: Dataset, paths: readonly string[]) => TaskEither<DatasetError, Rescan<Dataset>>;
}>;

/** Folders of images. */
export const datasetsOnDisk: Datasets = { open: () => { throw new Error(); }, describe: () => [], rescan: () => { throw new Error(); } };
