/** Joins what follows a blocked convolution into it: a bias per channel, a sum with something else, and a rectifier cost nothing there and a pass over memory each outside. */
import type { GraphNode, Physical } from './nodes.ts';
import { product, sameSizes } from './view.ts';

type Draft = { -readonly [K in keyof GraphNode]: GraphNode[K] } & { inputs: (Physical | undefined)[] };

const blocked = 'com.microsoft.nchwc';

/** Source of a value through reshapes. */
const sourceOf = (physical: Physical): Physical => (physical.node?.op === 'Reshape' ? sourceOf(physical.node.inputs[0] as Physical) : physical);

/**
 * @param nodes what the results need
 * @param reshape makes a value of another shape, and the node for it if there is need of one
 * @returns the nodes that remain, and for values that are no more, those that stand for them
 */
export const fuse = (nodes: readonly GraphNode[], results: readonly Physical[], reshape: (physical: Physical, shape: readonly number[]) => Physical): { nodes: GraphNode[]; standIn: (physical: Physical) => Physical } => {
  if (!nodes.some(({ op, domain }) => op === 'Conv' && domain === blocked)) return { nodes: [...nodes], standIn: (physical) => physical };
  const drafts = nodes.map((node): Draft => ({ ...node, inputs: [...node.inputs] }));
  const kept = new Set(results);
  const users = new Map<Physical, Draft[]>();
  for (const draft of drafts) for (const input of draft.inputs) if (input) users.set(input, [...users.get(input) ?? [], draft]);
  const stands = new Map<Physical, Physical>();
  const standIn = (physical: Physical): Physical => { const next = stands.get(physical); return next ? standIn(next) : physical; };
  const gone = new Set<Draft>();
  const made: GraphNode[] = [];
  const onlyUser = (physical: Physical): Draft | undefined => {
    const list = users.get(physical);
    return list?.length === 1 && !kept.has(physical) ? list[0] : undefined;
  };
  const shaped = (physical: Physical, shape: readonly number[]): Physical => {
    const source = sourceOf(standIn(physical));
    if (sameSizes(source.shape, shape)) return source;
    const other = reshape(source, shape);
    if (other.node) made.push(other.node);
    return other;
  };
  for (const conv of drafts) {
    if (conv.op !== 'Conv' || conv.domain !== blocked) continue;
    const [out] = conv.outputs as [Physical];
    const view = onlyUser(out);
    if (view?.op !== 'Reshape') continue;
    const [whole] = view.outputs as [Physical];
    const channels = out.shape[1] as number;
    const perChannel = [whole.shape[1] as number, 1, 1, whole.shape[4] as number];
    // What stands for the convolution with what was joined so far.
    let last = whole;
    while (conv.attributes['activation'] === undefined) {
      const user = onlyUser(last);
      if (!user || user.domain !== '' || gone.has(user)) break;
      if (user.op === 'Add') {
        const other = user.inputs.find((input) => input !== last);
        if (!other) break;
        const padded = [...Array<number>(Math.max(0, 4 - other.shape.length)).fill(1), ...other.shape];
        if (sameSizes(other.shape, whole.shape) && conv.inputs[3] === undefined) conv.inputs = [conv.inputs[0], conv.inputs[1], conv.inputs[2], shaped(other, out.shape)];
        else if (product(other.shape) === channels && sameSizes(padded, perChannel) && conv.inputs[2] === undefined) conv.inputs = [conv.inputs[0], conv.inputs[1], shaped(other, [channels]), ...conv.inputs.slice(3)];
        else break;
      } else if (user.op === 'Relu') conv.attributes = { ...conv.attributes, activation: 'Relu' };
      else if (user.op === 'LeakyRelu') conv.attributes = { ...conv.attributes, activation: 'LeakyRelu', activation_params: { floats: [(user.attributes['alpha'] as { float: number }).float] } };
      else break;
      gone.add(user);
      [last] = user.outputs as [Physical];
      stands.set(last, whole);
    }
  }
  const remaining = [...drafts.filter((draft) => !gone.has(draft)), ...new Set(made.filter((node) => !nodes.includes(node)))];
  return { nodes: sorted(remaining.map((draft) => ({ ...draft, inputs: draft.inputs.map((input) => input && standIn(input)) }))), standIn };
};

/** Nodes with makers before users. */
const sorted = (nodes: readonly GraphNode[]): GraphNode[] => {
  const makers = new Map<Physical, GraphNode>();
  for (const node of nodes) for (const output of node.outputs) makers.set(output, node);
  const done = new Set<GraphNode>();
  const order: GraphNode[] = [];
  for (const root of nodes) {
    const stack: GraphNode[] = [root];
    while (stack.length > 0) {
      const node = stack.at(-1) as GraphNode;
      const waiting = done.has(node) ? [] : node.inputs.flatMap((input) => { const maker = input && makers.get(input); return maker && !done.has(maker) ? [maker] : []; });
      if (waiting.length > 0) { stack.push(...waiting); continue; }
      stack.pop();
      if (!done.has(node)) { done.add(node); order.push(node); }
    }
  }
  return order;
};
