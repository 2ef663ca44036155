/** Where a batch can be, from its names to its end; each moment of a run is spent waiting for one of them. */
export const stages = ['decode', 'augment', 'upload', 'engine', 'disk'] as const;
export type Stage = (typeof stages)[number];

/** Attributes wall time to one stage at a time. */
export type StageClock = Readonly<{
  /** From now on time belongs to `stage`; to nobody when undefined. */
  enter: (stage: Stage | undefined) => void;
  /** Seconds by stage, up to now. */
  seconds: () => Readonly<Record<Stage, number>>;
}>;

/** @param now milliseconds on a clock that does not go back */
export const stageClock = (now: () => number): StageClock => {
  const spent: Record<Stage, number> = { decode: 0, augment: 0, upload: 0, engine: 0, disk: 0 };
  let current: Stage | undefined;
  let since = now();
  const enter = (stage: Stage | undefined): void => {
    const time = now();
    if (current !== undefined) spent[current] += (time - since) / 1000;
    since = time;
    current = stage;
  };
  return { enter, seconds: () => { enter(current); return { ...spent }; } };
};

/** The stage that held things up longest; the earlier one of two equals. */
export const bottleneckOf = (seconds: Readonly<Record<Stage, number>>): Stage =>
  stages.reduce((worst, stage) => (seconds[stage] > seconds[worst] ? stage : worst));
