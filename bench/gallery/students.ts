/**
 * Figures of trained students (runs of pipelines/taesd.ts), or of other autoencoders: latent error and reconstruction scores along training, and held-out images beside
 * what each run makes of them, with their sharpness.
 * Run: node bench/gallery/students.ts --runs="MSE alone=runs/taesd/<id>,adversarial=runs/taesd/<id>" [--out=docs/gallery/taesd] [--images=4] [--zoom=3]
 * Writes <out>-latents.svg, <out>-psnr.svg, <out>-ssim.svg and <out>.png; prints scores, and each run's sharpness over that of the images.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { reconstructionOf } from '../../src/data/reconstruction.ts';
import { sharpness } from '../../src/losses/sharpness.ts';
import { type Series, lineChart } from '../../src/run/compare/chart.ts';
import { datasetsOnDisk } from '../../src/run/datasets.ts';
import { readGiven } from '../../src/run/given.ts';
import { heldOutOf } from '../../src/run/heldOut.ts';
import type { Translate } from '../../src/run/method.ts';
import { unwrap } from '../../src/run/orThrow.ts';
import { runOf } from '../../src/run/restore.ts';
import { type LogRecord, readLog } from '../../src/run/runLog.ts';
import { latentFiles, workingSpace } from '../../src/run/space.ts';
import { toBytes } from '../../src/run/strip.ts';
import { findTrained, withTrained } from '../../src/run/trainedRun.ts';
import { heldOutKey, scoreModel, stackImages, translateImages } from '../../src/run/validation.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';

const { values: { runs: named, out, images: count, zoom } } = parseArgs({ options: { runs: { type: 'string' }, out: { type: 'string', default: 'docs/gallery/taesd' }, images: { type: 'string', default: '4' }, zoom: { type: 'string', default: '3' } } });
if (!named) throw new TypeError('usage: node bench/gallery/students.ts --runs="label=run,label=run" [--out=docs/gallery/taesd] [--images=4] [--zoom=3]');

const colours = ['#0069b4', '#d1520c', '#0a8f6a', '#b8479a', '#b98a00'] as const;

/** A page's chart as a file of its own, on white. */
const fileOf = (chart: string): string => {
  const svg = /<svg[\s\S]*<\/svg>/.exec(chart)?.[0] ?? '';
  const style = 'text{font:12px system-ui,sans-serif;fill:#646a73}.rule{stroke:#e3e5e9}.guide{stroke:#646a73;stroke-dasharray:5 4}polyline{fill:none;stroke:currentColor;stroke-width:2}circle{fill:currentColor}';
  return `${svg.replace('<svg ', '<svg xmlns="http://www.w3.org/2000/svg" ').replace(/(<svg[^>]*>)/, `$1<style>${style}</style><rect width="100%" height="100%" fill="#fff"/>`)}\n`.replaceAll(/var\(--c(\d)\)/g, (_, i: string) => colours[Number(i) % colours.length] as string);
};

/** Labels of the series, in their colours, above the plot. */
const withLegend = (svg: string, labels: readonly string[]): string =>
  svg.replace('</svg>', `${labels.map((label, i) => `<text x="${60 + i * 170}" y="11" style="fill:${colours[i % colours.length]};font-weight:600">${label}</text>`).join('')}</svg>`);

const seriesOf = (logs: readonly Readonly<{ label: string; records: readonly LogRecord[] }>[], metric: string): Series[] => logs.map(({ label, records }) => ({
  label, points: records.flatMap((record) => (typeof record[metric] === 'number' ? [[record.step + 1, record[metric] as number] as const] : [])),
}));

await tf.startEngine();
type Teacher = Parameters<typeof workingSpace>[0];
type Made = Readonly<{ label: string; images: readonly Float32Array[]; psnr: number; ssim: number; sharpness: number }>;
const [made, logs]: [Made[], { label: string; records: LogRecord[] }[]] = [[], []];
let shown: readonly Float32Array[] = [];
let side = 0;

/** Mean sharpness of images. */
const sharpnessOf = async (images: readonly Float32Array[]): Promise<number> => {
  const values = tf.tidy(() => tf.mean(sharpness(stackImages(images, [side, side]))));
  const [mean] = await values.data();
  values.dispose();
  return mean as number;
};

for (const [i, one] of named.split(',').entries()) {
  const [label, path] = one.split('=') as [string, string];
  const { run } = await unwrap(runOf(path));
  const records = await readLog(join(run.path, 'metrics.jsonl'));
  logs.push({ label, records });
  const trained = await findTrained(path, { checkpoint: 'latest' });
  const { config, method } = trained;
  side = config.data.size;
  const dataset = reconstructionOf(await unwrap(datasetsOnDisk.open(resolve(config.data.root))), method.reconstructs?.(config) ?? 'targets');
  const heldOut = heldOutOf({ dataset, skippedFiles: { count: 0, add: () => {} }, strict: true }, { size: side });
  const all = await Promise.all((await heldOut.pairs()).map((load) => load()));
  const targets = all.map(({ target }) => target);
  const keys = all.map((_, at) => heldOutKey(config.seed, at));
  const score = async (name: string, translate: Translate): Promise<void> => {
    const scored = await scoreModel(heldOut, translate, { batch: config.data.batch, seed: config.seed });
    const outputs = await translateImages(translate, targets, [side, side], { keys, batch: config.data.batch });
    made.push({ label: name, images: outputs, ...(scored as NonNullable<typeof scored>).scores, sharpness: await sharpnessOf(outputs) / await sharpnessOf(targets) });
  };
  if (i === 0) {
    shown = targets;
    const { teacher } = config as { teacher?: Teacher };
    if (teacher) {
      const space = workingSpace(teacher, await readGiven(latentFiles(teacher)));
      await score('teacher', (image) => space.codec.decode(space.codec.encode(image)));
      free({ space });
    }
  }
  await withTrained(trained, (nets) => score(label, method.translate(nets, config)));
}

await mkdir(dirname(out), { recursive: true });
const labels = logs.map(({ label }) => label);
for (const [name, metric, yLabel] of [['latents', 'encoder.mse', 'mean squared error of latents'], ['psnr', 'val.psnr', 'PSNR, dB'], ['ssim', 'val.ssim', 'SSIM']] as const) {
  const series = seriesOf(logs, metric);
  if (series.every(({ points }) => points.length === 0)) continue;
  const guides = metric === 'encoder.mse' || made[0]?.label !== 'teacher' ? [] : [{ label: 'teacher', y: made[0]?.[name as 'psnr' | 'ssim'] as number }];
  await writeFile(`${out}-${name}.svg`, withLegend(fileOf(lineChart({ title: yLabel, xLabel: 'steps', yLabel, series, guides }).html), labels));
}
const [cells, scale] = [Number(count), Number(zoom)];
const columns = [{ label: 'image', images: shown }, ...made];
const tiles = await Promise.all(columns.flatMap(({ images }, column) => images.slice(0, cells).map(async (image, row) => ({
  input: await sharp(toBytes(image), { raw: { width: side, height: side, channels: 3 } }).resize(side * scale, side * scale, { kernel: 'nearest' }).png().toBuffer(), left: column * (side * scale + 4), top: row * (side * scale + 4),
}))));
await sharp({ create: { width: columns.length * (side * scale + 4) - 4, height: cells * (side * scale + 4) - 4, channels: 3, background: '#fff' } }).composite(tiles).png({ compressionLevel: 9, palette: true, quality: 90 }).toFile(`${out}.png`);
console.log(`columns of ${out}.png: ${columns.map(({ label }) => label).join(', ')}`);
for (const { label, psnr, ssim, sharpness: ratio } of made) console.log(`${label.padEnd(24)} PSNR ${psnr.toFixed(2)} dB  SSIM ${ssim.toFixed(4)}  sharpness ${ratio.toFixed(3)} of the images'`);
setTimeout(() => { process.exit(); }, 500).unref();
