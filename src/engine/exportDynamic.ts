/**
 * One graph for images of any size, from graphs of several sizes. Where the same network was written down for different sizes, the graphs differ in numbers alone:
 * the shapes of reshapes, the ends of slices. Each such number is found as a H W + b H + c W + d with rational coefficients, and computed in the graph.
 */
import { EngineError } from '../errors.ts';
import type { InitialiserDef, ModelDef, NodeDef, ValueDef } from './onnx/proto.ts';

/** A model for one size. */
export type Sized = Readonly<{ height: number; width: number; model: ModelDef }>;

/** (a H W + b H + c W + d) / q, all integers. */
type Form = Readonly<{ a: number; b: number; c: number; d: number; q: number }>;

const fail = (what: string): never => { throw new EngineError('export', `the network cannot be exported for every size: ${what}; export it with --size`); };

/** Solves a small linear system by elimination. @returns undefined when it has no single solution */
const solve = (rows: readonly (readonly number[])[], right: readonly number[]): number[] | undefined => {
  const m = rows.map((row, i) => [...row, right[i] as number]);
  const n = rows.length;
  for (let i = 0; i < n; i++) {
    const pivot = m.slice(i).reduce((best, row, k) => (Math.abs(row[i] as number) > Math.abs((m[best] as number[])[i] as number) ? i + k : best), i);
    [m[i], m[pivot]] = [m[pivot] as number[], m[i] as number[]];
    const lead = (m[i] as number[])[i] as number;
    if (Math.abs(lead) < 1e-9) return undefined;
    for (let k = 0; k < n; k++) {
      if (k === i) continue;
      const factor = ((m[k] as number[])[i] as number) / lead;
      for (let j = i; j <= n; j++) (m[k] as number[])[j] = ((m[k] as number[])[j] as number) - factor * ((m[i] as number[])[j] as number);
    }
  }
  return m.map((row, i) => (row[n] as number) / (row[i] as number));
};

const valueAt = ({ a, b, c, d, q }: Form, h: number, w: number): number => (a * h * w + b * h + c * w + d) / q;

/** The form that gives these values at these sizes. @returns undefined when there is none with a denominator up to 65,536 */
export const fit = (sizes: readonly Readonly<{ height: number; width: number }>[], values: readonly number[]): Form | undefined => {
  const rows = sizes.slice(0, 4).map(({ height, width }) => [height * width, height, width, 1]);
  const found = solve(rows, values.slice(0, 4));
  if (!found) return undefined;
  for (let q = 1; q <= 65_536; q *= 2) {
    for (const denominator of [q, 3 * q]) {
      const scaled = found.map((x) => x * denominator);
      const whole = scaled.map((x) => Math.round(x) + 0);
      if (scaled.some((x, i) => Math.abs(x - (whole[i] as number)) > 1e-4)) continue;
      const form = { a: whole[0] as number, b: whole[1] as number, c: whole[2] as number, d: whole[3] as number, q: denominator };
      if (sizes.every(({ height, width }, i) => Math.abs(valueAt(form, height, width) - (values[i] as number)) < 1e-6)) return form;
    }
  }
  return undefined;
};

const numbersOf = ({ type, bytes }: InitialiserDef): number[] => {
  const { buffer, byteOffset, byteLength } = bytes;
  if (type === 'int64') return Array.from(new BigInt64Array(buffer as ArrayBuffer, byteOffset, byteLength / 8), Number);
  if (type === 'int32') return Array.from(new Int32Array(buffer as ArrayBuffer, byteOffset, byteLength / 4));
  if (type === 'float32') return Array.from(new Float32Array(buffer as ArrayBuffer, byteOffset, byteLength / 4));
  return Array.from(bytes);
};

const sameBytes = (a: InitialiserDef, b: InitialiserDef): boolean => a.type === b.type && a.shape.join() === b.shape.join() && Buffer.compare(a.bytes, b.bytes) === 0;

/** Writes the nodes that compute numbers from the image's size. */
class SizeNodes {
  readonly nodes: NodeDef[] = [];
  readonly initialisers: InitialiserDef[] = [];
  readonly #known = new Map<string, string>();
  readonly #input: string;

  constructor(input: string) { this.#input = input; }

  #constant(values: readonly number[], shape: readonly number[]): string {
    const key = `constant ${shape.join()}: ${values.join()}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const name = `s${this.#known.size}`;
    this.#known.set(key, name);
    this.initialisers.push({ name, type: 'int64', shape, bytes: new Uint8Array(BigInt64Array.from(values, BigInt).buffer) });
    return name;
  }

  node(op: string, inputs: readonly string[], attributes: NodeDef['attributes'] = {}): string {
    const key = `${op} ${inputs.join()} ${JSON.stringify(attributes)}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const name = `s${this.#known.size}`;
    this.#known.set(key, name);
    this.nodes.push({ op, domain: '', inputs, outputs: [name], attributes });
    return name;
  }

  /** One number, int64 [1]. */
  number({ a, b, c, d, q }: Form): string {
    const one = (value: number): string => this.#constant([value], [1]);
    const size = (axis: number): string => this.node('Gather', [this.node('Shape', [this.#input]), one(axis)], { axis: 0 });
    const terms = [
      ...(a === 0 ? [] : [a === 1 ? this.node('Mul', [size(1), size(2)]) : this.node('Mul', [this.node('Mul', [size(1), size(2)]), one(a)])]),
      ...(b === 0 ? [] : [b === 1 ? size(1) : this.node('Mul', [size(1), one(b)])]),
      ...(c === 0 ? [] : [c === 1 ? size(2) : this.node('Mul', [size(2), one(c)])]),
      ...(d === 0 ? [] : [one(d)]),
    ];
    const sum = terms.length === 0 ? one(0) : terms.reduce((x, y) => this.node('Add', [x, y]));
    return q === 1 ? sum : this.node('Div', [sum, one(q)]);
  }

  /** A list of numbers or, where `scalar` is true, a single one. */
  list(forms: readonly Form[], scalar: boolean): string {
    const parts = forms.map((form) => this.number(form));
    const list = parts.length === 1 ? parts[0] as string : this.node('Concat', parts, { axis: 0 });
    return scalar ? this.node('Squeeze', [list]) : list;
  }
}

/** What a dimension that follows the size is called. */
const nameOf = ({ a, b, c, d, q }: Form): string => {
  const term = (factor: number, name: string): string[] => (factor === 0 ? [] : [factor === 1 ? name : `${factor}*${name}`]);
  const sum = [...term(a, 'height*width'), ...term(b, 'height'), ...term(c, 'width'), ...(d === 0 ? [] : [`${d}`])].join('+');
  return q === 1 ? sum : `(${sum})/${q}`;
};

/** Replaces an initialiser that differs from size to size; returns the name of what computes it. */
const computed = (versions: readonly InitialiserDef[], sizes: readonly Sized[], size: SizeNodes, user: string): string => {
  const [first] = versions as [InitialiserDef];
  if (versions.some(({ type, shape }) => type !== first.type || shape.join() !== first.shape.join())) return fail(`${user} reads a table whose shape follows the size`);
  const columns = versions.map(numbersOf);
  const at = (i: number): number[] => columns.map((column) => column[i] as number);
  const places = (columns[0] as number[]).map((_, i) => i);
  if (first.type === 'int64' || first.type === 'int32') {
    const list = size.list(places.map((i) => fit(sizes, at(i)) ?? fail(`a number of ${user} does not follow from height and width`)), first.shape.length === 0);
    return first.type === 'int64' ? list : size.node('Cast', [list], { to: 6 });
  }
  // A mean over positions is a product with one over their number.
  if (first.type === 'float32' && places.length === 1) {
    const whole = at(0).map((x) => 1 / x);
    const form = whole.every((x) => Math.abs(x - Math.round(x)) < 1e-3 * Math.max(1, Math.abs(x) / 1e3)) ? fit(sizes, whole.map(Math.round)) : undefined;
    if (form) return size.node('Reciprocal', [size.node('Cast', [size.list([form], first.shape.length === 0)], { to: 1 })]);
  }
  return fail(`${user} reads a table that depends on the size`);
};

/**
 * Joins models of one network at several sizes to one for every size.
 * @param sized five or more, of sizes whose heights and widths are in general position
 * @throws EngineError when the network is written down differently for different sizes, or a number does not follow from the size
 */
export const dynamicModel = (sized: readonly Sized[]): ModelDef => {
  const [first] = sized as [Sized];
  const models = sized.map(({ model }) => model);
  if (models.some(({ nodes }) => nodes.length !== first.model.nodes.length)) fail('it is written down differently for different sizes');
  const [source] = first.model.inputs as [ValueDef];
  const size = new SizeNodes(source.name);
  const constants = models.map(({ initialisers }) => new Map(initialisers.map((definition) => [definition.name, definition])));
  const kept = new Map<string, InitialiserDef>();
  // Names of values may differ from graph to graph: they are compared by where they were made.
  const places = models.map(({ inputs }) => new Map(inputs.map(({ name }, i) => [name, `input ${i}`])));
  const nodes = first.model.nodes.map((node, n): NodeDef => {
    const versions = models.map((model) => model.nodes[n] as NodeDef);
    const user = `${node.op} ${n}`;
    const text = ({ op, domain, attributes, inputs, outputs }: NodeDef): string => JSON.stringify([op, domain, attributes, inputs.length, outputs.length]);
    if (versions.some((version) => text(version) !== text(node))) fail(`${user} is written down differently for different sizes`);
    versions.forEach(({ outputs }, m) => outputs.forEach((name, i) => places[m]?.set(name, `${n} ${i}`)));
    const inputs = node.inputs.map((name, i) => {
      const names = versions.map((version) => version.inputs[i] as string);
      const definitions = names.map((own, m) => constants[m]?.get(own));
      if (definitions.every((definition) => definition !== undefined)) {
        const [own] = definitions as [InitialiserDef];
        if (definitions.every((definition) => sameBytes(definition, own))) { kept.set(own.name, own); return name; }
        return computed(definitions, sized, size, user);
      }
      const where = names.map((own, m) => (own === '' ? '' : places[m]?.get(own)));
      return where.every((place) => place !== undefined && place === where[0]) ? name : fail(`${user} is connected differently for different sizes`);
    });
    return { ...node, inputs };
  });
  const freed = (values: (model: ModelDef) => readonly ValueDef[]): ValueDef[] => values(first.model).map((value, i) => ({
    ...value,
    shape: value.shape.map((_, axis) => {
      const lengths = models.map((model) => values(model)[i]?.shape[axis] as number);
      if (lengths.every((n) => n === lengths[0])) return lengths[0] as number;
      return nameOf(fit(sized, lengths) ?? fail(`axis ${axis} of ${value.name} does not follow from height and width`));
    }),
  }));
  return {
    ...first.model, nodes: [...size.nodes, ...nodes], initialisers: [...kept.values(), ...size.initialisers], inputs: freed(({ inputs }) => inputs), outputs: freed(({ outputs }) => outputs),
  };
};
