/** A number that changes over a run, as a function of how far it is. */
export type Course = (at: number) => number;

/**
 * From one value to another along half a cosine, then constant: v = from + (1 - cos(pi n / over)) / 2 * (to - from).
 * @param options.over how long it takes, in the unit it is asked in (images, steps); 0 is at the end at once
 * @param options.warmUp a linear rise from 0 to `from` that comes first, within `over`
 * @throws RangeError when a number is not finite, or a length is negative
 * @source brownvc/R3GAN, `training_loop.py`, cosine_decay_with_warmup
 */
export const cosineCourse = ({ from, to, over, warmUp = 0 }: { from: number; to: number; over: number; warmUp?: number }): Course => {
  for (const [name, value] of Object.entries({ from, to, over, warmUp })) {
    if (!Number.isFinite(value)) throw new RangeError(`cosineCourse: expected ${name} to be a finite number but received ${value}`);
  }
  if (over < 0 || warmUp < 0) throw new RangeError(`cosineCourse: expected over and warmUp to be at least 0 but received ${over} and ${warmUp}`);
  return (at) => {
    if (at < warmUp) return from * at / warmUp;
    return at >= over ? to : from + (0.5 - 0.5 * Math.cos(Math.PI * (at - warmUp) / (over - warmUp))) * (to - from);
  };
};
