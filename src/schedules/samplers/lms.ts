import { type Path } from '../paths.ts';
import { type Plan, callAt, inRatios } from './sampler.ts';

/** Integral over [a, b] of the Lagrange polynomial that is 1 at `nodes[j]` and 0 at the others; exact, by Gauss-Legendre quadrature of five points. */
const lagrangeIntegral = (nodes: readonly number[], j: number, a: number, b: number): number => {
  const points = [0, 0.5384693101056831, -0.5384693101056831, 0.906179845938664, -0.906179845938664];
  const weights = [128 / 225, 0.47862867049936647, 0.47862867049936647, 0.23692688505618908, 0.23692688505618908];
  const [middle, half] = [(a + b) / 2, (b - a) / 2];
  return half * points.reduce((sum, point, k) => sum + (weights[k] as number) * nodes.reduce((product, node, n) => (n === j ? product : product * ((middle + half * point - node) / ((nodes[j] as number) - node))), 1), 0);
};

/** Linear multistep (Adams-Bashforth on an uneven grid): one call a step, slopes of the last `order` steps. @source crowsonkb/k-diffusion, sample_lms */
export const lms = (path: Path, { order = 4 }: { order?: number } = {}): Plan => {
  if (!Number.isInteger(order) || order < 1 || order > 4) throw new RangeError(`lms: expected an order in 1..4 but received ${order}`);
  return (grid) => inRatios('lms', path, grid, (ratios) => ratios.slice(1).map((to, i) => {
    const nodes = Array.from({ length: Math.min(i + 1, order) }, (_, age) => ratios[i - age] as number);
    const slopes = nodes.map((node, j) => lagrangeIntegral(nodes, j, ratios[i] as number, to) / node);
    return { ...callAt(path, ratios[i] as number), next: { x: slopes.map((slope, age) => (age === 0 ? 1 + slope : slope)), denoised: slopes.map((slope) => -slope) } };
  }));
};
