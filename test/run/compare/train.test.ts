import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { concatMap, map, timer } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type TrainingPlace, stepsWithin, trainVariant } from '../../../src/run/compare/train.ts';
import { type Variant, variantsOf } from '../../../src/run/compare/variants.ts';
import type { AnyMethod } from '../../../src/run/pipelineFiles.ts';
import { controlPanel } from '../../../src/run/control.ts';
import * as tf from '../../../src/tf.ts';
import { leakFree, steps as batches } from '../../support.ts';

let out = '';
beforeAll(async () => { out = await mkdtemp(join(tmpdir(), 'millrace-train-')); });
afterAll(async () => { await rm(out, { recursive: true, force: true }); });

const stepTime = 10;
/** A method whose steps take 10 ms at least, and the last of which it validates. */
const slow = (name: string): AnyMethod => ({
  name,
  summary: '',
  schema: z.object({ data: z.object({ root: z.string().default('none'), size: z.int().default(8), batch: z.int().default(2) }), steps: z.int().default(5), seed: z.int().default(0) }),
  nets: () => ({ made: { variables: { x: tf.tidy(() => tf.variable(tf.scalar(1), false)) } } }),
  train: ({ steps }, run) => {
    const gate = run.gate(2);
    return gate.pull(batches(steps)).pipe(
      gate.inTurn(), concatMap((batch) => timer(stepTime).pipe(map(() => batch))),
      map((batch) => ({ ...batch, metrics: (batch.step + 1 === steps ? { 'val.psnr': 20, 'val.ssim': 0.5 } : {}) as Record<string, number> })), gate.settle(),
    );
  },
  translate: () => (source) => source,
  multipleOf: () => 1,
});
const variant = (): Variant => {
  const made = variantsOf([slow('one'), slow('two')], []);
  if (E.isLeft(made)) throw made.left;
  return made.right[0] as Variant;
};
const place = (): TrainingPlace => ({
  dataset: { validation: [] } as unknown as TrainingPlace['dataset'], engine: { name: 'none', device: 'none', passedOver: [] }, out, control: controlPanel(), skippedFiles: { count: 0, add: () => {} }, report: { line: () => {}, bar: () => {} },
});

describe('trainVariant', () => {
  it('trains to the last step, hands over what came of it, and frees the nets', async () => {
    await leakFree(async () => {
      const trained = await trainVariant(variant(), 5, place(), { points: 1 }, async (_translate, config, found) => { expect(config.steps).toBe(5); return found; });
      expect(trained).toMatchObject({ steps: 5, images: 10, batches: [0, 1, 2, 3, 4].map((step) => [`image${step}`]), curve: [{ step: 5, images: 10, psnr: 20, ssim: 0.5 }] });
      expect(trained.seconds).toBeGreaterThanOrEqual(5 * stepTime / 1000 * 0.8);
    })();
  });

  it('stops when the time is up, and when it is told to', async () => {
    const limited = await trainVariant(variant(), 100_000, place(), { points: 1, limit: 0.1 }, async (_translate, _config, { steps }) => steps);
    expect(limited).toBeLessThan(100);
    const panel = controlPanel();
    panel.requestStop();
    expect(await trainVariant(variant(), 100_000, { ...place(), control: panel }, { points: 1 }, async (_translate, _config, { steps }) => steps)).toBeLessThan(3);
  });
});

describe('stepsWithin', () => {
  it('times a short run and throws it away', async () => {
    const steps = await stepsWithin(variant(), 1, place());
    expect(steps).toBeGreaterThanOrEqual(1);
    expect(steps).toBeLessThanOrEqual(1000 / stepTime * 1.25);
  });
});
