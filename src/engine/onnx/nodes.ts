/** The lowest layer of a graph in the making: physical values, nodes, constants. Equal nodes are shared. */
import { type Finish, finish } from './finish.ts';
import { type Attributes, type ElementType, type InitialiserDef, type ModelDef } from './proto.ts';
import { type Axes, type Sizes, plainAxes } from './view.ts';

/** One node's output, a graph input or a constant. */
export type Physical = {
  readonly id: number;
  readonly shape: Sizes;
  readonly type: ElementType;
  readonly node: GraphNode | undefined;
  /** The numbers, when it is a small constant. */
  readonly constant: readonly number[] | undefined;
};

export type GraphNode = { readonly op: string; readonly domain: string; readonly inputs: readonly (Physical | undefined)[]; readonly attributes: Attributes; readonly outputs: Physical[] };

/** A logical tensor: a physical value and how it is read. */
export type Ref = Readonly<{ physical: Physical; shape: Sizes; axes: Axes }>;

/** Options of `op`: attributes, and shape and type of the result; like the first input by default. */
export type OpOptions = Readonly<{ attributes?: Attributes; domain?: string; type?: ElementType; shape?: Sizes }>;
export type Outline = Readonly<{ shape: Sizes; type: ElementType }>;

/** What the graph is written for. */
export type Target = Readonly<{
  /** False keeps to operators that every ONNX runtime has, for files that leave this process. */
  contrib?: boolean;
  /** Channels to a block of the runtime's blocked convolutions; 0 where it has none. */
  block?: number;
  /** True where choosing one of two values by a branch is faster than by a selection of each number. */
  branches?: boolean;
}>;

export class Nodes {
  readonly contrib: boolean;
  readonly block: number;
  readonly branches: boolean;
  protected readonly known = new Map<string, Physical[]>();
  readonly #nodes: GraphNode[] = [];
  readonly #inputs: Physical[] = [];
  readonly #initialisers = new Map<Physical, InitialiserDef>();
  #ids = 0;

  constructor({ contrib = true, block = 0, branches = false }: Target = {}) {
    this.contrib = contrib;
    this.block = contrib ? block : 0;
    this.branches = contrib && branches;
  }

  protected newPhysical(shape: Sizes, type: ElementType, node?: GraphNode, constant?: readonly number[]): Physical { return { id: this.#ids++, shape: [...shape], type, node, constant }; }
  protected refer(physical: Physical): Ref { return { physical, shape: physical.shape, axes: plainAxes(physical.shape) }; }

  /** A graph input. Inputs are named i0, i1, ... in the order of these calls. */
  input(shape: Sizes, type: ElementType): Ref {
    const physical = this.newPhysical(shape, type);
    this.#inputs.push(physical);
    return this.refer(physical);
  }

  /** A constant; equal short ones are one. */
  constant(values: readonly number[] | Float32Array | Int32Array | Uint8Array, shape: Sizes, type: ElementType): Ref {
    const small = values.length <= 4096 ? Array.from(values) : undefined;
    const key = small && `const ${type} ${shape.join(',')}: ${small.map((v) => (Object.is(v, -0) ? '-0' : v)).join(',')}`;
    const known = key === undefined ? undefined : this.known.get(key)?.[0];
    if (known) return this.refer(known);
    const physical = this.newPhysical(shape, type, undefined, small);
    if (key !== undefined) this.known.set(key, [physical]);
    const kinds = { float32: Float32Array, int32: Int32Array, bool: Uint8Array, uint8: Uint8Array } as const;
    if (type === 'float16') throw new TypeError('graph: a float16 constant is made by a cast');
    const typed = type === 'int64' ? BigInt64Array.from(values as number[], BigInt) : kinds[type].from(values);
    this.#initialisers.set(physical, { name: `c${physical.id}`, type, shape: physical.shape, bytes: new Uint8Array(typed.buffer, typed.byteOffset, typed.byteLength) });
    return this.refer(physical);
  }

  scalar(value: number, type: ElementType = 'float32'): Ref { return this.constant([value], [], type); }
  protected list(values: Sizes): Physical { return this.constant(values, [values.length], 'int64').physical; }

  /** The number, if the reference is one constant throughout. */
  constantOf({ physical }: Ref): number | undefined { return physical.constant?.length === 1 ? physical.constant[0] : undefined; }

  /** Adds a node on physical values, or finds the equal one that is there. */
  node(op: string, inputs: readonly (Physical | undefined)[], outputs: readonly Outline[], attributes: Attributes = {}, domain = ''): Physical[] {
    const key = `${domain}.${op} ${inputs.map((input) => input?.id ?? '').join(',')} ${JSON.stringify(attributes)} ${outputs.map(({ type }) => type).join()}`;
    const known = this.known.get(key);
    if (known) return known;
    const node: GraphNode = { op, domain, inputs, attributes, outputs: [] };
    for (const { shape, type } of outputs) node.outputs.push(this.newPhysical(shape, type, node));
    this.#nodes.push(node);
    this.known.set(key, node.outputs);
    return node.outputs;
  }

  protected one(op: string, inputs: readonly (Physical | undefined)[], shape: Sizes, type: ElementType, attributes?: Attributes, domain?: string): Physical {
    return this.node(op, inputs, [{ shape, type }], attributes, domain)[0] as Physical;
  }

  /** The model whose results, named o0, o1, ... unless `names` says otherwise, are the given physical values. */
  protected finished(name: string, results: readonly Physical[], names: Finish['names'], reshape: Finish['reshape']): ModelDef {
    return finish({ name, nodes: this.#nodes, inputs: this.#inputs, initialisers: this.#initialisers, results, names, reshape });
  }
}
