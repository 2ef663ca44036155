/**
 * Whether a memory of past fakes steadies an adversarial decoder: the same pretrained student is trained on against a critic without a memory and with each kind, over
 * several seeds, and its distance from the images is followed.
 * Run: npm run bench -- replay [--seeds 4] [--first 0] [--steps 120] [--pretrain 300] [--size 32] [--gan 0.5] [--data fixtures/splats]
 * Prints, per kind, means and standard deviations over seeds: PSNR at the end, how far the decoder's mean squared error swings (the standard deviation of its logarithm to
 * base 10 in the second half), and its worst value over that of the pretrained student.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { taesd } from '../pipelines/taesd.ts';
import { controlPanel } from '../src/run/control.ts';
import { datasetsOnDisk } from '../src/run/datasets.ts';
import { runMethod } from '../src/run/runPipeline.ts';
import { type LogRecord, readLog } from '../src/run/runLog.ts';

const kinds = ['none', 'classic', 'seraena'] as const;

/** Mean and standard deviation, as text. */
const spread = (values: readonly number[], digits: number): string => {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, values.length - 1));
  return `${mean.toFixed(digits)} +- ${deviation.toFixed(digits)}`;
};

/** What a run's log says of its stability. @param start mean squared error of the student it began from */
const stabilityOf = (records: readonly LogRecord[], start: number): Readonly<{ psnr: number; swing: number; worst: number }> => {
  const distances = records.map((record) => record['decoder.distance'] as number);
  const half = distances.slice(Math.floor(distances.length / 2)).map(Math.log10);
  const mean = half.reduce((a, b) => a + b, 0) / half.length;
  return {
    psnr: records.at(-1)?.['val.psnr'] as number, worst: Math.max(...distances) / start,
    swing: Math.sqrt(half.reduce((sum, value) => sum + (value - mean) ** 2, 0) / half.length),
  };
};

export const main = async (options: readonly string[]): Promise<number> => {
  const { values } = parseArgs({ args: [...options], options: { seeds: { type: 'string', default: '4' }, first: { type: 'string', default: '0' }, steps: { type: 'string', default: '120' }, pretrain: { type: 'string', default: '300' }, size: { type: 'string', default: '32' }, gan: { type: 'string', default: '0.5' }, data: { type: 'string', default: 'fixtures/splats' } } });
  const folder = await mkdtemp(join(tmpdir(), 'millrace-replay-'));
  /** Trains one run; its log, one record a step. */
  const train = async (name: string, steps: string, seed: number, flags: readonly string[], settings: readonly string[]): Promise<LogRecord[]> => {
    const small = ['student.width=16', 'gan.base=16', 'gan.layers=1', 'guard.on=false', 'track.logEvery=1', `track.sampleEvery=${steps}`, `track.validateEvery=${steps}`, `track.saveEvery=${steps}`];
    const lines: string[] = [];
    const code = await runMethod(taesd, ['--data', values.data, '--size', values.size, '--batch', '4', '--steps', steps, '--seed', `${seed}`, '--out', join(folder, name), ...flags, ...[...small, ...settings].flatMap((setting) => ['--set', setting])],
      { datasets: datasetsOnDisk, report: { line: (text) => { lines.push(text); }, bar: () => {}, end: () => {} }, panel: controlPanel(), script: 'pipelines/taesd.ts' });
    if (code !== 0) throw new Error(lines.join('\n'));
    return readLog(join(folder, name, 'taesd', 'latest', 'metrics.jsonl'));
  };
  try {
    const found: Record<(typeof kinds)[number], ReturnType<typeof stabilityOf>[]> = { none: [], classic: [], seraena: [] };
    for (let seed = Number(values.first); seed < Number(values.first) + Number(values.seeds); seed++) {
      const records = await train(`pretrained${seed}`, values.pretrain, seed, [], ['recipe=mse', 'optim.lr=3e-3']);
      const last = records.slice(-20).map((record) => record['decoder.distance'] as number);
      const start = last.reduce((a, b) => a + b, 0) / last.length;
      for (const kind of kinds) {
        const one = stabilityOf(await train(`${kind}${seed}`, values.steps, seed, ['--init', join(folder, `pretrained${seed}`, 'taesd', 'latest')], ['recipe=v1.0', `loss.gan=${values.gan}`, `gan.replay=${kind}`, 'optim.lr=1e-3']), start);
        found[kind].push(one);
        console.log(`seed ${seed}, ${kind.padEnd(8)} PSNR ${one.psnr.toFixed(2)} dB, swing ${one.swing.toFixed(3)}, worst ${one.worst.toFixed(2)} (pretrained: ${(records.at(-1)?.['val.psnr'] as number).toFixed(2)} dB)`);
      }
    }
    for (const kind of kinds) console.log(`${kind.padEnd(8)} PSNR ${spread(found[kind].map(({ psnr }) => psnr), 2)} dB  swing ${spread(found[kind].map(({ swing }) => swing), 3)}  worst ${spread(found[kind].map(({ worst }) => worst), 2)}`);
    return 0;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};
if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
