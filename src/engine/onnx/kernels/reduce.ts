/** Kernels that reduce axes, and softmax. */
import * as tf from '../../../tf.ts';
import { type Graph, type Ref } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Dtype, Spec } from '../value.ts';

type Reduction = Readonly<{ axis?: number | number[]; reductionIndices?: number | number[]; keepDims?: boolean }>;

const axesOf = ({ axis, reductionIndices }: Reduction, shape: readonly number[]): number[] => tf.util.parseAxisParam((axis ?? reductionIndices) as number | number[], shape as number[]);

const reduction = (name: string, emit: (graph: Graph, x: Ref, axes: number[], keepDims: boolean) => Ref, dtype?: (given: Dtype) => Dtype): Kernel => kernel<Reduction>({
  name, inputs: ['x'],
  infer: ([x], attrs) => {
    const { shape, dtype: given } = x as Spec;
    const axes = axesOf(attrs, shape);
    return { shape: attrs.keepDims ? shape.map((n, i) => (axes.includes(i) ? 1 : n)) : shape.filter((_, i) => !axes.includes(i)), dtype: dtype ? dtype(given) : given };
  },
  emit: (graph, [x], attrs) => emit(graph, x as Ref, axesOf(attrs, (x as Ref).shape), attrs.keepDims === true),
});

const arg = (name: 'ArgMax' | 'ArgMin'): Kernel => kernel<{ axis: number }>({
  name, inputs: ['x'],
  infer: ([x], { axis }) => { const { shape } = x as Spec; const at = axesOf({ axis }, shape); return { shape: shape.filter((_, i) => !at.includes(i)), dtype: 'int32' }; },
  emit: (graph, [x], { axis }, [out]) => {
    const at = axesOf({ axis }, (x as Ref).shape)[0] as number;
    return graph.cast(graph.op(name, [x], { attributes: { axis: at, keepdims: 0 }, type: 'int64', shape: (out as Spec).shape }), 'int32');
  },
});

/** Softmax along any axis, in whatever layout the value has. */
const softmax = (op: 'Softmax' | 'LogSoftmax', key: 'dim' | 'axis'): Kernel => kernel<Record<string, number>>({
  name: op, inputs: ['logits'],
  infer: ([x]) => ({ shape: (x as Spec).shape, dtype: 'float32' }),
  emit: (graph, [x], attrs) => {
    const source = x as Ref;
    const axis = axesOf({ axis: attrs[key] as number }, source.shape)[0] as number;
    return graph.op(op, [source], { attributes: { axis } });
  },
});

const whole = (dtype: Dtype): Dtype => (dtype === 'bool' ? 'int32' : dtype);

export const reductions: readonly Kernel[] = [
  reduction('Sum', (graph, x, axes, keep) => graph.reduce('Sum', x.physical.type === 'bool' ? graph.cast(x, 'int32') : x, axes, keep), whole),
  reduction('Mean', (graph, x, axes, keep) => graph.reduce('Mean', graph.cast(x, 'float32'), axes, keep), () => 'float32'),
  reduction('Max', (graph, x, axes, keep) => graph.reduce('Max', x, axes, keep)),
  reduction('Min', (graph, x, axes, keep) => graph.reduce('Min', x, axes, keep)),
  reduction('Prod', (graph, x, axes, keep) => graph.reduce('Prod', x.physical.type === 'bool' ? graph.cast(x, 'int32') : x, axes, keep), whole),
  reduction('All', (graph, x, axes, keep) => graph.cast(graph.reduce('Min', graph.cast(x, 'int32'), axes, keep), 'bool'), () => 'bool'),
  reduction('Any', (graph, x, axes, keep) => graph.cast(graph.reduce('Max', graph.cast(x, 'int32'), axes, keep), 'bool'), () => 'bool'),
  arg('ArgMax'), arg('ArgMin'),
  softmax('Softmax', 'dim'), softmax('LogSoftmax', 'axis'),
  kernel<{ axis: number; exclusive: boolean; reverse: boolean }>({
    name: 'Cumsum', inputs: ['x'],
    infer: ([x]) => ({ shape: (x as Spec).shape, dtype: whole((x as Spec).dtype) }),
    emit: (graph, [x], { axis, exclusive, reverse }) => {
      const source = (x as Ref).physical.type === 'bool' ? graph.cast(x as Ref, 'int32') : x as Ref;
      return graph.op('CumSum', [source, graph.constant([axesOf({ axis }, source.shape)[0] as number], [], 'int64')], { attributes: { exclusive: exclusive ? 1 : 0, reverse: reverse ? 1 : 0 } });
    },
  }),
];
