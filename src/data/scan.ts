/** Reads a folder into a `Dataset`, and reads it again when it has changed. */
import { createHash } from 'node:crypto';
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { DatasetError } from '../errors.ts';
import type { Dataset, FileState, ImageFile, ImageInfo, PairFile, Unused } from './dataset.ts';
import { UnreadableImage, isSameAspect, partSize, probeImage } from './image.ts';
import { type PathPair, type Split, isImagePath, layoutNames, recognise, splits } from './layouts.ts';

/** The share of pairs that is held out where the folder has no split of its own. */
export const heldOutShare = 0.1;

const filesAtOnce = 16;
/** Milliseconds that no disk's clock is coarser than; FAT has two seconds. */
const clockTick = 2000;
const promptsFiles = splits.map((split) => `${split}_prompts.json`);

/** Every file below a folder that could matter: images and the prompts; hidden names are passed over, links are followed. */
const list = async (root: string, folder = '', depth = 0): Promise<string[]> => {
  const entries = await readdir(join(root, folder), { withFileTypes: true });
  const found = await Promise.all(entries.filter(({ name }) => !name.startsWith('.')).map(async (entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    const kind = entry.isSymbolicLink() ? await stat(join(root, path)).catch(() => undefined) : entry;
    if (kind?.isDirectory()) return depth < 8 ? list(root, path, depth + 1) : [];
    return kind?.isFile() && (isImagePath(path) || promptsFiles.includes(path)) ? [path] : [];
  }));
  return found.flat();
};

/** What a file holds: its hash and, for an image, what its header says. */
const readState = async (root: string, path: string): Promise<Pick<FileState, 'hash' | 'image' | 'bad'>> => {
  const bytes = await readFile(join(root, path));
  const hash = createHash('sha256').update(bytes).digest('hex');
  if (!isImagePath(path)) return { hash };
  try {
    return { hash, image: await probeImage(bytes) };
  } catch (cause) {
    if (!(cause instanceof UnreadableImage)) throw cause;
    return { hash, bad: cause.message };
  }
};

const inTurns = async <A, B>(items: readonly A[], work: (item: A) => Promise<B>): Promise<B[]> => {
  const results: B[] = [];
  for (let at = 0; at < items.length; at += filesAtOnce) results.push(...await Promise.all(items.slice(at, at + filesAtOnce).map(work)));
  return results;
};

/** What is on the disk; a file whose size and time are as known is not read again. A file that went away in between is left out. */
const lookAt = async (root: string, known: ReadonlyMap<string, FileState>): Promise<Map<string, FileState>> => {
  const paths = (await list(root)).sort();
  const states = await inTurns(paths, async (path): Promise<FileState | undefined> => {
    try {
      const { size, mtimeMs } = await stat(join(root, path));
      const before = known.get(path);
      if (before && before.bytes === size && before.mtimeMs === mtimeMs) return before;
      // A file that was written just now may be written again within the same tick of the disk's clock: its time proves nothing.
      const isOld = Date.now() - mtimeMs > clockTick;
      return { path, bytes: size, mtimeMs: isOld ? mtimeMs : Number.NaN, ...await readState(root, path) };
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw cause;
    }
  });
  return new Map(states.flatMap((state) => (state ? [[state.path, state] as const] : [])));
};

/** What a split's file says about its images, by the names of the sources' files. */
const readPrompts = async (root: string, split: Split, files: ReadonlyMap<string, FileState>, unused: Unused[]): Promise<ReadonlyMap<string, string>> => {
  const path = `${split}_prompts.json`;
  if (!files.has(path)) return new Map();
  try {
    const parsed: unknown = JSON.parse(await readFile(join(root, path), 'utf8'));
    if (parsed !== null && typeof parsed === 'object' && !Array.isArray(parsed)) {
      const entries = Object.entries(parsed);
      const wrong = entries.filter(([, prompt]) => typeof prompt !== 'string');
      if (wrong.length > 0) unused.push({ path, why: `expected a text for each image but received ${JSON.stringify(wrong[0]?.[1])} for ${wrong[0]?.[0]}${wrong.length > 1 ? ` and ${wrong.length - 1} more like it` : ''}` });
      return new Map(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
    }
    unused.push({ path, why: 'expected an object of file names and prompts' });
  } catch (cause) {
    unused.push({ path, why: `expected JSON but received ${(cause as Error).message}` });
  }
  return new Map();
};

/**
 * Where a pair's content hash puts it, in 0..1: the same whatever else is in the folder. It is the target's hash, since several sources may be made from one
 * target, and must not end up on both sides.
 */
const placeOf = ({ target }: PairFile): number => Number.parseInt(target.hash.slice(0, 8), 16) / 2 ** 32;

/** Holds out the pairs whose hash falls into the share; at least one of several, and never all. */
const holdOut = (pairs: readonly PairFile[]): Pick<Dataset, 'train' | 'validation'> => {
  const out = new Set(pairs.filter((pair) => placeOf(pair) < heldOutShare));
  const byPlace = [...pairs].sort((a, b) => placeOf(a) - placeOf(b));
  if (out.size === 0 && pairs.length > 1) out.add(byPlace[0] as PairFile);
  if (out.size === pairs.length && pairs.length > 0) out.delete(byPlace[byPlace.length - 1] as PairFile);
  return { train: pairs.filter((pair) => !out.has(pair)), validation: pairs.filter((pair) => out.has(pair)) };
};

/** What is wrong with the files of a pair, as far as their headers tell. */
const faultsOf = ({ source, target }: PairFile): readonly Unused[] => {
  const files = source.path === target.path ? [source] : [source, target];
  const unreadable = files.flatMap(({ path, bad }) => (bad === undefined ? [] : [{ path, why: bad }]));
  if (unreadable.length > 0) return unreadable;
  const [ours, theirs] = [source, target].map(({ image, part }) => partSize(image as ImageInfo, part)) as [readonly [number, number], readonly [number, number]];
  if (Math.min(...ours) < 1) return [{ path: source.path, why: `expected two images side by side but the file is ${source.image?.width} pixel wide` }];
  return isSameAspect(ours, theirs) ? [] : [{ path: target.path, why: `expected the aspect of ${source.path} (${ours.join(' x ')}) but it is ${theirs.join(' x ')}` }];
};

/** The error of a folder without one usable pair; its cause lists all files. */
const nothingToUse = (root: string, why: string, unused: readonly Unused[]): DatasetError => {
  const each = unused.map((file) => new DatasetError(join(root, file.path), `${file.path}: ${file.why}`));
  return new DatasetError(root, `${root}: ${[why, ...each.slice(0, 3).map(({ message }) => message)].join('\n  ')}`, new AggregateError(each));
};

const assemble = async (root: string, files: ReadonlyMap<string, FileState>): Promise<Dataset> => {
  const images = [...files.keys()].filter(isImagePath);
  if (images.length === 0) throw new DatasetError(root, `${root}: expected image files but found none`);
  const { found, almost } = recognise(images);
  if (!found) {
    throw nothingToUse(root, `expected pairs in one of the layouts ${layoutNames.join(' | ')} but found ${images.length} image files that form no pair`, almost);
  }
  const unused = [...found.unused];
  const prompts = new Map(await Promise.all(splits.map(async (split) => [split, await readPrompts(root, split, files, unused)] as const)));
  const image = (path: string, part: ImageFile['part']): ImageFile => ({ ...files.get(path) as FileState, file: join(root, path), part });
  const pairOf = ({ split, id, source, target, sideBySide }: PathPair): PairFile => {
    const prompt = prompts.get(split)?.get(source.slice(source.lastIndexOf('/') + 1));
    return { id, source: image(source, sideBySide ? 'left' : 'whole'), target: image(target, sideBySide ? 'right' : 'whole'), ...(prompt !== undefined && { prompt }) };
  };
  const usable = new Map<PathPair['split'], PairFile[]>([['train', []], ['val', []], ['test', []]]);
  for (const paths of found.pairs) {
    const pair = pairOf(paths);
    const faults = faultsOf(pair);
    if (faults.length === 0) usable.get(paths.split)?.push(pair);
    unused.push(...faults);
  }
  const [train = [], val = [], test = []] = [...usable.values()];
  const held = val.length > 0 ? val : test;
  if (train.length === 0) {
    const came = held.length > 0 ? `only ${held.length} held-out ones` : 'none that can be used';
    throw nothingToUse(root, `expected pairs to train on but found ${came} (layout ${found.layout})`, unused);
  }
  const split = held.length > 0;
  return { root, layout: found.layout, ...(split ? { train, validation: held } : holdOut(train)), heldOutBy: split ? 'split' : 'hash', unused, files };
};

const lookAndAssemble = (root: string, known: ReadonlyMap<string, FileState>): TE.TaskEither<DatasetError, Dataset> => TE.tryCatch(async () => {
  const folder = await stat(root).catch((cause: NodeJS.ErrnoException) => {
    throw new DatasetError(root, `${root}: expected a folder of pairs but ${cause.code === 'ENOENT' ? 'it does not exist' : `it cannot be read: ${cause.message}`}`, cause);
  });
  if (!folder.isDirectory()) throw new DatasetError(root, `${root}: expected a folder of pairs but received a file`);
  return assemble(root, await lookAt(root, known));
}, (cause) => (cause instanceof DatasetError ? cause : new DatasetError(root, `${root}: cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, cause)));

/**
 * Finds the pairs of a folder. Order and hold-out depend on names and contents alone. Every image's header is read; pairs with a bad file are unused.
 * Fails with a DatasetError when the folder does not exist, is a file, has no images or forms no pair.
 */
export const scanDataset = (root: string): TE.TaskEither<DatasetError, Dataset> => lookAndAssemble(root, new Map());

/** How a folder differs from what was known of it; paths from the folder. */
export type Changes = Readonly<{ dataset: Dataset; added: readonly string[]; changed: readonly string[]; removed: readonly string[] }>;

/** Reads a folder again; only files whose size or time has changed are read. A file that was touched but not changed is no difference. */
export const rescanDataset = (previous: Dataset): TE.TaskEither<DatasetError, Changes> => TE.map((dataset: Dataset) => ({
  dataset,
  added: [...dataset.files.keys()].filter((path) => !previous.files.has(path)),
  changed: [...dataset.files.values()].filter(({ path, hash }) => { const before = previous.files.get(path); return before !== undefined && before.hash !== hash; }).map(({ path }) => path),
  removed: [...previous.files.keys()].filter((path) => !dataset.files.has(path)),
}))(lookAndAssemble(previous.root, previous.files));
