/** Activations that are one operation of the runtime, and their gradients. */
import type { Graph, Ref } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';

const cubic = 0.044715;
const rate = Math.sqrt(2 / Math.PI);

const mul = (graph: Graph, a: Ref, b: Ref | number): Ref => graph.elementwise('Mul', [a, typeof b === 'number' ? graph.scalar(b) : b]);
const add = (graph: Graph, a: Ref, b: Ref | number): Ref => graph.elementwise('Add', [a, typeof b === 'number' ? graph.scalar(b) : b]);

const silu = (graph: Graph, x: Ref): Ref => (graph.contrib
  ? graph.unary('QuickGelu', x, { attributes: { alpha: { float: 1 } }, domain: 'com.microsoft' })
  : mul(graph, x, graph.unary('Sigmoid', x)));

const gelu = (graph: Graph, x: Ref, tanh: boolean): Ref => graph.unary('Gelu', x, { attributes: { approximate: tanh ? 'tanh' : 'none' } });

const activation = <A>(name: string, forward: (graph: Graph, x: Ref, attrs: A) => Ref, slope: (graph: Graph, x: Ref, attrs: A) => Ref): Kernel[] => [
  kernel<A>({ name, inputs: ['x'], infer: ([x]) => ({ shape: (x as Spec).shape, dtype: 'float32' }), emit: (graph, [x], attrs) => forward(graph, x as Ref, attrs) }),
  kernel<A>({
    name: `${name}Grad`, inputs: ['dy', 'x'], list: true,
    infer: ([, x]) => [{ shape: (x as Spec).shape, dtype: 'float32' }],
    emit: (graph, [dy, x], attrs) => [mul(graph, dy as Ref, slope(graph, x as Ref, attrs))],
  }),
];

export const activations: readonly Kernel[] = [
  // With s = sigmoid(x) and y = x s: y' = s + y - y s.
  ...activation<unknown>('Silu', silu, (graph, x) => {
    const [s, y] = [graph.unary('Sigmoid', x), silu(graph, x)];
    return graph.elementwise('Sub', [add(graph, s, y), mul(graph, y, s)]);
  }),
  ...activation<{ tanh: boolean }>('Gelu', (graph, x, { tanh }) => gelu(graph, x, tanh), (graph, x, { tanh }) => {
    const square = mul(graph, x, x);
    if (!tanh) {
      const below = mul(graph, add(graph, graph.unary('Erf', mul(graph, x, Math.SQRT1_2)), 1), 0.5);
      return add(graph, below, mul(graph, mul(graph, x, graph.unary('Exp', mul(graph, square, -0.5))), rate / 2));
    }
    // y = x s with s = sigmoid(z), z = x p and p = 2 rate (1 + cubic x^2): y' = s + (y - y s) (3 p - 4 rate).
    const p = add(graph, mul(graph, square, 2 * rate * cubic), 2 * rate);
    const s = graph.unary('Sigmoid', mul(graph, x, p));
    const y = gelu(graph, x, true);
    const inner = graph.elementwise('Sub', [y, mul(graph, y, s)]);
    return add(graph, s, mul(graph, inner, add(graph, mul(graph, square, 6 * rate * cubic), 2 * rate)));
  }),
];
