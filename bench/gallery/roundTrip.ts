/**
 * A photograph through a TAESD autoencoder and back: the photograph, what came back, and four times the difference around grey, side by side.
 * Run: node bench/gallery/roundTrip.ts --encoder=taef2_encoder.safetensors --decoder=taef2_decoder.safetensors --image=photo.png
 *        [--crop=left,top,size] [--out=docs/gallery/taef2.png]
 * Prints the peak signal-to-noise ratio of the clamped reconstruction.
 */
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import * as E from 'fp-ts/lib/Either.js';
import sharp from 'sharp';
import { makeNet, paramsOf } from '../../src/models/net.ts';
import { openTaesd } from '../../src/models/weights/taesdFiles.ts';
import { seeded } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';

const { values } = parseArgs({ options: { encoder: { type: 'string' }, decoder: { type: 'string' }, image: { type: 'string' }, crop: { type: 'string' }, out: { type: 'string', default: 'docs/gallery/taef2.png' } } });
if (!values.encoder || !values.decoder || !values.image) throw new TypeError('usage: node bench/gallery/roundTrip.ts --encoder=<file> --decoder=<file> --image=<file> [--crop=left,top,size] [--out=<png>]');

/** A square crop as RGB bytes; its side is a multiple of the autoencoder's factor. */
const readCrop = async (path: string, crop: string | undefined, factor: number): Promise<Readonly<{ bytes: Buffer; size: number }>> => {
  const { width, height } = await sharp(path).metadata();
  const [left = 0, top = 0, side = Math.min(width, height)] = (crop ?? '').split(',').filter(Boolean).map(Number);
  const size = side - (side % factor);
  return { bytes: await sharp(path).extract({ left, top, width: size, height: size }).removeAlpha().toColourspace('srgb').raw().toBuffer(), size };
};

const loaded = await openTaesd(values.encoder, values.decoder)();
if (E.isLeft(loaded)) throw loaded.left;
const { autoencoder, state } = loaded.right;
await tf.startEngine();
const { bytes, size } = await readCrop(values.image, values.crop, autoencoder.factor);
const net = makeNet(autoencoder, { key: seeded(0), given: state });
const restored = tf.tidy(() => {
  const image = tf.reshape(tf.tensor1d(Float32Array.from(bytes, (byte) => byte / 127.5 - 1)), [1, size, size, 3]) as tf.Tensor4D;
  return tf.add(tf.div(tf.clipByValue(autoencoder.apply(paramsOf(net), image), -1, 1), 2), 0.5);
});
const back = await restored.data() as Float32Array;
const mse = back.reduce((sum, x, i) => sum + (x - (bytes[i] as number) / 255) ** 2, 0) / back.length;
const panel = Buffer.alloc(3 * size * size * 3);
for (let y = 0; y < size; y++) {
  for (let i = 0; i < size * 3; i++) {
    const [from, at] = [(y * size * 3) + i, (y * size * 9) + i];
    const [before, after] = [bytes[from] as number, (back[from] as number) * 255];
    panel[at] = before;
    panel[at + size * 3] = Math.round(after);
    panel[at + size * 6] = Math.min(255, Math.max(0, Math.round(127.5 + 4 * (after - before))));
  }
}
await mkdir(dirname(values.out), { recursive: true });
await sharp(panel, { raw: { width: 3 * size, height: size, channels: 3 } }).png({ compressionLevel: 9 }).toFile(values.out);
console.log(`${size} x ${size} pixels, PSNR ${(-10 * Math.log10(mse)).toFixed(2)} dB, ${values.out}`);
