/** A paired dataset as names: which files belong together and which are held out. Nothing of it is decoded. */

/** One file on the disk, by content. */
export type FileState = Readonly<{
  /** Path from the dataset's folder, with forward slashes. */
  path: string;
  bytes: number;
  /** NaN for a file that was written so shortly before it was read that its time proves nothing. */
  mtimeMs: number;
  /** SHA-256 of the content, in hex. */
  hash: string;
  /** What its header says; absent for a file that is no image, or none that can be read. */
  image?: ImageInfo;
  /** Why it cannot be read: what was expected and what came. */
  bad?: string;
}>;

/** An image: a whole file, or one half of a side-by-side one. */
export type ImageFile = FileState & Readonly<{
  /** Where to read it. */
  file: string;
  part: 'whole' | 'left' | 'right';
}>;

/** What the header of an image says. */
export type ImageInfo = Readonly<{
  /** Upright, in pixels. */
  width: number;
  height: number;
  format: string;
  /** Whether it has 16 bits a channel. */
  deep: boolean;
  /** Whether it has a colour profile. */
  tagged: boolean;
  /** Colour space, depth and whatever else is particular, in words. */
  kind: string;
}>;

export type PairFile = Readonly<{
  /** The stem both files share; unique within its split. */
  id: string;
  source: ImageFile;
  target: ImageFile;
  /** What `train_prompts.json` (`val_`, `test_` for the other splits) says about the source's file, where there is one. */
  prompt?: string;
}>;

/** A file that is not used, and why: what was expected and what came. */
export type Unused = Readonly<{ path: string; why: string }>;

export type Dataset = Readonly<{
  root: string;
  /** The layout that was recognised, in words. */
  layout: string;
  /** In the order of their names, so that it depends on nothing but the files. */
  train: readonly PairFile[];
  /** Held out: the `val` split, or `test` where there is none, or a share of all pairs. */
  validation: readonly PairFile[];
  /** Whether a split of the folder, or a share of all pairs chosen by content hash, is held out. */
  heldOutBy: 'split' | 'hash';
  unused: readonly Unused[];
  /** Which images these are, where each pair is an image and itself (see `reconstructionOf`); absent where pairs are translated. */
  reconstructs?: 'targets' | 'sources' | 'both';
  /** Every file that was looked at, by path. */
  files: ReadonlyMap<string, FileState>;
}>;

/** How many of these pairs have a prompt. */
export const promptsOf = (pairs: readonly PairFile[]): number => pairs.filter(({ prompt }) => prompt !== undefined).length;

/** What a dataset is, in lines for a person. */
export const describeDataset = ({ root, layout, train, validation, heldOutBy, unused }: Dataset): string[] => [
  `dataset ${root}: ${layout}; ${train.length} pairs to train on${promptsOf(train) > 0 ? ` (${promptsOf(train)} with a prompt)` : ''}, ${validation.length} held out ${heldOutBy === 'split' ? '(a split of the folder)' : '(chosen by content hash)'}`,
  ...unused.map(({ path, why }) => `unused ${path}: ${why}`),
];
