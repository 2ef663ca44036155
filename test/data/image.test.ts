import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { UnreadableImage, decodeError, decodeImage, isSameAspect, probeImage } from '../../src/data/image.ts';
import { blackPng } from '../support/images.ts';

const side = 16;
const raw = (channels: 1 | 2 | 3 | 4, pixel: readonly number[]) => sharp(Uint8Array.from({ length: side * side * channels }, (_, i) => pixel[i % channels] as number), { raw: { width: side, height: side, channels } });
const deep = (channels: 1 | 2 | 3 | 4, pixel: readonly number[]) =>
  sharp(Uint16Array.from({ length: side * side * channels }, (_, i) => pixel[i % channels] as number), { raw: { width: side, height: side, channels } }).toColourspace(channels < 3 ? 'grey16' : 'rgb16');
const whole = { part: 'whole', shorter: 1000 } as const;
const first = async (bytes: Uint8Array): Promise<number[]> => [...(await decodeImage(bytes, whole)).data.subarray(0, 3)];
const colour = [200, 100, 50];
const near = (values: readonly number[], expected: readonly number[], within: number): void => {
  values.forEach((value, i) => { expect(Math.abs(value - (expected[i] as number)), `${values.join()} against ${expected.join()}`).toBeLessThanOrEqual(within); });
};

describe('decodeImage gives sRGB whatever the file is', () => {
  it.each([
    ['png', () => raw(3, colour).png()], ['lossless webp', () => raw(3, colour).webp({ lossless: true })], ['tiff', () => raw(3, colour).tiff({ compression: 'deflate' })],
    ['gif', () => raw(3, colour).gif()], ['palette png', () => raw(3, colour).png({ palette: true })],
  ])('%s, exactly', async (_, make) => { expect(await first(await make().toBuffer())).toEqual(colour); });

  it('jpeg and avif, within their loss', async () => {
    near(await first(await raw(3, colour).jpeg({ quality: 100 }).toBuffer()), colour, 2);
    near(await first(await raw(3, colour).avif({ quality: 90 }).toBuffer()), colour, 3);
  });

  it('grey becomes three equal channels, of 8 bits and of 16', async () => {
    expect(await first(await raw(1, [90]).toColourspace('b-w').png().toBuffer())).toEqual([90, 90, 90]);
    const image = await decodeImage(await deep(1, [12345]).png().toBuffer(), whole);
    expect(image.data).toBeInstanceOf(Uint16Array);
    expect([...image.data.subarray(0, 3)]).toEqual([12345, 12345, 12345]);
  });

  it('16 bits stay 16 bits, in png and tiff', async () => {
    const pixel = [12345, 54321, 257];
    expect(await first(await deep(3, pixel).png().toBuffer())).toEqual(pixel);
    expect(await first(await deep(3, pixel).tiff({ compression: 'deflate' }).toBuffer())).toEqual(pixel);
  });

  it('alpha is composited on white, at the depth of the file', async () => {
    const on = (value: number, alpha: number, white: number): number => Math.round((value * alpha + white * (white - alpha)) / white);
    expect(await first(await raw(4, [...colour, 64]).png().toBuffer())).toEqual(colour.map((value) => on(value, 64, 255)));
    expect(await first(await raw(4, [...colour, 0]).png().toBuffer())).toEqual([255, 255, 255]);
    expect(await first(await raw(2, [90, 128]).toColourspace('b-w').png().toBuffer())).toEqual([90, 90, 90].map((value) => on(value, 128, 255)));
    expect(await first(await deep(4, [12345, 54321, 257, 30000]).png().toBuffer())).toEqual([12345, 54321, 257].map((value) => on(value, 30000, 65535)));
    expect(await first(await deep(4, [1, 2, 3, 0]).png().toBuffer())).toEqual([65535, 65535, 65535]);
  });

  it('CMYK comes through its profile, with and without one embedded', async () => {
    near(await first(await raw(3, colour).toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer()), colour, 32);
    near(await first(await raw(3, colour).toColourspace('cmyk').withIccProfile('cmyk').jpeg({ quality: 100 }).toBuffer()), colour, 32);
    expect((await probeImage(await raw(3, colour).toColourspace('cmyk').jpeg().toBuffer())).kind).toBe('CMYK 8 bit');
  });

  it('an embedded profile is undone', async () => {
    const file = await raw(3, colour).withIccProfile('p3').png().toBuffer();
    near([...(await sharp(file, { ignoreIcc: true } as never).raw().toBuffer()).subarray(0, 3)], [187, 105, 62], 1); // what the file holds
    near(await first(file), colour, 1);
    expect((await probeImage(file)).kind).toBe('sRGB 8 bit, profile');
  });

  it.each(['p3', 'srgb'])('an embedded profile (%s) is undone in 16 bits, too', async (profile) => {
    const stored = async (file: Uint8Array): Promise<number[]> => {
      const { buffer, byteOffset } = await sharp(file, { ignoreIcc: true } as never).toColourspace('rgb16').raw({ depth: 'ushort' }).toBuffer();
      return [...new Uint16Array(buffer, byteOffset, 3)];
    };
    const file = await deep(3, colour.map((value) => value * 257)).withIccProfile(profile).png().toBuffer();
    // What the file means: its numbers in the profile it names. Display P3 (200, 100, 50) is sRGB (214.9, 92.6, 31.8).
    const meant = profile === 'srgb' ? (await stored(file)).map((value) => value / 257) : [214.85, 92.62, 31.82];
    if (profile === 'p3') near((await stored(file)).map((value) => value / 257), colour, 0.01);
    near((await first(file)).map((value) => value / 257), meant, 0.3);
  });

  it('EXIF orientation is undone, before a half is taken', async () => {
    const sixteen = Uint8Array.from({ length: 4 * 2 * 3 }, (_, i) => 10 * Math.floor(i / 3)); // 4 x 2: 0 10 20 30 / 40 50 60 70
    const reds = async (orientation: number, part: 'whole' | 'left' | 'right' = 'whole'): Promise<unknown> => {
      const file = await sharp(sixteen, { raw: { width: 4, height: 2, channels: 3 } }).withMetadata({ orientation }).png().toBuffer();
      const { width, height, data } = await decodeImage(file, { part, shorter: 1000 });
      return [width, height, [...data].filter((_, i) => i % 3 === 0)];
    };
    expect(await reds(1)).toEqual([4, 2, [0, 10, 20, 30, 40, 50, 60, 70]]);
    expect(await reds(3)).toEqual([4, 2, [70, 60, 50, 40, 30, 20, 10, 0]]);
    expect(await reds(2)).toEqual([4, 2, [30, 20, 10, 0, 70, 60, 50, 40]]);
    expect(await reds(6)).toEqual([2, 4, [40, 0, 50, 10, 60, 20, 70, 30]]);
    expect(await reds(5)).toEqual([2, 4, [0, 40, 10, 50, 20, 60, 30, 70]]);
    expect(await reds(8, 'left')).toEqual([1, 4, [30, 20, 10, 0]]);
    expect(await reds(1, 'right')).toEqual([2, 2, [20, 30, 60, 70]]);
  });

  it('shrinks to the shorter side asked for, never enlarges, and tells the full size', async () => {
    const file = await sharp({ create: { width: 90, height: 60, channels: 3, background: '#345' } }).jpeg().toBuffer();
    expect(await decodeImage(file, { part: 'whole', shorter: 20 })).toMatchObject({ width: 30, height: 20, full: [90, 60] });
    expect(await decodeImage(file, { part: 'whole', shorter: 100 })).toMatchObject({ width: 90, height: 60, full: [90, 60] });
    expect(await decodeImage(file, { part: 'left', shorter: 30 })).toMatchObject({ width: 30, height: 40, full: [45, 60] });
  });
});

describe('what cannot be read', () => {
  const photo = sharp(Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7919) % 251), { raw: { width: 64, height: 64, channels: 3 } });
  const message = (bytes: Uint8Array): Promise<string> => decodeImage(bytes, whole).then(() => 'decoded', (cause: UnreadableImage) => cause.message);
  it.each(['png', 'jpeg', 'webp', 'tiff', 'gif'] as const)('a %s that was cut anywhere', async (format) => {
    const bytes = await photo.clone().toFormat(format).toBuffer();
    for (const share of [0.2, 0.5, 0.9]) expect(await message(bytes.subarray(0, Math.floor(share * bytes.length))), `${share}`).toMatch(/^expected .* but /);
    expect(await message(bytes)).toBe('decoded');
  });
  it('an empty file, a text, noise', async () => {
    expect(await message(new Uint8Array())).toBe('expected an image (PNG, JPEG, WebP, TIFF, GIF or AVIF) but the file is empty (0 bytes)');
    expect(await message(Buffer.from('not an image\n'))).toBe('expected an image (PNG, JPEG, WebP, TIFF, GIF or AVIF) but the file holds text: "not an image\\n"');
    expect(await message(Uint8Array.of(1, 2, 3, 250, 251, 252, 0, 9, 8))).toMatch(/but the file begins with the bytes 010203fafbfc0009, which is none$/);
  });
  it('a bomb, by its header, before a pixel is decoded', async () => {
    const bomb = blackPng(30_000, 30_000);
    const before = performance.now();
    expect(await message(bomb)).toBe('expected at most 100000000 pixels but the header announces 30000 x 30000');
    expect(performance.now() - before).toBeLessThan(2000);
  });
  it('is an error with the path and the cause', async () => {
    const cause = await decodeImage(new Uint8Array(), whole).catch((error: unknown) => error);
    expect(decodeError('a/b.png', cause)).toMatchObject({ _tag: 'DecodeError', subject: 'a/b.png', message: 'a/b.png: expected an image (PNG, JPEG, WebP, TIFF, GIF or AVIF) but the file is empty (0 bytes)', cause });
  });
});

describe('isSameAspect', () => {
  it.each([[[100, 75], [400, 300], true], [[100, 75], [401, 300], true], [[400, 300], [100, 75], true], [[33, 25], [66, 49], true], [[100, 75], [400, 310], false], [[100, 75], [75, 100], false], [[1, 1], [40, 20], false], [[1024, 768], [1024, 770], false]] as const)(
    '%j and %j: %s', (one, other, same) => { expect(isSameAspect(one, other)).toBe(same); },
  );
});
