/** The progress line: pure functions of what is known after a step. */

/** What the progress line says. */
export type Progress = Readonly<{
  /** Completed steps, and steps of the whole run. */
  step: number;
  steps: number;
  /** Recent speed; undefined until there are two steps to measure between. */
  secondsPerStep: number | undefined;
  imagesPerSecond: number | undefined;
  /** Share of the time in which the engine had work, in 0..1. */
  engineBusy: number;
  /** What the run waits for most. */
  bottleneck: string;
  /** Loss terms, by name. */
  terms: Readonly<Record<string, number>>;
}>;

/** Seconds as people say them: `42s`, `3m 05s`, `2h 07m`, `3d 04h`. */
export const duration = (seconds: number): string => {
  if (!Number.isFinite(seconds)) return '?';
  const pad = (value: number): string => `${value}`.padStart(2, '0');
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${pad(whole % 60)}s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h ${pad(Math.floor(whole / 60) % 60)}m`;
  return `${Math.floor(whole / 86_400)}d ${pad(Math.floor(whole / 3600) % 24)}h`;
};

/** Three significant digits, without an exponent where that stays short. */
export const short = (value: number): string => {
  if (!Number.isFinite(value)) return `${value}`;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(1);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 4);
};

/**
 * The loss terms among a step's metrics. Names are shortened to the term where only one net has it; totals (`loss`), gradient norms and flags are left out
 * for nets that report terms.
 */
export const lossTerms = (metrics: Readonly<Record<string, number>>): Record<string, number> => {
  const parts = Object.entries(metrics).flatMap(([name, value]) => {
    const dot = name.indexOf('.');
    const [net, term] = [name.slice(0, dot), name.slice(dot + 1)];
    return dot < 0 || net === 'val' || term === 'finite' || term === 'gradNorm' ? [] : [{ net, term, value }];
  });
  const kept = parts.filter(({ net, term }) => term !== 'loss' || !parts.some((other) => other.net === net && other.term !== 'loss'));
  return Object.fromEntries(kept.map(({ net, term, value }) => [kept.some((other) => other.term === term && other.net !== net) ? `${net}.${term}` : term, value]));
};

/**
 * The line: share done, step, time to go, speed, how busy the engine is and what it waits for, loss terms; cut to `width`.
 * @param width characters of the terminal; without it nothing is cut and no bar drawn
 */
export const progressLine = ({ step, steps, secondsPerStep, imagesPerSecond, engineBusy, bottleneck, terms }: Progress, width?: number): string => {
  const share = steps > 0 ? step / steps : 1;
  const cells = 16;
  const filled = Math.floor(share * cells);
  const bar = width === undefined ? '' : `[${'='.repeat(filled)}${' '.repeat(cells - filled)}] `;
  const waits = bottleneck === 'engine' ? '' : `, waits for ${bottleneck}`;
  const parts = [
    `${bar}step ${step}/${steps} ${Math.floor(share * 100)}%`,
    secondsPerStep === undefined ? undefined : `ETA ${duration((steps - step) * secondsPerStep)}`,
    imagesPerSecond === undefined ? undefined : `${short(imagesPerSecond)} images/s`,
    `engine ${Math.round(engineBusy * 100)}% busy${waits}`,
    ...Object.entries(terms).map(([name, value]) => `${name} ${short(value)}`),
  ];
  const line = parts.filter((part) => part !== undefined).join('  ');
  return width !== undefined && line.length > width ? `${line.slice(0, Math.max(0, width - 1))}…` : line;
};
