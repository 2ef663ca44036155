/** Training time without what is done beside training. */
export type Stopwatch = Readonly<{
  /**
   * Notes that a step has ended.
   * @param at milliseconds on a clock that does not go back @param isPlain whether nothing but training was done since the last mark
   */
  mark: (at: number, isPlain: boolean) => void;
  /** Seconds of all steps so far. */
  readonly seconds: number;
  /** Mean over the plain steps. */
  readonly secondsPerStep: number;
  /** What the first step took beyond an ordinary one, in seconds: graphs are compiled, workers start. */
  readonly startUp: number;
}>;

/**
 * Counts the seconds of training: each step counts as the mean of the plain ones, so neither the first step's start-up nor validations, samples and
 * checkpoints on the way count. Where no step was plain, all time counts.
 * @param begun when training began, in milliseconds
 */
export const stopwatch = (begun: number): Stopwatch => {
  let [last, steps, plain, plainTime, first] = [begun, 0, 0, 0, 0];
  const secondsPerStep = (): number => (plain > 0 ? plainTime / plain : (last - begun) / Math.max(1, steps)) / 1000;
  return {
    mark: (at, isPlain) => {
      if (steps === 0) first = at - last;
      else if (isPlain) { plain++; plainTime += at - last; }
      steps++;
      last = at;
    },
    get seconds() { return steps * secondsPerStep(); },
    get secondsPerStep() { return secondsPerStep(); },
    get startUp() { return Math.max(0, first / 1000 - secondsPerStep()); },
  };
};
