/** What is in a dataset and what is wrong with it, for a person: every image is decoded, to its last byte. */
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { relative } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import type { DatasetError } from '../errors.ts';
import { type Dataset, type ImageFile, type PairFile, type Unused, promptsOf } from './dataset.ts';
import { decodeImage } from './image.ts';
import { scanDataset } from './scan.ts';

/** How often something occurs, most often first. */
export type Count = Readonly<{ what: string; images: number }>;

export type Inspection = Readonly<{
  root: string;
  /** Whether a run could train on it. */
  usable: boolean;
  /** Why not. */
  error?: string;
  layout?: string;
  pairs: Readonly<{
    train: number;
    heldOut: number;
    heldOutBy?: Dataset['heldOutBy'];
    /** How many of those to train on, and of those held out, have a prompt. */
    prompts: number;
    heldOutPrompts: number;
  }>;
  /** Image files of the pairs. */
  images: number;
  bytes: number;
  sizes: readonly Count[];
  kinds: readonly Count[];
  formats: readonly Count[];
  /** Files that are not used, and why; among them those whose pixels turned out to be damaged. */
  bad: readonly Unused[];
  /** Images that are both trained and validated on, byte by byte. */
  leaks: readonly (readonly string[])[];
  /** Images that occur more than once in training, byte by byte. */
  repeats: readonly (readonly string[])[];
  /** What is allowed, but may not be meant. */
  hints: readonly string[];
}>;

const tally = (values: readonly string[]): Count[] => {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].map(([what, images]) => ({ what, images })).sort((a, b) => b.images - a.images || (a.what < b.what ? -1 : 1));
};

const imagesOf = (pairs: readonly PairFile[]): ImageFile[] => [...new Map(pairs.flatMap(({ source, target }) => [source, target]).map((image) => [image.path, image])).values()];

/** Paths by content, where there are several. */
const sameContent = (images: readonly ImageFile[]): string[][] => {
  const byHash = new Map<string, string[]>();
  for (const { hash, path } of images) byHash.set(hash, [...byHash.get(hash) ?? [], path]);
  return [...byHash.values()].filter(({ length }) => length > 1);
};

/** Decodes each file; small, but every byte is read. */
const damaged = async (root: string, images: readonly ImageFile[], progress: (done: number) => void): Promise<Unused[]> => {
  const bad: Unused[] = [];
  let [next, done] = [0, 0];
  const work = async (): Promise<void> => {
    for (let image = images[next++]; image !== undefined; image = images[next++]) {
      const { file } = image;
      try {
        await decodeImage(await readFile(file), { part: 'whole', shorter: 64 });
      } catch (cause) {
        bad.push({ path: relative(root, file), why: (cause as Error).message });
      }
      progress(++done);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return bad.sort((a, b) => (a.path < b.path ? -1 : 1));
};

const some = (ids: readonly string[]): string => `${ids.slice(0, 3).join(', ')}${ids.length > 3 ? ` and ${ids.length - 3} more` : ''}`;
const about = (ids: readonly string[], one: string, many: string): string[] => (ids.length === 0 ? [] : [`${ids.length} ${ids.length === 1 ? one : many}: ${some(ids)}`]);
const isTurned = ({ image }: ImageFile): boolean => image?.kind.includes('orientation') ?? false;

const hintsOf = ({ train, validation, files }: Dataset): string[] => {
  const pairs = [...train, ...validation];
  const where = (test: (pair: PairFile) => boolean): string[] => pairs.filter(test).map(({ id }) => id);
  return [
    ...about(where(({ source, target }) => source.path !== target.path && source.hash === target.hash), 'pair has one and the same file as source and target', 'pairs have one and the same file as source and target'),
    ...about(where(({ source, target }) => isTurned(source) !== isTurned(target)), 'pair has an EXIF orientation on one side only; check that both stand upright', 'pairs have an EXIF orientation on one side only; check that both stand upright'),
    ...about(where(({ source, target }) => source.image?.width !== target.image?.width), 'pair has sides of different size; both are resampled', 'pairs have sides of different size; both are resampled'),
    ...(files.has('train_prompts.json') && promptsOf(pairs) === 0 ? ['train_prompts.json names no image; it should be an object of the sources\' file names, such as "1.png", and texts'] : []),
    ...(validation.length === 0 ? ['no pair is held out: nothing can be validated'] : []),
  ];
};

const nothing = { pairs: { train: 0, heldOut: 0, prompts: 0, heldOutPrompts: 0 }, images: 0, bytes: 0, sizes: [], kinds: [], formats: [], leaks: [], repeats: [], hints: [] };
const unusable = (root: string, { message, cause }: DatasetError): Inspection => ({
  ...nothing, root, usable: false, error: message.split('\n')[0] as string,
  bad: cause instanceof AggregateError ? (cause.errors as DatasetError[]).map(({ subject, message: why }) => ({ path: relative(root, subject), why: why.slice(why.indexOf(': ') + 2) })) : [],
});

/** Reads a whole dataset. @param progress hears how many of how many images have been decoded */
export const inspectDataset = async (root: string, progress: (done: number, all: number) => void = () => {}): Promise<Inspection> => {
  const found = await scanDataset(root)();
  if (E.isLeft(found)) return unusable(root, found.left);
  const { layout, train, validation, heldOutBy, unused } = found.right;
  const images = imagesOf([...train, ...validation]);
  const broken = await damaged(root, images, (done) => { progress(done, images.length); });
  const isBroken = new Set(broken.map(({ path }) => path));
  const whole = (pairs: readonly PairFile[]): PairFile[] => pairs.filter(({ source, target }) => !isBroken.has(source.path) && !isBroken.has(target.path));
  const [good, held] = [whole(train), whole(validation)];
  const trained = new Set(imagesOf(train).map(({ path }) => path));
  const same = sameContent(images);
  return {
    root, usable: good.length > 0, ...(good.length === 0 && { error: `${root}: expected pairs to train on but each has a damaged file` }), layout,
    pairs: { train: good.length, heldOut: held.length, heldOutBy, prompts: promptsOf(good), heldOutPrompts: promptsOf(held) },
    images: images.length, bytes: images.reduce((sum, { bytes }) => sum + bytes, 0),
    sizes: tally(images.map(({ image }) => `${image?.width} x ${image?.height}`)), kinds: tally(images.map(({ image }) => image?.kind ?? 'unknown')), formats: tally(images.map(({ image }) => image?.format ?? 'unknown')),
    bad: [...unused, ...broken],
    leaks: same.filter((paths) => paths.some((path) => trained.has(path)) && paths.some((path) => !trained.has(path))),
    repeats: same.filter((paths) => paths.every((path) => trained.has(path))),
    hints: hintsOf(found.right),
  };
};
