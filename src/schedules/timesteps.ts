/** Which of the training timesteps 0..T-1 a sampler visits, from noise to clean. */

export type Spacing = 'leading' | 'trailing' | 'linspace';

/** Nearest integer, halves to even, as NumPy rounds. */
export const roundHalfEven = (x: number): number => {
  const down = Math.floor(x);
  const rest = x - down;
  return rest < 0.5 || (rest === 0.5 && down % 2 === 0) ? down : down + 1;
};

/**
 * Descending timesteps.
 *   leading   multiples of floor(T / n), plus `offset`: never visits T - 1
 *   trailing  round(T - k T / n) - 1: starts at T - 1; the one for zero terminal SNR and for few steps
 *   linspace  evenly from T - 1 to 0, both included
 * @param options.round false keeps `linspace` fractional, for samplers that interpolate sigmas
 * @throws RangeError when there are more steps than timesteps
 * @source Lin et al. 2023, arXiv 2305.08891, table 2
 */
export const spaceTimesteps = (spacing: Spacing, steps: number, total: number, { offset = 0, round = true }: { offset?: number; round?: boolean } = {}): number[] => {
  if (!Number.isInteger(steps) || steps < 1 || steps > total) throw new RangeError(`spaceTimesteps: expected steps in 1..${total} but received ${steps}`);
  switch (spacing) {
    case 'leading': return Array.from({ length: steps }, (_, k) => (steps - 1 - k) * Math.floor(total / steps) + offset);
    case 'trailing': {
      const stride = total / steps;
      return Array.from({ length: Math.ceil(total / stride) }, (_, k) => roundHalfEven(total - k * stride) - 1);
    }
    case 'linspace': return Array.from({ length: steps }, (_, k) => {
      const i = steps - 1 - k;
      const t = steps === 1 ? 0 : i * ((total - 1) / (steps - 1));
      return round ? roundHalfEven(t) : t;
    });
  }
};

/** Timesteps of a consistency model distilled on `original` evenly spaced ones: `steps` of them, evenly from the noisiest. @source Luo et al. 2023 (LCM), arXiv 2310.04378 */
export const lcmTimesteps = (steps: number, { original = 50, total = 1000, strength = 1 }: { original?: number; total?: number; strength?: number } = {}): number[] => {
  if (!(original >= 1 && original <= total)) throw new RangeError(`lcmTimesteps: expected original in 1..${total} but received ${original}`);
  const stride = Math.floor(total / original);
  const kept = Math.trunc(original * strength);
  if (!Number.isInteger(steps) || steps < 1 || steps > kept) throw new RangeError(`lcmTimesteps: expected steps in 1..${kept} but received ${steps}`);
  return Array.from({ length: steps }, (_, k) => (kept - Math.floor((k * kept) / steps)) * stride - 1);
};

/** I2SB's network calls: `calls` + 1 rounded points from 0 to `total` - 1, ascending. @source NVlabs/I2SB, arXiv 2302.05872 */
export const bridgeIndices = (calls: number, total: number): number[] => {
  if (!Number.isInteger(calls) || calls < 1 || calls > total - 1) throw new RangeError(`bridgeIndices: expected calls in 1..${total - 1} but received ${calls}`);
  let at = 0;
  return Array.from({ length: calls + 1 }, () => {
    const index = roundHalfEven(at);
    at += (total - 1) / calls;
    return index;
  });
};
