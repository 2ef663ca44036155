/**
 * Single-precision arithmetic as the vectorised kernels that published models were trained with round it. Needed where a last bit is magnified: angles
 * of thousands of radians, or differences of nearly equal table entries. Elsewhere use doubles.
 */

const f = Math.fround;

/** a * b + c, rounded once. */
const fma = (a: number, b: number, c: number): number => f(a * b + c);

/**
 * `linspace` in float32: every block of eight starts from a rounded base. The published noise schedules were made so, and the last betas of a
 * zero-terminal-SNR schedule, differences of nearly equal products, depend on the last bit.
 */
export const linspaceFloat32 = (from: number, to: number, count: number): Float32Array => {
  const [a, b] = [f(from), f(to)];
  if (count === 1) return Float32Array.of(a);
  const step = f(f(b - a) / (count - 1));
  const half = Math.floor(count / 2);
  const at = (i: number): number => f(i < half ? a + step * i : b - step * (count - 1 - i));
  const whole = count - (count % 8);
  return Float32Array.from({ length: count }, (_, i) => (i < whole ? at(i - (i % 8)) + step * (i % 8) : at(i)));
};

const coefficients = [0.00139304355252534151077271, 0.00833336077630519866943359, 0.0416664853692054748535156, 0.166666671633720397949219, 0.5].map(f);

/** exp in float32, for arguments above -87: range reduction by ln 2 and a polynomial of degree six, one unit in the last place. @source SLEEF, expf with 1.0 ULP, arXiv 2001.09258 */
export const expFloat32 = (x: number): number => {
  const d = f(x);
  const q = Math.round(f(d * f(Math.LOG2E)));
  const s = fma(q, f(-1.428606765330187045e-6), fma(q, f(-0.693145751953125), d));
  const u = coefficients.reduce((sum, c) => fma(sum, s, c), f(0.000198527617612853646278381));
  return f(f(1 + fma(f(s * s), u, s)) * 2 ** q);
};
