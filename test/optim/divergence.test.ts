import { describe, expect, it } from 'vitest';
import { type DivergenceRules, type Verdict, type Watch, checkRules, divergenceRules, freshWatch, judgeStep } from '../../src/optim/divergence.ts';

const rules: DivergenceRules = { ...divergenceRules, smoothing: 0, tolerance: 2, patience: 3, warmUp: 2, every: 5, most: 1 };
const follow = (losses: readonly number[], from: Watch = freshWatch, given = rules): { verdicts: Verdict[]; watch: Watch } => {
  let watch = from;
  const verdicts = losses.map((loss) => { const judged = judgeStep(given, watch, loss); ({ watch } = judged); return judged.verdict; });
  return { verdicts, watch };
};
const still = (n: number): Verdict[] => new Array<Verdict>(n).fill('go on');

describe('the divergence rule', () => {
  it('keeps sound weights now and then', () => {
    expect(follow([1, 1, 1, 1, 1, 1, 1, 1, 1, 1]).verdicts).toEqual([...still(4), 'keep', ...still(4), 'keep']);
    // 1.2 times the best is not sound.
    expect(follow([1, 1, 1, 1, 1.2]).verdicts).toEqual(still(5));
  });

  it('goes back after so many steps in a row beyond tolerance, and lowers the weight', () => {
    const { verdicts, watch } = follow([1, 1, 1, 3, 3, 1, 3, 3, 3]);
    expect(verdicts).toEqual([...still(8), 'go back']);
    expect(watch).toEqual({ running: 0, best: 1, beyond: 0, age: 0, returns: 1, weight: 0.5 });
  });

  it('does not judge the start, nor the steps after a return', () => {
    expect(follow([9, 9, 1, 1, 1]).verdicts).toEqual([...still(4), 'keep']);
    const back = follow([1, 1, 1, 3, 3, 3]).watch;
    expect(follow([3, 3, 1.5, 1.5], back).verdicts).toEqual(still(4));
  });

  it('gives up after so many returns', () => {
    const back = follow([1, 1, 1, 3, 3, 3]).watch;
    expect(follow([3, 3, 3, 3, 3], back).verdicts).toEqual([...still(4), 'give up']);
  });

  it('takes what is no number for beyond tolerance, and forgets it', () => {
    expect(follow([1, 1, 1, NaN, Infinity, NaN]).verdicts).toEqual([...still(5), 'go back']);
    expect(follow([1, 1, 1, NaN, 1]).watch.running).toBe(1);
  });

  it('smooths what it watches', () => {
    const { watch } = follow([1, 3], freshWatch, { ...rules, smoothing: 0.75 });
    expect(watch.running).toBe(1.5);
  });

  it('names the rule that is out of range', () => {
    expect(() => checkRules(divergenceRules)).not.toThrow();
    expect(() => checkRules({ ...rules, tolerance: 1 })).toThrow('divergence: expected tolerance to be above 1 but received 1');
    expect(() => checkRules({ ...rules, lower: 1 })).toThrow('divergence: expected lower to be in [0, 1) but received 1');
    expect(() => checkRules({ ...rules, patience: 0 })).toThrow(RangeError);
  });
});
