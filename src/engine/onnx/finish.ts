/** The end of building a graph: what the results need, in order, under names. */
import { fuse } from './fuse.ts';
import type { GraphNode, Physical } from './nodes.ts';
import type { Attribute, InitialiserDef, ModelDef, NodeDef, ValueDef } from './proto.ts';

export type Finish = Readonly<{
  name: string;
  nodes: readonly GraphNode[];
  inputs: readonly Physical[];
  initialisers: ReadonlyMap<Physical, InitialiserDef>;
  results: readonly Physical[];
  names: Readonly<{ inputs?: readonly string[]; outputs?: readonly string[] }>;
  reshape: (physical: Physical, shape: readonly number[]) => Physical;
}>;

/** Nodes that the results need, in order of building. */
const neededBy = (results: readonly Physical[], nodes: readonly GraphNode[]): GraphNode[] => {
  const needed = new Set<GraphNode>();
  const stack = results.flatMap(({ node }) => node ?? []);
  while (stack.length > 0) {
    const node = stack.pop() as GraphNode;
    if (needed.has(node)) continue;
    needed.add(node);
    for (const input of node.inputs) if (input?.node) stack.push(input.node);
  }
  return nodes.filter((node) => needed.has(node));
};

/** The model of a graph. */
export const finish = ({ name, nodes, inputs, initialisers, results: wanted, names, reshape }: Finish): ModelDef => {
  const { nodes: needed, standIn } = fuse(neededBy(wanted, nodes), wanted, reshape);
  const results = wanted.map(standIn);
  const label = new Map<Physical, string>();
  inputs.forEach((physical, i) => label.set(physical, names.inputs?.[i] ?? `i${i}`));
  for (const [physical, { name: constant }] of initialisers) label.set(physical, constant);
  const copies: NodeDef[] = [];
  const outputs: ValueDef[] = results.map((physical, i) => {
    const output = names.outputs?.[i] ?? `o${i}`;
    if (physical.node && !label.has(physical)) label.set(physical, output);
    // An input or constant, or a value that is a result already.
    else copies.push({ op: 'Identity', domain: '', inputs: [label.get(physical) as string], outputs: [output], attributes: {} });
    return { name: output, type: physical.type, shape: physical.shape };
  });
  const nameOf = (physical: Physical): string => label.get(physical) ?? `v${physical.id}`;
  const written = ({ op, domain, inputs: taken, attributes, outputs: made }: GraphNode): NodeDef => {
    const node = { op, domain, attributes, inputs: taken.map((input) => (input ? nameOf(input) : '')), outputs: made.map(nameOf) };
    if (op !== 'If') return node;
    // What it chooses from is read by its branches, where it has names alone.
    const [condition, ...branches] = taken as readonly Physical[];
    const [first, second] = branches.map((branch) => ({ copyOf: { name: nameOf(branch), type: branch.type, shape: branch.shape } }));
    return { ...node, inputs: [nameOf(condition as Physical)], attributes: { then_branch: first as Attribute, else_branch: second as Attribute } };
  };
  const used = new Set([...needed.flatMap((node) => node.inputs), ...results]);
  return {
    name,
    nodes: [...needed.map(written), ...copies],
    inputs: inputs.map((physical) => ({ name: nameOf(physical), type: physical.type, shape: physical.shape })),
    outputs,
    initialisers: [...initialisers].filter(([physical]) => used.has(physical)).map(([, definition]) => definition),
  };
};
