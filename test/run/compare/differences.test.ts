import { describe, expect, it } from 'vitest';
import { niceTicks } from '../../../src/run/compare/chart.ts';
import { sharedBatches } from '../../../src/run/compare/comparison.ts';
import { contenders, difference, isBetter, verdictOf } from '../../../src/run/compare/differences.ts';
import { html, raw } from '../../../src/run/compare/html.ts';
import type { ImageScores } from '../../../src/run/metrics.ts';
import { comparison } from './comparison.ts';

const psnr = { name: 'PSNR', isHigherBetter: true };
const scores = (...values: number[]): ImageScores[] => values.map((PSNR) => ({ PSNR }));

describe('differences', () => {
  it('puts each method at its best number of steps, the best first, and baselines last', () => {
    expect(contenders(comparison(), psnr).map(({ label, steps }) => [label, steps])).toEqual([['flow', '2 steps'], ['<b>bad</b>', '1 step'], ['copy the source', '']]);
  });

  it('knows which way is better', () => {
    expect([isBetter(psnr, 2, 1), isBetter(psnr, 1, 2), isBetter({ isHigherBetter: false }, 1, 2), isBetter(psnr, 1, NaN), isBetter(psnr, NaN, 1)]).toEqual([true, false, true, true, false]);
    expect(verdictOf(psnr, { mean: 1, low: 0.5, high: 2 })).toBe('better');
    expect(verdictOf({ isHigherBetter: false }, { mean: 1, low: 0.5, high: 2 })).toBe('worse');
    expect(verdictOf(psnr, { mean: 1, low: -0.5, high: 2 })).toBe('open');
    expect(verdictOf(psnr, { mean: -1, low: -2, high: -0.1 })).toBe('worse');
  });

  it('says nothing of scores that are not finite', () => {
    expect(difference(scores(1, Infinity), scores(1, 2), 'PSNR', 0)).toBeUndefined();
    expect(difference(scores(3, 4), scores(1, 2), 'PSNR', 0)).toEqual({ mean: 2, low: 2, high: 2 });
  });
});

describe('sharedBatches', () => {
  it('counts equal batches from the beginning, as far as all runs go', () => {
    expect(sharedBatches([[['a'], ['b'], ['c']], [['a'], ['b']]])).toEqual({ same: 2, common: 2 });
    expect(sharedBatches([[['a'], ['b'], ['c']], [['a'], ['x'], ['c']]])).toEqual({ same: 1, common: 3 });
  });
});

describe('niceTicks', () => {
  it.each([[0, 10, [0, 2, 4, 6, 8, 10]], [7.1, 22.4, [10, 15, 20]], [0.11, 0.29, [0.15, 0.2, 0.25]], [-1, 1, [-1, -0.5, 0, 0.5, 1]], [3, 3, [3]]])('%d to %d', (low, high, ticks) => {
    expect(niceTicks(low, high)).toEqual(ticks);
  });
});

describe('html', () => {
  it('escapes all that is not markup', () => {
    expect(html`<p title="${'"&\''}">${'<i>'} ${1} ${raw('<br>')}${[html`<b>${'&'}</b>`]}${undefined}</p>`.html).toBe('<p title="&quot;&amp;&#39;">&lt;i&gt; 1 <br><b>&amp;</b></p>');
  });
});
