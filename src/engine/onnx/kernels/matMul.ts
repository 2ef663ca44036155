/** Matrix products. */
import { type Ref, broadcastShapes } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';

type Sides = Readonly<{ transposeA: boolean; transposeB: boolean }>;

const outline = (a: Spec, b: Spec, { transposeA, transposeB }: Sides): number[] => {
  const [rows, innerA] = transposeA ? [a.shape.at(-1), a.shape.at(-2)] : [a.shape.at(-2), a.shape.at(-1)];
  const [innerB, columns] = transposeB ? [b.shape.at(-1), b.shape.at(-2)] : [b.shape.at(-2), b.shape.at(-1)];
  if (innerA !== innerB) {
    throw new Error(`Error in matMul: inner shapes (${innerA}) and (${innerB}) of Tensors with shapes ${a.shape} and ${b.shape} and transposeA=${transposeA} and transposeB=${transposeB} must match.`);
  }
  return [...broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2)), rows as number, columns as number];
};

export const matMuls: readonly Kernel[] = [
  kernel<Sides>({
    name: 'BatchMatMul', inputs: ['a', 'b'],
    infer: ([a, b], attrs) => ({ shape: outline(a as Spec, b as Spec, attrs), dtype: 'float32' }),
    emit: (graph, [a, b], { transposeA, transposeB }) => graph.matMul(a as Ref, b as Ref, transposeA, transposeB),
  }),
];
