/** A comparison that was never run: two methods and a baseline on three pairs, with names that try to be markup. */
import type { Comparison, Entry } from '../../../src/run/compare/comparison.ts';
import type { ImageScores } from '../../../src/run/metrics.ts';
import type { BaseConfig } from '../../../src/run/method.ts';

export const attack = '"><script>window.attacked = true</script><img src=x onerror="window.attacked = true">';
const size = 8;
/** One colour all over, in [-1, 1]. */
const flat = (red: number, green: number, blue: number): Float32Array => Float32Array.from({ length: size * size * 3 }, (_, i) => [red, green, blue][i % 3] as number);
const [red, green, blue, white, black] = [flat(1, -1, -1), flat(-1, 1, -1), flat(-1, -1, 1), flat(1, 1, 1), flat(-1, -1, -1)];
const scores = (psnr: number): ImageScores[] => [0, 1, 2].map((i) => ({ PSNR: psnr + i / 10, SSIM: psnr / 40 }));

const entry = (label: string, psnr: number, steps: readonly number[], config: object): Entry => ({
  label, method: label, summary: '', ignored: [], folder: 'runs/x', config: config as BaseConfig, steps: 40, seconds: 12, secondsPerStep: 0.3, startUp: 2, images: 160, parameters: { denoiser: 173_715, critic: 950 },
  curve: [1, 2, 3].map((i) => ({ step: 10 * i, images: 40 * i, seconds: 3 * i, psnr: psnr - 3 + i, ssim: 0.5 })),
  results: steps.map((calls, i) => ({ steps: calls, scores: scores(psnr + i), msPerImage: 10 * calls, pictures: [green, blue] })),
  refused: steps.length > 1 ? [] : [{ steps: 2, why: 'expected one step' }],
});

export const comparison = (): Comparison => ({
  made: '2026-01-02T03:04:05.000Z', command: `node pipelines/compare.ts ${attack}`, engine: 'test', dataset: 'three pairs', size, seed: 0, budget: '40 steps each',
  metrics: [{ name: 'PSNR', unit: 'dB', isHigherBetter: true, digits: 2 }, { name: 'SSIM', unit: '', isHigherBetter: true, digits: 4 }],
  pairs: ['first', attack, 'third'], shown: [{ id: 'first', source: red, target: white }, { id: attack, source: black, target: white }],
  baselines: [{ label: 'copy the source', scores: scores(18), pictures: [red, black] }],
  entries: [entry('flow', 20, [1, 2], { seed: 0, network: { base: 16 }, flow: { from: attack } }), entry('<b>bad</b>', 19, [1], { seed: 0, network: { base: 8 } })],
  sameBatches: 40, commonBatches: 40, failures: [],
});
