/** What a function of tensors computes, as an ONNX graph whose weights are part of it. Uses the lazy engine's record of the call. */
import * as tf from '../tf.ts';
import { EngineError } from '../errors.ts';
import { OnnxBackend } from './onnx/backend.ts';
import { Graph, type Ref } from './onnx/graph.ts';
import type { ElementType, ModelDef } from './onnx/proto.ts';
import { engineStatistics as stats } from './stats.ts';
import type { Numbers, RecordedNode, Value } from './onnx/value.ts';

/** A call that was recorded: its nodes in order, what comes in from outside, what goes out. */
export type Trace = Readonly<{
  nodes: readonly RecordedNode[];
  source: Value;
  /** Written values and computed weights, in order of first use. */
  leaves: readonly Value[];
  /** Their numbers. */
  numbers: readonly Numbers[];
  /** Leaves that are inputs of the model, by name. */
  free: ReadonlyMap<number, string>;
  result: Value;
}>;

/** The engine that records. @throws EngineError when another executor runs */
export const recorder = (): OnnxBackend => {
  const backend = tf.backend();
  if (!(backend instanceof OnnxBackend)) throw new EngineError('export', `exporting needs the recording engine but ${tf.getBackend()} runs; set MILLRACE_BACKEND=onnx-cpu`);
  return backend;
};

/** Nodes that a value needs, makers first. */
const nodesBehind = (result: Value): RecordedNode[] => {
  const seen = new Set<RecordedNode>();
  const order: RecordedNode[] = [];
  // Depth first without recursion: a network may be thousands of nodes deep.
  const stack: { node: RecordedNode; next: number }[] = [];
  const enter = (value: Value | undefined): void => {
    const node = value?.maker;
    if (node && !seen.has(node)) { seen.add(node); stack.push({ node, next: 0 }); }
  };
  enter(result);
  while (stack.length > 0) {
    const top = stack.at(-1) as { node: RecordedNode; next: number };
    if (top.next < top.node.inputs.length) enter(top.node.inputs[top.next++]);
    else { order.push(top.node); stack.pop(); }
  }
  return order;
};

/**
 * Divides nodes into those that depend on `source` (or on a value that may vary) and the weights they use. A transpose of weights stays with the network: the graph
 * turns it into the layout the runtime wants.
 */
const cut = (order: readonly RecordedNode[], isFree: (leaf: Value) => boolean): { nodes: RecordedNode[]; leaves: Value[] } => {
  const varies = new Set<Value>();
  const nodes: RecordedNode[] = [];
  const late = new Map<Value, RecordedNode>();
  const leaves = new Set<Value>();
  for (const node of order) {
    const { inputs, outputs, signature: { kernel } } = node;
    const given = inputs.filter((input) => input !== undefined);
    const free = given.some((input) => varies.has(input) || (!input.maker && isFree(input)));
    if (!free) {
      if (kernel.name === 'Transpose') late.set(outputs[0] as Value, node);
      continue;
    }
    for (const input of given) {
      if (varies.has(input)) continue;
      const moved = late.get(input);
      if (!moved) { leaves.add(input); continue; }
      if (!nodes.includes(moved)) nodes.push(moved);
      leaves.add(moved.inputs[0] as Value);
    }
    for (const output of outputs) varies.add(output);
    nodes.push(node);
  }
  return { nodes, leaves: [...leaves] };
};

/** Values that come from outside, in order of first use. */
const leavesOf = (order: readonly RecordedNode[]): Value[] => [...new Set(order.flatMap(({ inputs }) => inputs.filter((input) => input !== undefined && !input.maker)))] as Value[];

type Network = (source: tf.Tensor4D) => tf.Tensor;
type Shape = readonly [number, number, number, number];

/** Records a call on an image of a shape and hands what it needs to `look`, while nothing of it has been freed. */
const recorded = async <T>(f: Network, shape: Shape, look: (order: readonly RecordedNode[], source: Value, result: Value) => T): Promise<T> => {
  const backend = recorder();
  await tf.flush();
  const source = tf.zeros([...shape] as [number, number, number, number]) as tf.Tensor4D;
  try {
    let seen: { found: T } | undefined;
    tf.tidy(() => {
      const result = backend.held(f(source).dataId);
      seen = { found: look(nodesBehind(result), backend.held(source.dataId), result) };
    });
    return (seen as unknown as { found: T }).found;
  } finally {
    source.dispose();
  }
};

/** The numbers that a call writes as it goes: tables, and what it draws; `undefined` stands for weights and for the image. */
export const writtenBy = (f: Network, shape: Shape): Promise<(Numbers | undefined)[]> =>
  recorded(f, shape, (order, source) => leavesOf(order).map((leaf) => (leaf === source ? undefined : leaf.data?.slice())));

/**
 * Records one call and reads the weights it uses, as they come out of whatever is computed from weights alone.
 * @param f runs the network; called once, inside a tidy
 * @param shape of its input
 * @param free which of the values that come from outside (see `writtenBy`) may differ from call to call
 * @throws EngineError when the result does not depend on the input
 */
export const traceOf = async (f: Network, shape: Shape, free: ReadonlySet<number> = new Set()): Promise<Trace> => {
  const backend = recorder();
  const held: Value[] = [];
  try {
    const { nodes, leaves, freed, source, result } = await recorded(f, shape, (order, source, result) => {
      const freed = leavesOf(order).filter((_, i) => free.has(i));
      const parts = cut(order, (leaf) => leaf === source || freed.includes(leaf));
      const leaves = parts.leaves.filter((leaf) => leaf !== source);
      // What was disposed on the way is wanted once more.
      for (const leaf of leaves) {
        if (leaf.refs <= 0) stats.values++;
        leaf.refs = Math.max(0, leaf.refs) + 1;
        held.push(leaf);
      }
      return { nodes: parts.nodes, leaves, freed, source, result };
    });
    if (nodes.length === 0) throw new EngineError('export', 'the network to export does not depend on its input');
    const numbers = await Promise.all(leaves.map(async (leaf) => (await backend.read(leaf) as Numbers).slice()));
    return { nodes, source, leaves, numbers, free: new Map(freed.map((leaf, i) => [leaves.indexOf(leaf), `noise${i}`])), result };
  } finally {
    for (const leaf of held) backend.disposeData(leaf);
  }
};

/** Writes a trace as a model of input `source`, further inputs for what is free, and output `image`. */
export const modelOf = (name: string, { nodes, source, leaves, numbers, free, result }: Trace): ModelDef => {
  const graph = new Graph({ contrib: false });
  const refs = new Map<Value, Ref>();
  const input = ({ spec: { shape, dtype } }: Value): Ref => graph.input(shape, dtype as ElementType);
  refs.set(source, input(source));
  for (const i of free.keys()) refs.set(leaves[i] as Value, input(leaves[i] as Value));
  leaves.forEach((leaf, i) => { if (!free.has(i)) refs.set(leaf, graph.constant(numbers[i] as Numbers, leaf.spec.shape, leaf.spec.dtype as ElementType)); });
  for (const { signature: { kernel, attrs, outputs }, inputs, outputs: values } of nodes) {
    const emitted = kernel.emit(graph, inputs.map((value) => value && refs.get(value)) as Ref[], attrs, outputs);
    (Array.isArray(emitted) ? emitted as readonly Ref[] : [emitted as Ref]).forEach((ref, i) => refs.set(values[i] as Value, ref));
  }
  return graph.define(name, [refs.get(result) as Ref], { inputs: ['source', ...free.values()], outputs: ['image'] });
};
