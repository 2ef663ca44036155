/** How nearly the latents of held-out pairs lie on one line. Plain numbers: rows of flattened latents, one pair per row. */

type Rows = readonly (readonly number[])[];

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);
const norm = (a: readonly number[]): number => Math.sqrt(dot(a, a));
const average = (rows: Rows): number[] => (rows[0] as readonly number[]).map((_, k) => rows.reduce((sum, row) => sum + (row[k] as number), 0) / rows.length);
const minus = (a: readonly number[], b: readonly number[]): number[] => a.map((value, i) => value - (b[i] as number));

/** Eigenvalues of a symmetric matrix, in falling order, by Jacobi rotations. */
export const eigenvalues = (matrix: Rows): number[] => {
  const a = matrix.map((row) => [...row]);
  const n = a.length;
  const at = (i: number, j: number): number => (a[i] as number[])[j] as number;
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) off += at(p, q) ** 2;
    if (off < 1e-24 * a.reduce((sum, row, i) => sum + (row[i] as number) ** 2, 1e-300)) break;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (at(p, q) === 0) continue;
        const theta = (at(q, q) - at(p, p)) / (2 * at(p, q));
        const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta ** 2 + 1));
        const c = 1 / Math.sqrt(t ** 2 + 1);
        const s = t * c;
        for (let k = 0; k < n; k++) [(a[k] as number[])[p], (a[k] as number[])[q]] = [c * at(k, p) - s * at(k, q), s * at(k, p) + c * at(k, q)];
        for (let k = 0; k < n; k++) [(a[p] as number[])[k], (a[q] as number[])[k]] = [c * at(p, k) - s * at(q, k), s * at(p, k) + c * at(q, k)];
      }
    }
  }
  return a.map((row, i) => row[i] as number).sort((x, y) => y - x);
};

/** E[x y^T] over rows. */
const moments = (rows: Rows): number[][] => {
  const size = (rows[0] as readonly number[]).length;
  return Array.from({ length: size }, (_, k) => Array.from({ length: size }, (__, l) => rows.reduce((sum, row) => sum + (row[k] as number) * (row[l] as number), 0) / rows.length));
};

/** Eigenvalues of E[x x^T] that need not be 0, in falling order; by way of the pairs where there are fewer of them than dimensions. */
const spectrum = (rows: Rows): number[] =>
  eigenvalues(rows.length < (rows[0] as readonly number[]).length ? rows.map((x) => rows.map((y) => dot(x, y) / rows.length)) : moments(rows));

export type LineMeasures = Readonly<{
  /** Length of the mean of unit displacements: 1 is parallel, about 1 / sqrt(pairs) random. */
  resultant: number;
  /** Largest eigenvalue's share of E[d d^T]. */
  rankOne: number;
  /** The same of the covariance: a common shift taken out first. */
  rankOneCentred: number;
  /** E||d - mean d||^2 / E||d||^2. */
  residual: number;
  /** The same relative to the spread of the targets, E||b - mean b||^2: what `commonShift` measures. */
  shift: number;
  /** Effective number of dimensions of the sources, exp(entropy of the eigenvalue shares). */
  effectiveRank: number;
  /** ||mean d||^2 / (D var(a)): a shift that swamps the content makes `resultant` meaningless. */
  swamping: number;
}>;

/**
 * @param sources, targets latents of the same pairs
 * @param shift measured elsewhere (on the training pairs); the mean of these pairs by default
 * @throws RangeError with fewer than two pairs, or rows of different lengths
 */
export const lineMeasures = (sources: Rows, targets: Rows, shift?: readonly number[]): LineMeasures => {
  const size = sources[0]?.length ?? 0;
  if (sources.length < 2 || targets.length !== sources.length || [...sources, ...targets].some((row) => row.length !== size)) {
    throw new RangeError(`lineMeasures: expected at least two pairs of equally long latents but received ${sources.length} and ${targets.length}`);
  }
  const d = targets.map((target, i) => minus(target, sources[i] as readonly number[]));
  const mean = shift ?? average(d);
  const energy = d.reduce((sum, row) => sum + dot(row, row), 0) / d.length;
  const rest = d.map((row) => minus(row, mean));
  const restEnergy = rest.reduce((sum, row) => sum + dot(row, row), 0) / d.length;
  const spread = (rows: Rows): number => { const centre = average(rows); return rows.reduce((sum, row) => sum + dot(minus(row, centre), minus(row, centre)), 0) / rows.length; };
  const share = (values: readonly number[]): number => (values[0] as number) / Math.max(values.reduce((a, b) => a + b, 0), 1e-300);
  const centre = average(sources);
  const sourceValues = spectrum(sources.map((row) => minus(row, centre))).map((value) => Math.max(0, value));
  const total = sourceValues.reduce((a, b) => a + b, 0);
  const entropy = sourceValues.reduce((sum, value) => (value > 0 ? sum - (value / total) * Math.log(value / total) : sum), 0);
  return {
    resultant: norm(average(d.map((row) => row.map((value) => value / Math.max(norm(row), 1e-300))))),
    rankOne: share(spectrum(d)),
    rankOneCentred: share(spectrum(d.map((row) => minus(row, average(d))))),
    residual: restEnergy / energy,
    shift: restEnergy / (spread(targets) + 1e-6),
    effectiveRank: Math.exp(entropy),
    swamping: dot(mean, mean) / Math.max(total, 1e-300),
  };
};

/** X with A X = B, by Gaussian elimination with pivots. */
const solve = (a: Rows, b: Rows): number[][] => {
  const size = a.length;
  const system = a.map((row, i) => [...row, ...(b[i] as readonly number[])]);
  for (let k = 0; k < size; k++) {
    const pivot = system.reduce((best, row, i) => (i >= k && Math.abs(row[k] as number) > Math.abs((system[best] as number[])[k] as number) ? i : best), k);
    [system[k], system[pivot]] = [system[pivot] as number[], system[k] as number[]];
    const top = system[k] as number[];
    for (let i = 0; i < size; i++) {
      if (i === k) continue;
      const row = system[i] as number[];
      const factor = (row[k] as number) / (top[k] as number);
      for (let j = k; j < row.length; j++) row[j] = (row[j] as number) - factor * (top[j] as number);
    }
  }
  return system.map((row, i) => row.slice(size).map((value) => value / (row[i] as number)));
};

/**
 * Share of the variance of rows `y` that a ridge regression on rows `x` explains, one number over all columns: fitted on the first rows, measured on the others.
 * @param options.ridge relative to the mean variance of x @param options.fit rows that it is fitted on; the first half
 * @throws RangeError when it would be fitted or measured on fewer than two rows, or x and y differ in number
 */
export const ridgeR2 = (x: Rows, y: Rows, { ridge = 1e-2, fit = Math.floor(x.length / 2) }: { ridge?: number; fit?: number } = {}): number => {
  if (fit < 2 || x.length - fit < 2 || y.length !== x.length) throw new RangeError(`ridgeR2: expected two rows and more to fit and to measure but received ${fit} of ${x.length} rows of x and ${y.length} of y`);
  const [mx, my] = [average(x.slice(0, fit)), average(y.slice(0, fit))];
  const cx = x.slice(0, fit).map((row) => minus(row, mx));
  const cy = y.slice(0, fit).map((row) => minus(row, my));
  const size = mx.length;
  const scale = (ridge * cx.reduce((sum, row) => sum + dot(row, row), 0)) / (fit * size);
  const damped = (matrix: Rows): number[][] => matrix.map((row, i) => row.map((value, j) => value + (i === j ? scale : 0)));
  // (X^T X / n + scale) W = X^T Y / n, or with fewer rows than columns W = X^T A, (X X^T / n + scale) A = Y / n: the same W.
  const weights = fit < size
    ? solve(damped(cx.map((one) => cx.map((other) => dot(one, other) / fit))), cy.map((row) => row.map((value) => value / fit)))
    : solve(damped(moments(cx)), mx.map((_, k) => my.map((__, c) => cx.reduce((sum, row, n) => sum + (row[k] as number) * ((cy[n] as number[])[c] as number), 0) / fit)));
  let [error, spread] = [0, 0];
  for (let n = fit; n < x.length; n++) {
    const point = minus(x[n] as readonly number[], mx);
    const features = fit < size ? cx.map((row) => dot(row, point)) : point;
    my.forEach((centre, c) => {
      const predicted = centre + features.reduce((sum, value, i) => sum + value * ((weights[i] as number[])[c] as number), 0);
      error += (((y[n] as readonly number[])[c] as number) - predicted) ** 2;
      spread += (((y[n] as readonly number[])[c] as number) - centre) ** 2;
    });
  }
  return 1 - error / Math.max(spread, 1e-300);
};
