/** How an average of weights forgets. Decay: the share of the old average that an update keeps. */

/** Diffusers' warm-up: (1 + n) / (10 + n), or 1 - (1 + n / invGamma)^-power, within [min, decay]; 0 at first. @param update updates made, this one included @source huggingface/diffusers, EMAModel.get_decay */
export const warmedDecay = (update: number, { decay = 0.9999, min = 0, updateAfter = 0, warmup = false, invGamma = 1, power = 2 / 3 }: {
  decay?: number; min?: number; updateAfter?: number; warmup?: boolean; invGamma?: number; power?: number;
} = {}): number => {
  const step = Math.max(0, update - updateAfter - 1);
  if (step <= 0) return 0;
  return Math.max(min, Math.min(decay, warmup ? 1 - (1 + step / invGamma) ** -power : (1 + step) / (10 + step)));
};

/** Consistency training's target decay and number of scales at a step. @source Song et al. 2023, arXiv 2303.01469, section 5; openai/consistency_models, create_ema_and_scales_fn */
export const consistencySchedule = (step: number, { emaMode, startEma, scaleMode, startScales, endScales, totalSteps, distillSteps = 50_000 }: {
  emaMode: 'fixed' | 'adaptive'; startEma: number; scaleMode: 'fixed' | 'progressive' | 'progdist'; startScales: number; endScales: number; totalSteps: number; distillSteps?: number;
}): Readonly<{ ema: number; scales: number }> => {
  if (scaleMode === 'progressive') {
    const scales = Math.max(1, Math.ceil(Math.sqrt((step / totalSteps) * ((endScales + 1) ** 2 - startScales ** 2) + startScales ** 2) - 1));
    return { ema: emaMode === 'fixed' ? startEma : Math.exp((Math.log(startEma) * startScales) / scales), scales: scales + 1 };
  }
  if (emaMode === 'adaptive') throw new RangeError('consistencySchedule: expected progressive scales with an adaptive decay but received ' + scaleMode);
  if (scaleMode === 'fixed') return { ema: startEma, scales: startScales };
  const scales = Math.max(2, Math.floor(startScales / 2 ** Math.floor(step / distillSteps)));
  const past = Math.floor(Math.max(0, step - distillSteps * (Math.log2(startScales) - 1)) / (distillSteps * 2));
  return { ema: 1, scales: scales === 2 ? Math.max(1, Math.floor(2 / 2 ** past)) : scales };
};

/** Relative width of the profile t^exponent. @source Karras et al. 2024 (EDM2), arXiv 2312.02696, eq. 126 */
export const widthOf = (exponent: number): number => Math.sqrt((exponent + 1) / (exponent + 2) ** 2 / (exponent + 3));

/**
 * The exponent of a relative width: the largest real root of x^3 + 7 x^2 + (16 - w^-2) x + (12 - w^-2).
 * @throws RangeError outside (0, 0.2886...), where the profile would not fall towards the past (exponent > 0 down to a flat one)
 * @source arXiv 2312.02696, algorithm 2
 */
export const exponentOf = (width: number): number => {
  const s = width ** -2;
  if (!(width > 0) || !(s >= 12)) throw new RangeError(`exponentOf: expected a relative width in (0, ${(12 ** -0.5).toFixed(4)}] but received ${width}`);
  const f = (x: number): number => ((x + 7) * x + 16 - s) * x + 12 - s;
  let low = 0;
  let high = Math.sqrt(s);
  for (let i = 0; i < 200; i++) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) break;
    if (f(middle) < 0) low = middle;
    else high = middle;
  }
  return f(0) === 0 ? 0 : (low + high) / 2;
};

/** The decay of one update: (1 - delta / next)^(exponent + 1). @param next images seen after the update @param delta images of the update @source arXiv 2312.02696, eq. 127 */
export const powerDecay = (width: number, next: number, delta: number): number => (1 - delta / next) ** (exponentOf(width) + 1);

/** The weights a profile of width `width` at time `at` gives to times 0..length-1; they sum to 1. */
export const powerResponse = (at: number, width: number, length: number): Float64Array => {
  const exponent = exponentOf(width);
  const raw = Float64Array.from({ length }, (_, t) => (t <= at ? ((t / at) ** exponent / at) * (exponent + 1) : 0));
  const sum = raw.reduce((a, b) => a + b, 0);
  return raw.map((value) => value / sum);
};

/** A stored or wanted average: when (in images), and its relative width. */
export type Profile = Readonly<{ at: number; width: number }>;

/** Inner product of two profiles. @source arXiv 2312.02696, eq. 151 */
export const profileProduct = (a: Profile, b: Profile): number => {
  const [ea, eb] = [exponentOf(a.width), exponentOf(b.width)];
  return ((ea + 1) * (eb + 1) * (a.at / b.at) ** (a.at < b.at ? eb : -ea)) / ((ea + eb + 1) * Math.max(a.at, b.at));
};

/** Solves A x = b by elimination with partial pivoting. */
const solve = (matrix: readonly (readonly number[])[], right: readonly number[]): number[] => {
  const n = right.length;
  const rows = matrix.map((row, i) => [...row, right[i] as number]);
  for (let k = 0; k < n; k++) {
    const pivot = rows.reduce((best, row, i) => (i >= k && Math.abs(row[k] as number) > Math.abs(rows[best]?.[k] as number) ? i : best), k);
    [rows[k], rows[pivot]] = [rows[pivot] as number[], rows[k] as number[]];
    const top = rows[k] as number[];
    if (top[k] === 0) throw new RangeError('posthocCoefficients: expected snapshots with distinct profiles but received equal ones');
    for (const row of rows.slice(k + 1)) {
      const factor = (row[k] as number) / (top[k] as number);
      for (let j = k; j <= n; j++) row[j] = (row[j] as number) - factor * (top[j] as number);
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let k = n - 1; k >= 0; k--) {
    const row = rows[k] as number[];
    x[k] = ((row[n] as number) - x.reduce((sum, value, j) => (j > k ? sum + value * (row[j] as number) : sum), 0)) / (row[k] as number);
  }
  return x;
};

/**
 * How to add up stored averages so that their sum has a profile chosen after training: weights, one per snapshot, that sum to 1.
 * @throws RangeError when two snapshots have the same profile
 * @source arXiv 2312.02696, algorithm 3
 */
export const posthocCoefficients = (snapshots: readonly Profile[], wanted: Profile): number[] => {
  const x = solve(snapshots.map((a) => snapshots.map((b) => profileProduct(a, b))), snapshots.map((a) => profileProduct(a, wanted)));
  const sum = x.reduce((a, b) => a + b, 0);
  return x.map((value) => value / sum);
};

/** EDM2's learning rate at `images` seen: a linear rise, then constant, then falling as 1 / sqrt. @source arXiv 2312.02696, eq. 67 */
export const inverseSqrtRate = (images: number, { ref = 0.01, batch, refBatches = 70e3, rampUp = 10e6 }: { ref?: number; batch: number; refBatches?: number; rampUp?: number }): number =>
  (ref / (refBatches > 0 ? Math.sqrt(Math.max(images / (refBatches * batch), 1)) : 1)) * (rampUp > 0 ? Math.min(images / rampUp, 1) : 1);
