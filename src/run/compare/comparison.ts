/** What a comparison found: the contents of `comparison.json`, and what the report is made from. */
import { join, resolve } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { reconstructionOf } from '../../data/reconstruction.ts';
import { givenNet } from '../../models/net.ts';
import { lpips } from '../../models/lpips.ts';
import { openStateDict } from '../../models/weights/openWeights.ts';
import { fitted } from '../../models/weights/report.ts';
import { ConfigError, DatasetError } from '../../errors.ts';
import { type EngineInfo, forgetGraphs, startEngine } from '../../tf.ts';
import type { ControlPanel } from '../control.ts';
import type { Datasets } from '../datasets.ts';
import { type Evaluation, evaluate, scoreOn } from '../evaluate.ts';
import { heldOutOf, spread } from '../heldOut.ts';
import type { BaseConfig } from '../method.ts';
import { type ImageScores, type Metric, meanOf, metricsFor } from '../metrics.ts';
import { unwrap } from '../orThrow.ts';
import type { AnyMethod } from '../pipelineFiles.ts';
import { duration } from '../progress.ts';
import { skippedFiles } from '../runPipeline.ts';
import type { Terminal } from '../terminal.ts';
import type { DecodedPair } from '../validation.ts';
import { type CompareOptions, secondsOf } from './options.ts';
import { type Trained, stepsWithin, trainVariant, tryNets } from './train.ts';
import type { Variant } from './variants.ts';

export type Entry = Omit<Trained, 'batches'> & Evaluation & Readonly<{ label: string; method: string; summary: string; ignored: readonly string[] }>;

/** What one gets without a network. */
export type Baseline = Readonly<{ label: string; scores: readonly ImageScores[]; pictures: readonly Float32Array[] }>;

export type Comparison = Readonly<{
  made: string;
  command: string;
  engine: string;
  dataset: string;
  size: number;
  seed: number;
  /** `120 s of training each` or `400 steps each`. */
  budget: string;
  metrics: readonly Omit<Metric, 'score'>[];
  /** Names of the held-out pairs, in the order of all scores. */
  pairs: readonly string[];
  /** The pairs that are shown. */
  shown: readonly DecodedPair[];
  baselines: readonly Baseline[];
  entries: readonly Entry[];
  /** Batches from the beginning that had the same images in every run, out of those the shortest run had. */
  sameBatches: number;
  commonBatches: number;
  /** What failed under way, and why; it is in none of the tables. */
  failures: readonly Readonly<{ label: string; why: string }>[];
}>;

/** From the beginning, how many batches are the same in all runs, and how many all of them have. */
export const sharedBatches = (runs: readonly (readonly (readonly string[])[])[]): Readonly<{ same: number; common: number }> => {
  const common = Math.min(...runs.map((batches) => batches.length));
  let same = 0;
  while (same < common && new Set(runs.map((batches) => JSON.stringify(batches[same]))).size === 1) same++;
  return { same, common };
};

const openLpips = async (path: string) => {
  const network = lpips('alex');
  const state = fitted(network, await unwrap(openStateDict(path)), path);
  if (E.isLeft(state)) throw state.left;
  return givenNet(network, state.right);
};

/** The value that all configurations must share, since scores at different ones cannot be compared. */
const common = <T>(variants: readonly Variant[], name: string, of: (config: BaseConfig, method: Variant['method']) => T): T => {
  const values = new Set(variants.map(({ config, method }) => of(config, method)));
  if (values.size > 1) throw new ConfigError(name, `${name}: expected the same in all that are compared but received ${[...values].join(' and ')}`);
  return [...values][0] as T;
};

/**
 * Trains variants one after the other, on the same batches, and scores each on the same held-out pairs with the same noise. A stop ends the training under way;
 * what has been trained so far is scored.
 * @throws MillraceErrors: settings that cannot be compared, a dataset without held-out pairs, weights that do not fit
 */
export const runComparison = async (variants: readonly Variant[], options: Pick<CompareOptions, 'budget' | 'sweep' | 'points' | 'pictures' | 'lpips' | 'out'>, { datasets, report, panel, command }: {
  datasets: Datasets; report: Terminal; panel: ControlPanel; command: string;
}): Promise<Comparison> => {
  const [size, seed, root, batch] = [common(variants, 'data.size', ({ data }) => data.size), common(variants, 'seed', (config) => config.seed), resolve(common(variants, 'data.root', ({ data }) => data.root)), (variants[0] as Variant).config.data.batch];
  const engine: EngineInfo = await startEngine();
  report.line(`engine ${engine.name}, ${engine.device}`);
  const found = await unwrap(datasets.open(root));
  for (const text of datasets.describe(found)) report.line(text);
  common(variants, 'methods', (config, method) => (method.reconstructs ? `methods that reconstruct ${method.reconstructs(config)}` : 'methods that translate pairs'));
  const [{ method: { reconstructs }, config: theirs }] = variants as [Variant];
  const sides = reconstructs?.(theirs) ?? 'pairs';
  const dataset = sides === 'pairs' ? found : reconstructionOf(found, sides);
  const skipped = skippedFiles(report);
  const heldOut = heldOutOf({ dataset, skippedFiles: skipped, strict: false }, { size });
  const pairs = await heldOut.pairs();
  if (pairs.length === 0) throw new DatasetError(root, `${root}: expected held-out pairs to compare on but found none`);
  const given = options.lpips === undefined ? undefined : await openLpips(options.lpips);
  const metrics = metricsFor(size, given);
  const places = spread(pairs.map((_, i) => i), options.pictures);
  const trial = { pairs, size, metrics, batch, shown: places };
  const mean = await heldOut.meanTarget();
  const baselines: Baseline[] = [
    ...(sides === 'pairs' ? [{ label: 'copy the source', ...await scoreOn(trial, (some) => Promise.resolve(some.map(({ source }) => source))) }] : []),
    ...(mean ? [{ label: sides === 'pairs' ? 'mean target' : 'mean image', ...await scoreOn(trial, (some) => Promise.resolve(some.map(() => mean.image))) }] : []),
  ];
  const place = { dataset, engine, out: options.out, control: panel, skippedFiles: skipped, report };
  const entries: Entry[] = [];
  const runs: (readonly (readonly string[])[])[] = [];
  const failures: { label: string; why: string }[] = [];
  for (const variant of variants) await tryNets(variant);
  for (const variant of variants) {
    const { label, method, ignored, config } = variant;
    if (panel.stopCode !== undefined) { report.line(`stopped: ${label} is left out`); continue; }
    if (ignored.length > 0) report.line(`${label} goes without ${ignored.join(', ')}: it has no such key`);
    const limit = options.budget === undefined ? undefined : secondsOf(options.budget);
    try {
      const steps = limit === undefined ? config.steps : await stepsWithin(variant, limit, place);
      report.line(`${label}: ${steps} steps${limit === undefined ? '' : `, about ${duration(limit)} of training`}`);
      // A machine that slows down after the trial must not give one method much more time than another.
      await trainVariant(variant, steps, place, { points: options.points, ...(limit !== undefined && { limit: 1.1 * limit }) }, async (translate, used, { batches, ...trained }) => {
        report.end();
        if (trained.steps === 0) return;
        const evaluation = await evaluate(translate, { ...trial, batch: used.data.batch }, { sweep: options.sweep, seed, multiple: method.multipleOf(used) });
        for (const { steps: calls, scores, msPerImage } of evaluation.results) {
          report.line(`${label}, ${calls ?? 'its own'} step${calls === 1 ? '' : 's'}: ${metrics.map(({ name, digits, unit }) => `${name} ${meanOf(scores, name).toFixed(digits)}${unit && ` ${unit}`}`).join(', ')}, ${msPerImage.toFixed(1)} ms an image`);
        }
        runs.push(batches);
        entries.push({ label, method: method.name, summary: method.summary, ignored, ...trained, ...evaluation });
      });
    } catch (cause) {
      // What the others were trained for is not lost.
      const why = cause instanceof Error ? cause.message : String(cause);
      failures.push({ label, why });
      report.line(`${label} failed and is left out: ${why}`);
    }
    // Else the memory of all methods' graphs would add up.
    forgetGraphs();
  }
  for (const variable of Object.values(given?.constants ?? {})) variable.dispose();
  const { same, common: shared } = sharedBatches(runs);
  const ids: string[] = [];
  for (const load of pairs) ids.push((await load()).id);
  const shown = await Promise.all(places.map((i) => (pairs[i] as (typeof pairs)[number])()));
  return {
    made: new Date().toISOString(), command, engine: `${engine.name}, ${engine.device}`, dataset: `${dataset.train.length} ${sides === 'pairs' ? 'pairs' : 'images'} trained on, ${pairs.length} held out, ${dataset.root}`, size, seed,
    budget: options.budget === undefined ? `${[...new Set(entries.map(({ steps }) => steps))].join(' or ')} steps each` : `about ${options.budget} of training each`,
    metrics: metrics.map(({ score: _, ...metric }) => metric), 
    pairs: ids, shown, baselines, entries, sameBatches: same, commonBatches: entries.length > 0 ? shared : 0, failures,
  };
};

/** Where a comparison's files go. */
export const comparisonFolder = (out: string, made: string): string => join(out, 'compare', made.replace(/[-:]|\.\d+Z$/g, '').replace('T', '-'));
