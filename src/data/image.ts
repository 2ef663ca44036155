/** From the bytes of a file to sRGB samples. libvips does the decoding, off the JS thread. */
import sharp, { type Metadata, type Sharp } from 'sharp';
import { DecodeError } from '../errors.ts';
import type { ImageFile, ImageInfo } from './dataset.ts';
import type { Raster } from './resample.ts';

// One-pass reading: libvips need not remember operations or files. Images are decoded in parallel, each on one thread.
sharp.cache(false);
sharp.concurrency(1);

/** Images with more pixels than this are refused before they are decoded: 10,000 x 10,000. */
export const maxPixels = 1e8;

/** What could not be read, as the end of "expected ... but ...". */
export class UnreadableImage extends Error {
  readonly expected: string;
  readonly came: string;
  constructor(expected: string, came: string, cause?: unknown) {
    super(`expected ${expected} but ${came}`, cause === undefined ? undefined : { cause });
    this.expected = expected;
    this.came = came;
  }
}

/** The error for one file, with its path. */
export const decodeError = (path: string, cause: unknown): DecodeError =>
  new DecodeError(path, `${path}: ${cause instanceof UnreadableImage ? cause.message : `expected a readable image but ${(cause as Error).message}`}`, cause);

const anImage = 'an image (PNG, JPEG, WebP, TIFF, GIF or AVIF)';

/** What is at hand when libvips cannot make sense of a file. */
const explain = (head: Uint8Array, length: number, cause: unknown): UnreadableImage => {
  const said = (cause as Error).message.trim().split('\n')[0] as string;
  if (length === 0) return new UnreadableImage(anImage, 'the file is empty (0 bytes)');
  if (!/unsupported image format/.test(said)) return new UnreadableImage('a complete, undamaged image', `reading fails: ${said}`, cause);
  const text = head.every((byte) => byte === 9 || byte === 10 || byte === 13 || byte >= 32);
  return text
    ? new UnreadableImage(anImage, `the file holds text: ${JSON.stringify(Buffer.from(head).toString().slice(0, 24))}`, cause)
    : new UnreadableImage(anImage, `the file begins with the bytes ${Buffer.from(head.subarray(0, 8)).toString('hex')}, which is none`, cause);
};

const spaces: Readonly<Record<string, string>> = { srgb: 'sRGB', rgb: 'sRGB', rgb16: 'sRGB', 'b-w': 'grey', grey16: 'grey', cmyk: 'CMYK', lab: 'Lab', labs: 'Lab' };

const infoOf = ({ width, height, autoOrient, format, space, depth, hasAlpha, hasProfile, orientation, pages }: Metadata, limit: number): ImageInfo => {
  if (width * height > limit) throw new UnreadableImage(`at most ${limit} pixels`, `the header announces ${width} x ${height}`);
  const deep = depth === 'ushort';
  const extras = [hasAlpha && 'alpha', hasProfile && 'profile', (orientation ?? 1) > 1 && `EXIF orientation ${orientation}`, (pages ?? 1) > 1 && `${pages} frames, the first is used`].filter(Boolean);
  const bits = { uchar: '8 bit', ushort: '16 bit' }[depth as string] ?? depth;
  return { width: autoOrient.width, height: autoOrient.height, format, deep, tagged: hasProfile ?? false, kind: [`${spaces[space] ?? space} ${bits}`, ...extras].join(', ') };
};

/** Options that every reading shares. Warnings about harmless oddities do not fail; damaged or missing pixels do. */
const readOptions = { failOn: 'error', limitInputPixels: false, autoOrient: true } as const;

/** Reads the header of an image. @throws UnreadableImage */
export const probeImage = async (bytes: Uint8Array, limit = maxPixels): Promise<ImageInfo> => {
  try {
    return infoOf(await sharp(bytes, readOptions).metadata(), limit);
  } catch (cause) {
    throw cause instanceof UnreadableImage ? cause : explain(bytes.subarray(0, 64), bytes.length, cause);
  }
};

/** Width and height of the part of a file that one image takes; halves of an odd width leave out the middle column. */
export const partSize = ({ width, height }: Pick<ImageInfo, 'width' | 'height'>, part: ImageFile['part']): readonly [number, number] =>
  (part === 'whole' ? [width, height] : [Math.floor(width / 2), height]);

/** Two sizes are one aspect when the smaller is the larger scaled, but for a pixel of rounding (and never more than a twentieth). */
export const isSameAspect = ([w, h]: readonly [number, number], [ow, oh]: readonly [number, number]): boolean => {
  if (w > ow) return isSameAspect([ow, oh], [w, h]);
  return Math.abs(h - oh * w / ow) <= Math.min(1, 0.05 * h) && Math.abs(w - ow * h / oh) <= Math.min(1, 0.05 * w);
};

/** Alpha is composited on white; greys become three equal channels. */
const toRgb = (data: Uint8Array | Uint16Array, channels: number): Uint8Array | Uint16Array => {
  if (channels === 3) return data;
  const pixels = data.length / channels;
  const white = data instanceof Uint16Array ? 65535 : 255;
  const out = data instanceof Uint16Array ? new Uint16Array(3 * pixels) : new Uint8Array(3 * pixels);
  for (let i = 0; i < pixels; i++) {
    const alpha = channels % 2 === 0 ? (data[channels * i + channels - 1] as number) / white : 1;
    for (let k = 0; k < 3; k++) out[3 * i + k] = Math.round((data[channels * i + (channels > 2 ? k : 0)] as number) * alpha + white * (1 - alpha));
  }
  return out;
};

/**
 * Decodes an image to sRGB, upright, on white, 16 bits where the file has them, shrunk with an anti-aliasing filter so that its shorter side is at most
 * `shorter` pixels (never enlarged).
 * @throws UnreadableImage for what is damaged, too large or no image
 */
export const decodeImage = async (bytes: Uint8Array, { part, shorter, limit = maxPixels }: { part: ImageFile['part']; shorter: number; limit?: number }): Promise<Raster & Readonly<{ full: readonly [number, number] }>> => {
  const info = await probeImage(bytes, limit);
  const full = partSize(info, part);
  const [width, height] = full;
  if (width < 1) throw new UnreadableImage('two images side by side', `the file is ${info.width} pixel wide`);
  const ratio = Math.min(1, shorter / Math.min(width, height));
  try {
    let image: Sharp = sharp(bytes, readOptions);
    if (part !== 'whole') image = image.extract({ left: part === 'left' ? 0 : info.width - width, top: 0, width, height });
    if (ratio < 1) image = image.resize({ width: Math.round(width * ratio), height: Math.round(height * ratio), fit: 'fill' });
    // Of 16-bit images that have a profile sharp makes Display P3, of all others sRGB; asking for a profile turns the former into sRGB.
    if (info.deep && info.tagged) image = image.withIccProfile('srgb');
    const decoded = await image.toColourspace(info.deep ? 'rgb16' : 'srgb').raw({ depth: info.deep ? 'ushort' : 'uchar' }).toBuffer({ resolveWithObject: true });
    const samples = info.deep ? new Uint16Array(decoded.data.buffer, decoded.data.byteOffset, decoded.data.length / 2) : new Uint8Array(decoded.data);
    return { width: decoded.info.width, height: decoded.info.height, data: toRgb(samples, decoded.info.channels), full };
  } catch (cause) {
    throw explain(bytes.subarray(0, 64), bytes.length, cause);
  }
};
