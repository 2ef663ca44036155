/** Normalisation with given statistics, and across neighbouring channels. */
import { type Graph, type Ref, range } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';

type Neighbours = Readonly<{ depthRadius: number; bias: number; alpha: number; beta: number }>;

/** Sums over the channels within `radius` of each, on the last axis. */
const around = (graph: Graph, x: Ref, radius: number): Ref => {
  const channels = x.shape.at(-1) as number;
  const wide = graph.pad(x, x.shape.map((_, i): [number, number] => (i === x.shape.length - 1 ? [radius, radius] : [0, 0])));
  return range(2 * radius + 1).map((start) => graph.slice(wide, wide.shape.map((_, i) => (i === wide.shape.length - 1 ? start : 0)), [...x.shape.slice(0, -1), channels]))
    .reduce((a, b) => graph.elementwise('Add', [a, b]));
};

/** bias + alpha * (sum of squares of the neighbours). */
const scale = (graph: Graph, x: Ref, { depthRadius, bias, alpha }: Neighbours): Ref =>
  graph.elementwise('Add', [graph.scalar(bias), graph.elementwise('Mul', [around(graph, graph.elementwise('Mul', [x, x]), depthRadius), graph.scalar(alpha)])]);

export const normalisations: readonly Kernel[] = [
  kernel<{ varianceEpsilon: number }>({
    name: 'FusedBatchNorm', inputs: ['x', 'mean', 'variance', 'offset?', 'scale?'],
    infer: ([x]) => ({ shape: (x as Spec).shape, dtype: 'float32' }),
    emit: (graph, [x, mean, variance, offset, gain], { varianceEpsilon }) => {
      const inverse = graph.unary('Reciprocal', graph.unary('Sqrt', graph.elementwise('Add', [variance as Ref, graph.scalar(varianceEpsilon)])));
      const normal = graph.elementwise('Mul', [graph.elementwise('Sub', [x as Ref, mean as Ref]), gain ? graph.elementwise('Mul', [inverse, gain]) : inverse]);
      return offset ? graph.elementwise('Add', [normal, offset]) : normal;
    },
  }),
  kernel<Neighbours>({
    name: 'LRN', inputs: ['x'],
    infer: ([x]) => ({ shape: (x as Spec).shape, dtype: 'float32' }),
    emit: (graph, [x], attrs) => graph.elementwise('Mul', [x as Ref, graph.elementwise('Pow', [scale(graph, x as Ref, attrs), graph.scalar(-attrs.beta)])]),
  }),
  kernel<Neighbours>({
    name: 'LRNGrad', inputs: ['x', 'y', 'dy'],
    infer: ([x]) => ({ shape: (x as Spec).shape, dtype: 'float32' }),
    emit: (graph, [x, y, dy], attrs) => {
      const norm = scale(graph, x as Ref, attrs);
      const own = graph.elementwise('Mul', [dy as Ref, graph.elementwise('Pow', [norm, graph.scalar(-attrs.beta)])]);
      const others = around(graph, graph.elementwise('Div', [graph.elementwise('Mul', [dy as Ref, y as Ref]), norm]), attrs.depthRadius);
      return graph.elementwise('Sub', [own, graph.elementwise('Mul', [graph.elementwise('Mul', [x as Ref, others]), graph.scalar(2 * attrs.alpha * attrs.beta)])]);
    },
  }),
];
