/** From the names of a pair and a plan to the pixels of both images: everything heavy about data, in one place, for a worker thread or for this one. */
import { readFile } from 'node:fs/promises';
import { DecodeError } from '../errors.ts';
import { type Plan, restPlan } from './augmentations/augmentation.ts';
import { type Cache, type Coding, contentKey, diskCache, memoryCache, parseBytes } from './cache.ts';
import type { ImageFile, PairFile } from './dataset.ts';
import { UnreadableImage, decodeError, decodeImage, isSameAspect } from './image.ts';
import { type Raster, resample } from './resample.ts';

/** A decoded image before augmentation, and the size it had in its file. */
export type Working = Raster & Readonly<{ full: readonly [number, number] }>;

/** What to decode and what to do to it. */
export type PairJob = Readonly<{
  pair: PairFile;
  /** Stand in for the pair, in this order, when it cannot be decoded. */
  spares: readonly PairFile[];
  plan: Plan;
}>;

export type DecodeOptions = Readonly<{
  /** Side of the output in pixels. */
  size: number;
  /** How many times larger than at rest a detail may become. */
  magnifies: number;
  /** Fail at the first file that cannot be decoded, instead of taking a spare. */
  strict: boolean;
}>;

/** A file that could not be decoded, and the sentence that says why. */
export type Broken = Readonly<{ path: string; why: string }>;

/** Seconds by what they went into: files and a cache on the disk, images out of bytes, variations of images. */
export type Spent = Readonly<{ disk: number; decode: number; augment: number }>;

/** A decoded pair: float32, row-major [size, size, 3], in [-1, 1]; the files that were passed over on the way to it, and what it took. */
export type PairPixels = Readonly<{ id: string; prompt?: string | undefined; source: Float32Array; target: Float32Array; broken: readonly Broken[]; spent: Spent }>;

/** Raw samples behind a header of six 32-bit words, as a disk cache keeps them. */
export const workingCoding: Coding<Working> = {
  toBytes: ({ width, height, full, data }) => {
    const header = new Uint8Array(Uint32Array.of(width, height, full[0], full[1], data.BYTES_PER_ELEMENT, 0).buffer);
    return Buffer.concat([header, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]);
  },
  fromBytes: (bytes) => {
    const { buffer } = new Uint8Array(bytes); // a copy begins at an aligned place
    const [width = 0, height = 0, across = 0, along = 0, wide = 1] = new Uint32Array(buffer, 0, 6);
    return { width, height, full: [across, along], data: wide === 2 ? new Uint16Array(buffer, 24) : new Uint8Array(buffer, 24) };
  },
};

/** Where decoded images are kept: `off`, `disk` (at most 8 GB), or a size in memory such as `512MB`. @param sharers caches that have this room together */
export const workingCache = async (where: string, folder: string, sharers = 1): Promise<Cache<Working>> => {
  if (where === 'off') return { get: (_, make) => make(), renew: () => {}, stats: { hits: 0, misses: 0, evictions: 0, bytes: 0, entries: 0 } };
  if (where === 'disk') return diskCache({ folder, limit: 8 * 2 ** 30, coding: workingCoding, sharers });
  return memoryCache({ limit: parseBytes(where) / sharers, sizeOf: ({ data }) => data.byteLength });
};

/** Counts the time since the last lap, or since it was made, for a part of the work. */
const stopwatch = () => {
  const spent = { disk: 0, decode: 0, augment: 0 };
  let last = performance.now();
  return {
    spent,
    lap: (part: keyof Spent): void => {
      const now = performance.now();
      spent[part] += (now - last) / 1000;
      last = now;
    },
  };
};

/** Whether a plan changes nothing, so that what it costs is decoding. */
const isRest = ({ affine, place, source, target }: Plan): boolean =>
  source === undefined && target === undefined && place === restPlan.place && affine.every((value, i) => value === restPlan.affine[i]);

/** Width and height at rest, in output pixels: the shorter side fills the output. */
const extentOf = ([width, height]: readonly [number, number], size: number): readonly [number, number] => {
  const k = size / Math.min(width, height);
  return [width * k, height * k];
};

/** Decodes pairs. @param cache keeps decoded images @param read the bytes of a file */
export const pairDecoder = (cache: Cache<Working>, read: (path: string) => Uint8Array | Promise<Uint8Array> = readFile) => {
  const open = async ({ file: path, part }: ImageFile, shorter: number, lap: (part: keyof Spent) => void): Promise<Working> => {
    try {
      const bytes = await read(path);
      lap('disk');
      const key = contentKey(bytes, JSON.stringify({ part, shorter }));
      lap('decode');
      const image = await cache.get(key, async () => {
        lap('disk');
        const made = await decodeImage(bytes, { part, shorter });
        lap('decode');
        return made;
      });
      lap('disk');
      return image;
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      throw decodeError(path, code === 'ENOENT' ? new UnreadableImage('a file', 'it is gone', cause) : cause);
    }
  };
  const decode = async ({ source, target }: PairFile, plan: Plan, { size, magnifies }: DecodeOptions, lap: (part: keyof Spent) => void): Promise<readonly [Float32Array, Float32Array]> => {
    const { affine, place, source: sourceColour, target: targetColour } = plan;
    const shorter = Math.ceil(size * magnifies);
    const first = await open(source, shorter, lap);
    const images = [first, source === target ? first : await open(target, shorter, lap)] as const;
    const [{ full }, { full: other }] = images;
    if (!isSameAspect(full, other)) throw decodeError(target.file, new UnreadableImage(`the aspect of its source (${full[0]} x ${full[1]})`, `it is ${other[0]} x ${other[1]}`));
    const extent = extentOf(full, size);
    const [slackX, slackY] = [extent[0] / size - 1, extent[1] / size - 1];
    const [a, b, tx, c, d, ty] = affine;
    const placed = [a, b, tx + (place - 0.5) * slackX, c, d, ty + (place - 0.5) * slackY] as const;
    const pixels = images.map((image, i) => {
      const out = new Float32Array(size * size * 3);
      resample(image, { affine: placed, size, extent, colour: i === 0 ? sourceColour : targetColour }, out, 0);
      return out;
    }) as unknown as readonly [Float32Array, Float32Array];
    lap(isRest(plan) ? 'decode' : 'augment');
    return pixels;
  };
  /** @throws DecodeError when the pair and all its spares are broken, or, with `strict`, when the pair is */
  return async ({ pair, spares, plan }: PairJob, options: DecodeOptions): Promise<PairPixels> => {
    const { spent, lap } = stopwatch();
    const broken: Broken[] = [];
    const candidates = options.strict ? [pair] : [pair, ...spares];
    for (const [i, candidate] of candidates.entries()) {
      try {
        const [source, target] = await decode(candidate, plan, options, lap);
        return { id: candidate.id, prompt: candidate.prompt, source, target, broken, spent };
      } catch (cause) {
        if (!(cause instanceof DecodeError) || i === candidates.length - 1) throw cause;
        broken.push({ path: cause.subject, why: cause.message });
      }
    }
    throw new RangeError('pairDecoder: expected a pair');
  };
};
