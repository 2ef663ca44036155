import { describe, expect, it } from 'vitest';
import { type Evidence, decide, ownScore, verdictLines } from '../../src/run/straightLine/verdict.ts';

const seen = (scores: Partial<Evidence['line']['scores']>, residual: number): Evidence['line'] => ({
  scores: { reconstruction: 25, upper: 25, identity: 15, shift: 20, oneStep: 19, manySteps: 18, ...scores },
  line: { resultant: 0.9, rankOne: 0.8, rankOneCentred: 0.2, residual, shift: 0.1, effectiveRank: 12, swamping: 0.4 }, straightness: 0.01, crossing: 0.2,
});
/** Evidence on which the idea works and is worth keeping, by the narrowest margin that counts. */
const good: Evidence = {
  kind: 'shift', plain: seen({ manySteps: 20.5, reconstruction: 26 }, 0.9), line: seen({ shift: 20, reconstruction: 25 }, 0.2), shuffled: seen({}, 0.31), direct: 20.5, explained: 0.8,
};
const held = (evidence: Evidence): boolean[] => decide(evidence).criteria.map(({ holds }) => holds);

describe('decide', () => {
  it('lets the idea pass at its margins: 0.5 dB of translation, 1 dB of reconstruction, torn pairs half as much again', () => {
    expect(decide(good)).toMatchObject({ works: true, worthKeeping: true });
    expect(held(good)).toEqual([true, true, true, true]);
  });

  it.each([
    ['translation', { ...good, plain: seen({ manySteps: 20.6, reconstruction: 26 }, 0.9) }, [false, true, true, true]],
    ['reconstruction', { ...good, plain: seen({ manySteps: 20, reconstruction: 26.1 }, 0.9) }, [true, false, true, true]],
    ['torn pairs', { ...good, shuffled: seen({}, 0.29) }, [true, true, false, true]],
  ] as const)('does not work below the margin of %s', (_name, evidence, expected) => {
    expect(held(evidence)).toEqual(expected);
    expect(decide(evidence)).toMatchObject({ works: false, worthKeeping: false });
  });

  it('forgives torn pairs that lie on a line at the price of their reconstruction', () => {
    expect(held({ ...good, shuffled: seen({ reconstruction: 24.9 }, 0.1) })).toEqual([true, true, true, true]);
  });

  it('works, but is not worth keeping, below direct regression', () => {
    expect(decide({ ...good, direct: 20.6 })).toMatchObject({ works: true, worthKeeping: false });
  });

  it('judges a straight flow by one step, the others by the shift', () => {
    expect((['shift', 'direction', 'oneLine', 'flow'] as const).map((kind) => ownScore(kind, good.line))).toEqual([20, 20, 20, 19]);
    expect(held({ ...good, kind: 'flow' })).toEqual([false, true, true, false]);
  });

  it.each([[0.8, 0.3, 'a deterministic map suffices'], [0.05, 0.3, 'has to be drawn, by a generative model'], [0.3, 0.3, 'in part the target follows'], [0.05, 0.05, 'next to nothing is left']])(
    'reads a residual that is explained to %d and of share %d', (explained, residual, text) => {
      expect(decide({ ...good, explained, line: seen({}, residual) }).reading).toContain(text);
    });

  it('says so in lines', () => {
    expect(verdictLines(decide(good), good, 16)[0]).toBe('straight line (shift), on 16 held-out pairs: it works, and is worth keeping');
    expect(verdictLines(decide({ ...good, direct: 30 }), good, 16)[0]).toBe('straight line (shift), on 16 held-out pairs: it works, but is not worth keeping');
    const bad = verdictLines(decide({ ...good, shuffled: seen({}, 0.1) }), good, 16);
    expect(bad[0]).toBe('straight line (shift), on 16 held-out pairs: it does not work');
    expect(bad[3]).toMatch(/^ {2}no {3}torn pairs leave 0\.100/);
  });
});
