/** When an adversarial run counts as diverged, as a pure rule on the numbers it reports. */

export type DivergenceRules = Readonly<{
  /** Share of the running loss that a step keeps. */
  smoothing: number;
  /** How many times its best the running loss may be. */
  tolerance: number;
  /** Steps in a row beyond that. */
  patience: number;
  /** Steps at the start, and after each return, that are not judged. */
  warmUp: number;
  /** Every so many steps the weights are kept, unless the running loss is more than `sound` times its best. */
  every: number;
  sound: number;
  /** What the adversarial weight is multiplied by at each return. */
  lower: number;
  /** Returns before the run gives up. */
  most: number;
}>;

export const divergenceRules: DivergenceRules = { smoothing: 0.98, tolerance: 1.5, patience: 50, warmUp: 100, every: 100, sound: 1.1, lower: 0.5, most: 5 };

/** All that the rule remembers, as numbers. */
export type Watch = Readonly<{
  running: number;
  best: number;
  /** Steps in a row beyond tolerance. */
  beyond: number;
  /** Steps since the start or the last return. */
  age: number;
  returns: number;
  /** What the adversarial term is multiplied by. */
  weight: number;
}>;

export const freshWatch: Watch = { running: 0, best: Infinity, beyond: 0, age: 0, returns: 0, weight: 1 };

/** What is to be done after a step: nothing, keep the weights as good, go back to the kept ones, or stop the run. */
export type Verdict = 'go on' | 'keep' | 'go back' | 'give up';

/** @throws RangeError naming the rule that is out of range */
export const checkRules = (rules: DivergenceRules): void => {
  const share = (x: number): boolean => x >= 0 && x < 1;
  const wanted: Readonly<Record<keyof DivergenceRules, readonly [fits: (x: number) => boolean, expected: string]>> = {
    smoothing: [share, 'in [0, 1)'], tolerance: [(x) => x > 1, 'above 1'], sound: [(x) => x >= 1, 'at least 1'], lower: [share, 'in [0, 1)'],
    patience: [(x) => x >= 1, 'at least 1'], warmUp: [(x) => x >= 0, 'at least 0'], every: [(x) => x >= 1, 'at least 1'], most: [(x) => x >= 0, 'at least 0'],
  };
  for (const [name, [fits, expected]] of Object.entries(wanted)) {
    const value = rules[name as keyof DivergenceRules];
    if (!fits(value)) throw new RangeError(`divergence: expected ${name} to be ${expected} but received ${value}`);
  }
};

/**
 * Judges one step. The loss watched is a reconstruction: an adversarial loss says nothing about quality.
 * @param loss of this step; one that is not a number counts as beyond tolerance
 */
export const judgeStep = (rules: DivergenceRules, watch: Watch, loss: number): Readonly<{ watch: Watch; verdict: Verdict }> => {
  const age = watch.age + 1;
  const finite = Number.isFinite(loss);
  // Rounded as a checkpoint stores it, so that a resumed run judges alike.
  const running = Math.fround(!finite ? watch.running : age === 1 ? loss : watch.running * rules.smoothing + loss * (1 - rules.smoothing));
  if (age <= rules.warmUp) return { watch: { ...watch, running, age, beyond: 0 }, verdict: 'go on' };
  const best = Math.min(watch.best, running);
  const beyond = !finite || running > rules.tolerance * best ? watch.beyond + 1 : 0;
  const next: Watch = { ...watch, running, best, beyond, age };
  if (beyond < rules.patience) return { watch: next, verdict: age % rules.every === 0 && finite && running <= rules.sound * best ? 'keep' : 'go on' };
  if (watch.returns >= rules.most) return { watch: next, verdict: 'give up' };
  return { watch: { ...next, running: 0, beyond: 0, age: 0, returns: watch.returns + 1, weight: Math.fround(watch.weight * rules.lower) }, verdict: 'go back' };
};
