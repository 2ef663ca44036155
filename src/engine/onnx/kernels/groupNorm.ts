/** Group and layer normalisation and their gradients. */
import { type Graph, type Ref, range } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';

type GroupAttrs = Readonly<{ groups: number; eps: number }>;

/** Means over groups of channels, [B, 1, ..., C] with each channel holding its group's. */
const overGroups = (graph: Graph, x: Ref, groups: number): Ref => {
  const [batch, channels] = [x.shape[0] as number, x.shape.at(-1) as number];
  if (groups === channels) return x;
  const mean = graph.reduce('Mean', graph.reshape(graph.settled(x), [batch, groups, channels / groups]), [2], true);
  return graph.reshape(graph.broadcast(mean, [batch, groups, channels / groups]), x.shape);
};

/** What the forward pass finds out, and the gradient needs again: built twice, it is in the graph once. */
const statistics = (graph: Graph, x: Ref, { groups, eps }: GroupAttrs): { centred: Ref; scale: Ref; places: number[] } => {
  const places = range(x.shape.length).slice(1, -1);
  const mean = overGroups(graph, graph.reduce('Mean', x, places, true), groups);
  const centred = graph.affine(x, { shift: graph.unary('Neg', mean) });
  const variance = overGroups(graph, graph.reduce('Mean', graph.elementwise('Mul', [centred, centred]), places, true), groups);
  return { centred, scale: graph.unary('Reciprocal', graph.unary('Sqrt', graph.elementwise('Add', [variance, graph.scalar(eps)]))), places };
};

const times = (graph: Graph, a: Ref, b: Ref): Ref => (graph.constantOf(b) === 1 ? a : graph.elementwise('Mul', [a, b]));

/** The sum over all axes but the last, [C]. */
const perChannel = (graph: Graph, x: Ref): Ref => graph.reduce('Sum', x, range(x.shape.length - 1), false);

const groupNormalise = kernel<GroupAttrs>({
  name: 'GroupNormalise', inputs: ['x', 'weight', 'bias'],
  infer: ([x]) => ({ shape: (x as Spec).shape, dtype: 'float32' }),
  emit: (graph, [x, weight, bias], attrs) => {
    const { centred, scale } = statistics(graph, x as Ref, attrs);
    return graph.affine(centred, { scale: times(graph, scale, weight as Ref), shift: bias as Ref });
  },
});

const groupNormaliseGrad = kernel<GroupAttrs>({
  name: 'GroupNormaliseGrad', inputs: ['dy', 'x', 'weight', 'bias'], list: true,
  infer: ([dy, , weight]) => [dy, weight, weight].map((spec) => ({ shape: (spec as Spec).shape, dtype: 'float32' })),
  emit: (graph, [dy, x, weight], attrs) => {
    const { centred, scale, places } = statistics(graph, x as Ref, attrs);
    const slope = graph.alike(dy as Ref, centred);
    const weighted = (t: Ref): Ref => times(graph, t, weight as Ref);
    // With xhat = centred * scale and g = dy * weight: dx = scale * (g - mean(g) - xhat * mean(g * xhat)).
    const [meanSlope, meanProduct] = [slope, graph.elementwise('Mul', [slope, centred])].map((t) => graph.reduce('Mean', t, places, true)) as [Ref, Ref];
    const first = graph.elementwise('Mul', [overGroups(graph, weighted(meanSlope), attrs.groups), scale]);
    const square = graph.elementwise('Mul', [scale, scale]);
    const second = graph.elementwise('Mul', [overGroups(graph, weighted(meanProduct), attrs.groups), graph.elementwise('Mul', [square, scale])]);
    const rest = graph.affine(centred, { scale: graph.unary('Neg', second), shift: graph.unary('Neg', first) });
    const dx = graph.affine(slope, { scale: weighted(scale), plus: rest });
    const count = graph.scalar(places.reduce((total, axis) => total * ((x as Ref).shape[axis] as number), 1));
    const sums = (t: Ref): Ref => perChannel(graph, graph.elementwise('Mul', [t, count]));
    return [dx, sums(graph.elementwise('Mul', [meanProduct, scale])), sums(meanSlope)];
  },
});

/** xhat, and 1 / standard deviation per row. */
const standardised = (graph: Graph, x: Ref, eps: number): [Ref, Ref] => {
  const channels = x.shape.at(-1) as number;
  const one = graph.broadcast(graph.scalar(1), [channels]);
  const row = [...x.shape.slice(0, -1), 1];
  const [hat, , scale] = graph.ops('LayerNormalization', [x, one], [{ shape: x.shape, type: 'float32' }, { shape: row, type: 'float32' }, { shape: row, type: 'float32' }], { axis: -1, epsilon: { float: eps } }) as [Ref, Ref, Ref];
  return [hat, scale];
};

const layerNormalise = kernel<{ eps: number }>({
  name: 'LayerNormalise', inputs: ['x', 'weight', 'bias'],
  infer: ([x]) => ({ shape: (x as Spec).shape, dtype: 'float32' }),
  emit: (graph, [x, weight, bias], { eps }) => {
    if (graph.constantOf(weight as Ref) === 1 && graph.constantOf(bias as Ref) === 0) return standardised(graph, x as Ref, eps)[0];
    return graph.op('LayerNormalization', [x, weight, bias], { attributes: { axis: -1, epsilon: { float: eps } } });
  },
});

const layerNormaliseGrad = kernel<{ eps: number }>({
  name: 'LayerNormaliseGrad', inputs: ['dy', 'x', 'weight', 'bias'], list: true,
  infer: ([dy, , weight]) => [dy, weight, weight].map((spec) => ({ shape: (spec as Spec).shape, dtype: 'float32' })),
  emit: (graph, [dy, x, weight], { eps }) => {
    const [hat, scale] = standardised(graph, x as Ref, eps);
    const last = hat.shape.length - 1;
    const product = graph.elementwise('Mul', [dy as Ref, hat]);
    const [g, gHat] = [dy as Ref, product].map((t) => times(graph, t, weight as Ref)) as [Ref, Ref];
    const [mean, meanHat] = [g, gHat].map((t) => graph.reduce('Mean', t, [last], true)) as [Ref, Ref];
    const rest = graph.elementwise('Sub', [graph.elementwise('Sub', [g, mean]), graph.elementwise('Mul', [hat, meanHat])]);
    return [graph.elementwise('Mul', [rest, scale]), perChannel(graph, product), perChannel(graph, dy as Ref)];
  },
});

export const groupNorms: readonly Kernel[] = [groupNormalise, groupNormaliseGrad, layerNormalise, layerNormaliseGrad];
