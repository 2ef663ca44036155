/** Where a batch can be, from its names to its end; each moment of a run is spent waiting for one of them. */
export const stages = ['decode', 'augment', 'upload', 'engine', 'disk'] as const;
export type Stage = (typeof stages)[number];

/** Attributes wall time to one stage at a time. */
export type StageClock = Readonly<{
  /** From now on time belongs to `stage`; to nobody when undefined. */
  enter: (stage: Stage | undefined) => void;
  /** Gives what `stage` took since this was last called for it to several stages, in these proportions; leaves it where they are all 0. */
  divide: (stage: Stage, among: Readonly<Partial<Record<Stage, number>>>) => void;
  /** Seconds by stage, up to now. */
  seconds: () => Readonly<Record<Stage, number>>;
}>;

/** @param now milliseconds on a clock that does not go back */
export const stageClock = (now: () => number): StageClock => {
  const spent: Record<Stage, number> = { decode: 0, augment: 0, upload: 0, engine: 0, disk: 0 };
  const divided: Record<Stage, number> = { ...spent };
  let current: Stage | undefined;
  let since = now();
  const enter = (stage: Stage | undefined): void => {
    const time = now();
    if (current !== undefined) spent[current] += (time - since) / 1000;
    since = time;
    current = stage;
  };
  const divide: StageClock['divide'] = (stage, among) => {
    enter(current);
    const whole = stages.reduce((sum, part) => sum + (among[part] ?? 0), 0);
    const taken = spent[stage] - divided[stage];
    if (whole > 0) {
      spent[stage] -= taken;
      for (const part of stages) spent[part] += taken * (among[part] ?? 0) / whole;
    }
    divided[stage] = spent[stage];
  };
  return { enter, divide, seconds: () => { enter(current); return { ...spent }; } };
};

/** Share of the time from which on an engine counts as fed. */
const fed = 0.9;

/**
 * What to speed up: the engine where it had work nearly all the time, otherwise what it waited for longest; the earlier one of two equals. Since batches are
 * prepared beside the engine, waiting for them at all means that preparing one takes longer than training on it, however long the engine works in between.
 */
export const bottleneckOf = (seconds: Readonly<Record<Stage, number>>): Stage => {
  const total = stages.reduce((sum, stage) => sum + seconds[stage], 0);
  if (seconds.engine >= fed * total) return 'engine';
  return stages.filter((stage) => stage !== 'engine').reduce((worst, stage) => (seconds[stage] > seconds[worst] ? stage : worst));
};
