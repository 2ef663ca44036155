/** Using a trained model on image files of any size. */
import { mkdir, readFile, readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, relative, resolve } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import sharp from 'sharp';
import { decodeError, decodeImage } from '../data/image.ts';
import { ConfigError, type DecodeError, DatasetError } from '../errors.ts';
import { fold, seeded } from '../random.ts';
import { writeFileAtomic } from './atomic.ts';
import { acceptsSteps } from './evaluate.ts';
import type { Translate } from './method.ts';
import { toBytes } from './strip.ts';
import { addTile, cutTile, planTiles } from './tiles.ts';
import { translateImages } from './validation.ts';

/** A file to work on, and where the result goes. */
export type InferenceJob = Readonly<{ from: string; to: string }>;

const extensions = /\.(png|jpe?g|webp|tiff?|gif|avif)$/i;

/**
 * The images at `path` (a file, or a folder with all below it), in order of their names, and where results go: the same places below `out`, as PNG, or with
 * `keep` in the format they came in. Two files that differ in their extension alone keep it before `.png`.
 */
export const findImages = (path: string, out: string, keep: boolean): TE.TaskEither<DatasetError, readonly InferenceJob[]> => async () => {
  const info = await stat(path).catch(() => undefined);
  if (!info) return E.left(new DatasetError(path, `${path}: expected an image or a folder of images but found nothing`));
  const files = info.isFile() ? [basename(path)] : (await readdir(path, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && extensions.test(entry.name)).map((entry) => relative(path, join(entry.parentPath, entry.name))).sort();
  // A result folder inside the folder of images holds no images to work on.
  const home = info.isFile() ? dirname(path) : path;
  const names = files.filter((name) => info.isFile() || relative(resolve(out), resolve(home, name)).startsWith('..') || resolve(out) === resolve(home));
  if (names.length === 0) return E.left(new DatasetError(path, `${path}: expected images (PNG, JPEG, WebP, TIFF, GIF or AVIF) but found none`));
  const stems = new Map<string, number>();
  const stemOf = (name: string): string => name.slice(0, name.length - extname(name).length);
  for (const name of names) stems.set(stemOf(name), (stems.get(stemOf(name)) ?? 0) + 1);
  const resultOf = (name: string): string => (keep ? name : `${(stems.get(stemOf(name)) as number) > 1 ? name : stemOf(name)}.png`);
  const jobs = names.map((name) => ({ from: join(home, name), to: join(out, resultOf(name)) }));
  const own = jobs.find(({ from, to }) => resolve(from) === resolve(to));
  return own ? E.left(new DatasetError(out, `${out}: expected a folder other than that of the images, since ${own.from} would be written over`)) : E.right(jobs);
};

/** An image as the network takes it: float32 [H, W, 3] in [-1, 1]. */
export type Picture = Readonly<{ height: number; width: number; data: Float32Array }>;

/** Reads any image file as sRGB, upright, alpha on white. */
export const readPicture = (path: string): TE.TaskEither<DecodeError, Picture> => TE.tryCatch(async () => {
  const { width, height, data } = await decodeImage(await readFile(path), { part: 'whole', shorter: Infinity });
  const unit = 2 / (data instanceof Uint16Array ? 65_535 : 255);
  const values = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) values[i] = (data[i] as number) * unit - 1;
  return { width, height, data: values };
}, (cause) => decodeError(path, cause));

/** Writes an image in the format of its extension, all at once; folders are made. */
export const writePicture = async (path: string, { width, height, data }: Picture): Promise<void> => {
  await mkdir(dirname(path), { recursive: true });
  const image = sharp(toBytes(data), { raw: { width, height, channels: 3 } });
  const kind = extname(path).toLowerCase();
  const encoded = kind === '.png' ? image.png() : /^\.jpe?g$/.test(kind) ? image.jpeg({ quality: 95, chromaSubsampling: '4:4:4' })
    : kind === '.webp' ? image.webp({ quality: 95 }) : /^\.tiff?$/.test(kind) ? image.tiff({ compression: 'lzw' }) : kind === '.avif' ? image.avif({ quality: 90 }) : image.gif();
  await writeFileAtomic(path, await encoded.toBuffer());
};

export type InferenceOptions = Readonly<{
  /** Height and width that the model takes are multiples of this. */
  multiple: number;
  /** Images with a longer side are done in pieces of this size, in pixels. */
  tile: number;
  /** Pixels by which pieces overlap. */
  overlap: number;
  /** Pieces at a time; without it, as many as have the pixels of one tile, 16 at most. */
  batch?: number;
  seed: number;
  /** Sampler steps, for models that take several. */
  steps?: number;
}>;

/**
 * Whether a model samples with a number of steps, asked before the first image.
 * @param multiple see `InferenceOptions`
 * @returns what is to be said, where the number changes nothing; Left where it is refused
 */
export const checkSteps = (translate: Translate, steps: number, multiple: number): E.Either<ConfigError, string | undefined> => {
  const answer = acceptsSteps(translate, steps, 2 * multiple);
  if (!answer.accepts) return E.left(new ConfigError('steps', `--steps ${steps}: ${answer.why}`));
  return E.right(answer.asks ? undefined : `--steps ${steps} changes nothing: the model has one way only`);
};

const batchOf = ({ batch, tile }: Pick<InferenceOptions, 'batch' | 'tile'>, height: number, width: number): number =>
  batch ?? Math.min(16, Math.max(1, Math.floor(tile ** 2 / (Math.min(tile, height) * Math.min(tile, width)))));

/** A picture and its name, which decides the noise, where the model draws any, together with the seed. */
export type NamedPicture = Readonly<{ name: string; picture: Picture }>;

/**
 * What the model makes of pictures of one size: padded by reflection to what the model takes and cropped back; large ones in overlapping pieces faded into
 * one another. What becomes of a picture does not depend on the others.
 */
export const translatePictures = async (translate: Translate, pictures: readonly NamedPicture[], { multiple, tile, overlap, batch, seed, steps }: InferenceOptions): Promise<Picture[]> => {
  const [first] = pictures;
  if (first === undefined) return [];
  const { height, width } = first.picture;
  const plan = planTiles(height, width, { multiple, tile: Math.ceil(tile / multiple) * multiple, overlap });
  const out = pictures.map(({ picture }) => ({ height, width, data: new Float32Array(picture.data.length) }));
  const pieces = pictures.flatMap(({ name, picture }, of) => Array.from({ length: plan.count }, (_, index) => ({ of, index, picture, key: fold(seeded(seed), 'infer', name, index) })));
  const count = Math.min(batchOf({ tile, ...(batch !== undefined && { batch }) }, height, width), pieces.length);
  for (let at = 0; at < pieces.length; at += count) {
    const some = pieces.slice(at, at + count);
    const made = await translateImages(translate, some.map(({ picture, index }) => cutTile(picture.data, plan, index)), [plan.rows.piece, plan.columns.piece], {
      keys: some.map(({ key }) => key), batch: count, ...(steps !== undefined && { steps }),
    });
    some.forEach(({ of, index }, i) => { addTile((out[of] as Picture).data, plan, index, made[i] as Float32Array); });
  }
  return out;
};

/** What came of one file. */
export type InferenceResult = E.Either<Error, Readonly<{ pixels: number }>>;

type Read = Readonly<{ job: InferenceJob; picture: E.Either<DecodeError, Picture> }>;

/** Reads files in order, `ahead` of them in advance. */
async function* readInOrder(jobs: readonly InferenceJob[], ahead: number): AsyncGenerator<Read> {
  const reading: Promise<Read>[] = [];
  for (const [i] of jobs.entries()) {
    while (reading.length <= ahead && i + reading.length < jobs.length) {
      const job = jobs[i + reading.length] as InferenceJob;
      reading.push(readPicture(job.from)().then((picture) => ({ job, picture })));
    }
    yield await (reading.shift() as Promise<Read>);
  }
}

/** Files read while the model works: more would only fill memory, since photographs are large and the model is slow. */
const readAhead = 2;

/**
 * Translates files in order: pictures of one size that follow one another go through the model together, the next are read meanwhile. A file that fails is
 * told and passed over.
 * @param tell called after each file
 * @returns how many failed
 */
export const translateFiles = async (translate: Translate, jobs: readonly InferenceJob[], options: InferenceOptions, tell: (job: InferenceJob, result: InferenceResult) => void): Promise<number> => {
  let failed = 0;
  const end = (job: InferenceJob, result: InferenceResult): void => {
    if (E.isLeft(result)) failed++;
    tell(job, result);
  };
  let group: { job: InferenceJob; picture: Picture }[] = [];
  const run = async (): Promise<void> => {
    const work = group;
    group = [];
    const attempt = <T>(task: () => Promise<T>): Promise<E.Either<Error, T>> => TE.tryCatch(task, (cause) => (cause instanceof Error ? cause : new Error(String(cause))))();
    const made = await attempt(() => translatePictures(translate, work.map(({ job, picture }) => ({ name: basename(job.from), picture })), options));
    for (const [i, { job, picture }] of work.entries()) {
      end(job, E.isLeft(made) ? made : await attempt(async () => {
        await writePicture(job.to, made.right[i] as Picture);
        return { pixels: picture.width * picture.height };
      }));
    }
  };
  for await (const { job, picture } of readInOrder(jobs, readAhead)) {
    if (E.isLeft(picture)) { end(job, picture); continue; }
    const { width, height } = picture.right;
    if (group[0] && (group[0].picture.width !== width || group[0].picture.height !== height)) await run();
    group.push({ job, picture: picture.right });
    // Pictures that are cut in pieces fill a batch by themselves.
    if (group.length >= batchOf(options, height, width) || Math.max(width, height) > options.tile) await run();
  }
  await run();
  return failed;
};
