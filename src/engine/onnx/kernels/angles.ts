/** Kernels of two operands that ONNX has no operator for, or only for integers. */
import { type Ref, broadcastShapes } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';

export const angles: readonly Kernel[] = [
  kernel({
    name: 'Atan2', inputs: ['a', 'b'],
    infer: ([a, b]) => ({ shape: broadcastShapes((a as Spec).shape, (b as Spec).shape), dtype: 'float32' }),
    emit: (graph, [y, x]) => {
      const [a, b] = [y as Ref, x as Ref];
      const [zero, half] = [graph.scalar(0), graph.scalar(Math.PI / 2)];
      const turn = graph.elementwise('Where', [graph.elementwise('Less', [a, zero], { type: 'bool' }), graph.scalar(-Math.PI), graph.scalar(Math.PI)]);
      const slope = graph.unary('Atan', graph.elementwise('Div', [a, b]));
      const turned = graph.elementwise('Where', [graph.elementwise('Less', [b, zero], { type: 'bool' }), graph.elementwise('Add', [slope, turn]), slope]);
      const upright = graph.elementwise('Mul', [graph.unary('Sign', a), half]);
      return graph.elementwise('Where', [graph.elementwise('Equal', [b, zero], { type: 'bool' }), upright, turned]);
    },
  }),
  kernel({
    name: 'BitwiseAnd', inputs: ['a', 'b'],
    infer: ([a, b]) => ({ shape: broadcastShapes((a as Spec).shape, (b as Spec).shape), dtype: 'int32' }),
    emit: (graph, [a, b]) => graph.elementwise('BitwiseAnd', [a as Ref, b as Ref]),
  }),
];
