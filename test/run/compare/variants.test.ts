import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { ddpm } from '../../../pipelines/ddpm.ts';
import { flow } from '../../../pipelines/flow.ts';
import { turbo } from '../../../pipelines/turbo.ts';
import { secondsOf } from '../../../src/run/compare/options.ts';
import { type Variant, parseSwap, variantsOf } from '../../../src/run/compare/variants.ts';
import type { AnyMethod } from '../../../src/run/pipelineFiles.ts';

const methods = [ddpm, flow, turbo] as unknown as readonly AnyMethod[];
const right = (result: E.Either<Error, readonly Variant[]>): readonly Variant[] => { if (E.isLeft(result)) throw result.left; return result.right; };
const message = (result: E.Either<Error, unknown>): string => (E.isLeft(result) ? result.left.message : 'no error');

describe('variantsOf', () => {
  it('gives common settings to every method that has the key', () => {
    const variants = right(variantsOf(methods, ['--size', '32', '--seed=7', '--set', 'network.base=8', '--optim.lr=0.01']));
    expect(variants.map(({ label }) => label)).toEqual(['ddpm', 'flow', 'turbo']);
    for (const { config } of variants) expect(config).toMatchObject({ data: { size: 32 }, seed: 7, optim: { lr: 0.01 } });
    expect(variants.map(({ ignored }) => ignored)).toEqual([[], [], ['--set network.base=8']]);
    expect(variants[0]?.config).toMatchObject({ network: { base: 8 } });
  });

  it('makes one variant per value of a swapped key, which may leave out its group', () => {
    const variants = right(variantsOf([methods[0] as AnyMethod], ['--steps', '5'], 'schedule=cosine,linear'));
    expect(variants.map(({ label }) => label)).toEqual(['ddpm cosine', 'ddpm linear']);
    expect(variants.map(({ config }) => (config as unknown as { ddpm: { schedule: string } }).ddpm.schedule)).toEqual(['cosine', 'linear']);
    expect(right(variantsOf(methods, [], 'weighting=none,minSnr')).map(({ label }) => label)).toEqual(['ddpm none', 'ddpm minSnr', 'flow none', 'flow minSnr', 'turbo']);
  });

  it('configures a variant anew, passing over keys it does not have', () => {
    const [variant] = right(variantsOf(methods, ['--steps', '5']));
    expect(variant?.configure({ steps: 9, 'track.saveEvery': 9, 'critic.base': 3 })).toMatchObject({ steps: 9, track: { saveEvery: 9 } });
  });

  it('says what is wrong', () => {
    expect(message(variantsOf(methods, ['--set', 'network.bas=8']))).toBe('--set network.bas=8: none of ddpm, flow, turbo has the key network.bas; did you mean network.base?');
    expect(message(variantsOf(methods, ['--size', 'big']))).toBe('ddpm: data.size (--size): expected an integer at least 8 but received "big"');
    expect(message(variantsOf(methods, ['stray']))).toContain('stray: expected an option');
    expect(message(variantsOf(methods, [], 'optim.rate=1,2'))).toContain('expected a key of ddpm or flow or turbo but received optim.rate');
    expect(message(variantsOf([methods[0] as AnyMethod], []))).toContain('expected at least two methods, or --swap');
  });
});

describe('parseSwap', () => {
  it('reads values, and lists as values', () => {
    expect(parseSwap('weighting=none,minSnr')).toEqual(E.right({ key: 'weighting', values: ['none', 'minSnr'] }));
    expect(parseSwap('network.multipliers=[1,2],[1,2,4]')).toEqual(E.right({ key: 'network.multipliers', values: ['[1,2]', '[1,2,4]'] }));
    expect(message(parseSwap('weighting=none'))).toContain('at least two values');
    expect(message(parseSwap('weighting'))).toContain('expected a key');
  });
});

describe('secondsOf', () => {
  it('reads times', () => { expect(['120s', '5m', '1.5h'].map(secondsOf)).toEqual([120, 300, 5400]); });
});
