/**
 * Builds ONNX graphs. Every operation goes through here: equal nodes are shared, constants are folded where they are scalars, transposes and broadcasts are
 * not carried out but remembered. A `Ref` is a physical value together with how it is to be read: logical axis i is physical axis `order[i]`, and a physical
 * size of 1 stands for any logical size. So layouts travel: what comes out of a convolution stays [B, C, H, W] through everything that
 * does not care, and the transposes that TensorFlow.js's [B, H, W, C] asks for never happen.
 */
import { type Attributes, type ElementType, type InitialiserDef, type ModelDef, type NodeDef, type ValueDef, encodeModel } from './proto.ts';

export type Sizes = readonly number[];

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

export type Ref = Readonly<{ physical: Physical; shape: Sizes; order: Sizes }>;

const product = (sizes: Sizes): number => sizes.reduce((total, n) => total * n, 1);
export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
export const sameSizes = (a: Sizes, b: Sizes): boolean => a.length === b.length && a.every((n, i) => n === b[i]);

/** Shape of two broadcast against each other. @throws Error when they do not fit */
export const broadcastShapes = (a: Sizes, b: Sizes): number[] => {
  const rank = Math.max(a.length, b.length);
  return range(rank).map((i) => {
    const [m, n] = [a[i - rank + a.length] ?? 1, b[i - rank + b.length] ?? 1];
    if (m !== n && m !== 1 && n !== 1) throw new Error(`Operands could not be broadcast together with shapes ${a} and ${b}.`);
    return m === 1 ? n : m;
  });
};

/** Whether, reading logical axes in turn, physical axes come in their own order, axes of size 1 aside. */
const inOrder = (shape: Sizes, order: Sizes): boolean => {
  let last = -1;
  for (const axis of order) {
    if (shape[axis] === 1) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
};

const folds: Readonly<Record<string, (...args: number[]) => number>> = {
  Add: (a, b) => (a as number) + (b as number), Sub: (a, b) => (a as number) - (b as number), Mul: (a, b) => (a as number) * (b as number), Div: (a, b) => (a as number) / (b as number),
  Pow: (a, b) => (a as number) ** (b as number), Max: (a, b) => Math.max(a as number, b as number), Min: (a, b) => Math.min(a as number, b as number),
  Neg: (a) => -(a as number), Sqrt: (a) => Math.sqrt(a as number), Reciprocal: (a) => 1 / (a as number), Exp: (a) => Math.exp(a as number), Log: (a) => Math.log(a as number), Abs: (a) => Math.abs(a as number),
};

/** Options of `op`: attributes, and shapes and types of the results; one result like the first input by default. */
type OpOptions = Readonly<{ attributes?: Attributes; domain?: string; type?: ElementType; shape?: Sizes }>;

export class Graph {
  readonly #nodes: GraphNode[] = [];
  readonly #known = new Map<string, Physical[]>();
  readonly #inputs: Physical[] = [];
  readonly #initialisers = new Map<Physical, InitialiserDef>();
  readonly #ids: Physical[] = [];
  /** False keeps to operators that every ONNX runtime has, for files that leave this process. */
  readonly contrib: boolean;

  constructor({ contrib = true }: { contrib?: boolean } = {}) { this.contrib = contrib; }

  #physical(shape: Sizes, type: ElementType, node?: GraphNode, constant?: readonly number[]): Physical {
    const physical: Physical = { id: this.#ids.length, shape, type, node, constant };
    this.#ids.push(physical);
    return physical;
  }

  #ref(physical: Physical, shape: Sizes = physical.shape, order: Sizes = range(shape.length)): Ref { return { physical, shape, order }; }

  /** A graph input. Inputs are named i0, i1, ... in the order of these calls. */
  input(shape: Sizes, type: ElementType): Ref {
    const physical = this.#physical([...shape], type);
    this.#inputs.push(physical);
    return this.#ref(physical);
  }

  /** A constant; scalars and short lists by value, longer ones as bytes. */
  constant(values: readonly number[] | Float32Array | Int32Array | Uint8Array, shape: Sizes, type: ElementType): Ref {
    const small = values.length <= 64 ? Array.from(values) : undefined;
    const key = small && `const ${type} ${shape.join(',')}: ${small.map((v) => (Object.is(v, -0) ? '-0' : v)).join(',')}`;
    const known = key === undefined ? undefined : this.#known.get(key)?.[0];
    if (known) return this.#ref(known);
    const physical = this.#physical([...shape], type, undefined, small);
    if (key !== undefined) this.#known.set(key, [physical]);
    const kinds = { float32: Float32Array, int32: Int32Array, int64: BigInt64Array, bool: Uint8Array, uint8: Uint8Array } as const;
    if (type === 'float16') throw new TypeError('graph: a float16 constant is made by a cast');
    const typed = type === 'int64' ? BigInt64Array.from(values as ArrayLike<number> as number[], BigInt) : kinds[type].from(values as ArrayLike<number>);
    this.#initialisers.set(physical, { name: `c${physical.id}`, type, shape: [...shape], bytes: new Uint8Array(typed.buffer, typed.byteOffset, typed.byteLength) });
    return this.#ref(physical);
  }

  scalar(value: number, type: ElementType = 'float32'): Ref { return this.constant([value], [], type); }

  /** The number, if the reference is one constant throughout. */
  constantOf({ physical }: Ref): number | undefined { return physical.constant?.length === 1 ? physical.constant[0] : undefined; }

  /** Adds a node on physical values, or finds the equal one that is there. */
  node(op: string, inputs: readonly (Physical | undefined)[], outputs: readonly Readonly<{ shape: Sizes; type: ElementType }>[], attributes: Attributes = {}, domain = ''): Physical[] {
    const key = `${domain}.${op} ${inputs.map((input) => input?.id ?? '').join(',')} ${JSON.stringify(attributes)} ${outputs.map(({ type }) => type).join()}`;
    const known = this.#known.get(key);
    if (known) return known;
    const node: GraphNode = { op, domain, inputs, attributes, outputs: [] };
    for (const { shape, type } of outputs) node.outputs.push(this.#physical([...shape], type, node));
    this.#nodes.push(node);
    this.#known.set(key, node.outputs);
    return node.outputs;
  }

  #one(op: string, inputs: readonly (Physical | undefined)[], shape: Sizes, type: ElementType, attributes?: Attributes, domain?: string): Physical {
    return this.node(op, inputs, [{ shape, type }], attributes, domain)[0] as Physical;
  }

  /** An operation on values in logical order, with one result. */
  op(name: string, inputs: readonly (Ref | undefined)[], { attributes, domain, type, shape }: OpOptions = {}): Ref {
    const first = inputs[0] as Ref;
    return this.#ref(this.#one(name, inputs.map((input) => input && this.plain(input)), shape ?? first.shape, type ?? first.physical.type, attributes, domain));
  }

  /** The same with several results. */
  ops(name: string, inputs: readonly (Ref | undefined)[], outputs: readonly Readonly<{ shape: Sizes; type: ElementType }>[], attributes: Attributes = {}, domain = ''): Ref[] {
    return this.node(name, inputs.map((input) => input && this.plain(input)), outputs, attributes, domain).map((physical) => this.#ref(physical));
  }

  /** The physical value with axes in the order that is read, size-1 axes not yet expanded. */
  #arranged({ physical, order }: Ref): Physical {
    const shape = order.map((axis) => physical.shape[axis] as number);
    if (inOrder(physical.shape, order)) return this.#reshaped(physical, shape);
    return this.#one('Transpose', [physical], shape, physical.type, { perm: order });
  }

  #reshaped(physical: Physical, shape: Sizes): Physical {
    let source = physical;
    while (source.node?.op === 'Reshape' && source.node.domain === '') source = source.node.inputs[0] as Physical;
    if (sameSizes(source.shape, shape)) return source;
    if (source.constant) return this.constant(source.constant, shape, source.type).physical;
    return this.#one('Reshape', [source, this.constant(shape, [shape.length], 'int64').physical], shape, source.type, shape.includes(0) ? { allowzero: 1 } : {});
  }

  /** The value in logical order, full size: what nodes that know nothing of layouts take. */
  plain(ref: Ref): Physical {
    const arranged = this.#arranged(ref);
    if (sameSizes(arranged.shape, ref.shape)) return arranged;
    return this.#one('Expand', [arranged, this.constant(ref.shape, [ref.shape.length], 'int64').physical], ref.shape, arranged.type);
  }

  /** The value in logical order at full size, still as a reference. */
  settled(ref: Ref): Ref { return this.#ref(this.plain(ref), ref.shape); }

  /** An elementwise operation of one operand; the layout stays. */
  unary(name: string, x: Ref, { attributes, domain, type }: Omit<OpOptions, 'shape'> = {}): Ref {
    const number = this.constantOf(x);
    const fold = domain === undefined && attributes === undefined && type === undefined && x.physical.type === 'float32' ? folds[name] : undefined;
    if (fold && number !== undefined) return { ...x, physical: this.constant([Math.fround(fold(number))], x.physical.shape, 'float32').physical };
    return { ...x, physical: this.#one(name, [x.physical], x.physical.shape, type ?? x.physical.type, attributes, domain) };
  }

  /** An elementwise operation of several operands, broadcast against each other; the layout is that of the largest. */
  elementwise(name: string, operands: readonly Ref[], { attributes, domain, type }: Omit<OpOptions, 'shape'> = {}): Ref {
    const shape = operands.map((x) => x.shape).reduce(broadcastShapes);
    const resultType = type ?? (operands[operands.length - 1] as Ref).physical.type;
    const numbers = operands.map((x) => this.constantOf(x));
    const fold = domain === undefined && attributes === undefined && type === undefined && resultType === 'float32' ? folds[name] : undefined;
    if (fold && numbers.every((n) => n !== undefined)) return this.broadcast(this.scalar(Math.fround(fold(...numbers))), shape);
    const order = this.#commonOrder(operands, shape.length);
    const aligned = operands.map((x, i) => (numbers[i] !== undefined ? this.#reshaped(x.physical, []) : this.#aligned(x, order)));
    const physicalShape = aligned.map((x) => x.shape).reduce(broadcastShapes);
    const full = [...Array<number>(shape.length - physicalShape.length).fill(1), ...physicalShape];
    const out = this.#one(name, aligned, physicalShape, resultType, attributes, domain);
    return { physical: this.#reshaped(out, full), shape, order };
  }

  /** The layout operands are brought to: that of the largest one, and among equals of one that is transposed, as convolutions leave it. */
  #commonOrder(operands: readonly Ref[], rank: number): number[] {
    let best: Ref | undefined;
    let weight = -1;
    for (const x of operands) {
      const moved = !inOrder(x.physical.shape, x.order);
      const own = product(x.physical.shape) * 2 + (moved ? 1 : 0);
      if (own > weight) [best, weight] = [x, own];
    }
    const lead = rank - (best as Ref).shape.length;
    return [...range(lead), ...(best as Ref).order.map((axis) => axis + lead)];
  }

  /** A physical value whose axes, from the right, are those of a full-rank value in layout `order`. */
  #aligned(x: Ref, order: Sizes): Physical {
    const lead = order.length - x.shape.length;
    const logicalAt = range(order.length);
    order.forEach((axis, logical) => { logicalAt[axis] = logical; });
    // What the wanted physical order asks for, as a reading of x with leading axes of size 1.
    const wanted = logicalAt.map((logical) => logical - lead);
    const present = wanted.filter((logical) => logical >= 0);
    const arranged = this.#arranged({ physical: x.physical, shape: present.map((i) => x.shape[i] as number), order: present.map((i) => x.order[i] as number) });
    let at = 0;
    const shape = wanted.map((logical) => (logical < 0 ? 1 : (arranged.shape[at++] as number)));
    while (shape.length > 0 && shape[0] === 1) shape.shift();
    return this.#reshaped(arranged, shape);
  }

  /** Reads a value at a larger shape; nothing is copied. */
  broadcast(x: Ref, shape: Sizes): Ref {
    const lead = shape.length - x.shape.length;
    if (lead === 0) return { ...x, shape };
    const physical = this.#reshaped(x.physical, [...Array<number>(lead).fill(1), ...x.physical.shape]);
    return { physical, shape, order: [...range(lead), ...x.order.map((axis) => axis + lead)] };
  }

  /** Reads axes in another order; nothing is copied. */
  transpose(x: Ref, perm: Sizes): Ref {
    return { physical: x.physical, shape: perm.map((axis) => x.shape[axis] as number), order: perm.map((axis) => x.order[axis] as number) };
  }

  /** Another shape of the same size. The layout survives where every merged or divided run of axes lies together in memory. */
  reshape(x: Ref, shape: Sizes): Ref {
    if (sameSizes(x.shape, shape)) return x;
    return this.#regrouped(x, shape) ?? this.#ref(this.#reshaped(this.plain(x), shape));
  }

  #regrouped(x: Ref, shape: Sizes): Ref | undefined {
    if (product(shape) === 0) return undefined;
    // Runs of old and new axes of equal products, axes of size 1 aside.
    const groups: { from: number[]; to: number[] }[] = [];
    let [i, j] = [0, 0];
    while (true) {
      while (i < x.shape.length && x.shape[i] === 1) i++;
      while (j < shape.length && shape[j] === 1) j++;
      if (i >= x.shape.length || j >= shape.length) break;
      const group = { from: [i], to: [j] };
      let [m, n] = [x.shape[i++] as number, shape[j++] as number];
      while (m !== n) {
        if (m < n) { const size = x.shape[i] as number; if (size !== 1) group.from.push(i); m *= size; i++; } else { const size = shape[j] as number; if (size !== 1) group.to.push(j); n *= size; j++; }
      }
      groups.push(group);
    }
    const at = new Map<number, number[]>();
    const spread = new Set<number>();
    for (const { from, to } of groups) {
      const places = from.map((axis) => x.order[axis] as number);
      const sizes = places.map((place) => x.physical.shape[place] as number);
      const isSpread = sizes.map((size, k) => size !== x.shape[from[k] as number]);
      if (isSpread.every(Boolean)) { for (const axis of to) spread.add(axis); continue; }
      if (isSpread.some(Boolean)) return undefined;
      for (let k = 1; k < places.length; k++) {
        const [before, after] = [places[k - 1] as number, places[k] as number];
        if (after < before || x.physical.shape.slice(before + 1, after).some((size) => size !== 1)) return undefined;
      }
      at.set(places[0] as number, to);
    }
    // New logical axes in physical order; those of size 1 or not stored follow the axis before them.
    const sequence: number[] = [];
    for (const place of range(x.physical.shape.length)) sequence.push(...(at.get(place) ?? []));
    for (const axis of range(shape.length)) {
      if (shape[axis] !== 1 && !spread.has(axis)) continue;
      sequence.splice(axis === 0 ? 0 : sequence.indexOf(axis - 1) + 1, 0, axis);
    }
    const physical = this.#reshaped(x.physical, sequence.map((axis) => (spread.has(axis) ? 1 : shape[axis] as number)));
    return { physical, shape, order: range(shape.length).map((axis) => sequence.indexOf(axis)) };
  }

  /** relu(x), if that is computed anyway. */
  rectified(x: Ref): Ref | undefined {
    const known = this.#known.get(`.Relu ${x.physical.id} {} ${x.physical.type}`)?.[0];
    return known && { ...x, physical: known };
  }

  cast(x: Ref, type: ElementType): Ref {
    if (x.physical.type === type) return x;
    const number = this.constantOf(x);
    const types = { float32: 1, uint8: 2, int32: 6, int64: 7, bool: 9, float16: 10 } as const;
    if (number !== undefined && type !== 'float16' && Number.isFinite(number)) {
      const value = type === 'bool' ? (number === 0 ? 0 : 1) : type === 'float32' ? number : Math.trunc(number);
      return { ...x, physical: this.constant([value], x.physical.shape, type).physical };
    }
    return this.unary('Cast', x, { attributes: { to: types[type] }, type });
  }

  /** Sum, Mean, Max, Min or Prod over logical axes. Axes that are only read as larger are not computed. */
  reduce(name: 'Sum' | 'Mean' | 'Max' | 'Min' | 'Prod', x: Ref, axes: Sizes, keepDims: boolean): Ref {
    const kept = range(x.shape.length).filter((axis) => !axes.includes(axis));
    const shape = keepDims ? x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size)) : kept.map((axis) => x.shape[axis] as number);
    if (x.physical.shape.includes(0) || x.shape.includes(0)) {
      return this.op(`Reduce${name}`, [x, this.constant(axes, [axes.length], 'int64')], { attributes: { keepdims: keepDims ? 1 : 0 }, shape });
    }
    const spread = axes.filter((axis) => x.physical.shape[x.order[axis] as number] !== x.shape[axis]);
    const copies = spread.reduce((total, axis) => total * (x.shape[axis] as number), 1);
    const source = copies > 1 && name === 'Prod' ? this.settled(x) : x;
    const places = axes.map((axis) => source.order[axis] as number).filter((place) => source.physical.shape[place] !== 1).sort((a, b) => a - b);
    const reducedShape = source.physical.shape.map((size, place) => (places.includes(place) ? 1 : size));
    let physical = places.length === 0 ? source.physical
      : this.#one(`Reduce${name}`, [source.physical, this.constant(places, [places.length], 'int64').physical], reducedShape, source.physical.type, { keepdims: 1 });
    if (copies > 1 && name === 'Sum') physical = this.elementwise('Mul', [this.#ref(physical), this.scalar(copies, physical.type)]).physical;
    if (keepDims) return { physical, shape, order: source.order };
    const gone = new Set(axes.map((axis) => source.order[axis] as number));
    const left = range(source.physical.shape.length).filter((place) => !gone.has(place));
    return { physical: this.#reshaped(physical, left.map((place) => physical.shape[place] as number)), shape, order: kept.map((axis) => left.indexOf(source.order[axis] as number)) };
  }

  /** Physical values in one common layout, full size along `axis` and wherever one of them is. */
  #together(xs: readonly Ref[], axis: number): { parts: Physical[]; order: number[] } {
    const rank = (xs[0] as Ref).shape.length;
    const order = this.#commonOrder(xs, rank);
    const logicalAt = range(rank);
    order.forEach((place, logical) => { logicalAt[place] = logical; });
    const spread = range(rank).filter((i) => i !== axis && xs.every((x) => x.physical.shape[x.order[i] as number] === 1));
    const parts = xs.map((x) => this.plain({
      physical: x.physical, shape: logicalAt.map((i) => (spread.includes(i) ? 1 : x.shape[i] as number)), order: logicalAt.map((i) => x.order[i] as number),
    }));
    return { parts, order };
  }

  concat(xs: readonly Ref[], axis: number): Ref {
    const [first] = xs as [Ref];
    if (xs.length === 1) return first;
    const size = xs.reduce((sum, x) => sum + (x.shape[axis] as number), 0);
    const shape = first.shape.map((n, i) => (i === axis ? size : n));
    const { parts, order } = this.#together(xs, axis);
    const place = order[axis] as number;
    const physicalShape = (parts[0] as Physical).shape.map((n, i) => (i === place ? size : n));
    return { physical: this.#one('Concat', parts, physicalShape, first.physical.type, { axis: place }), shape, order };
  }

  /** Part of a value: per axis where it begins and how long it is. */
  slice(x: Ref, begin: Sizes, size: Sizes): Ref {
    const cut = range(x.shape.length).filter((axis) => size[axis] !== x.shape[axis] && x.physical.shape[x.order[axis] as number] === x.shape[axis]);
    if (cut.length === 0) return { ...x, shape: size };
    const list = (values: number[]): Physical => this.constant(values, [values.length], 'int64').physical;
    const places = cut.map((axis) => x.order[axis] as number);
    const physicalShape = x.physical.shape.map((n, place) => (places.includes(place) ? size[cut[places.indexOf(place)] as number] as number : n));
    const starts = cut.map((axis) => begin[axis] as number);
    const physical = this.#one('Slice', [x.physical, list(starts), list(cut.map((axis, i) => (starts[i] as number) + (size[axis] as number))), list(places)], physicalShape, x.physical.type);
    return { physical, shape: size, order: x.order };
  }

  /** Every `stride`-th position along one axis, from `start`, `count` of them. A negative stride runs backwards. */
  every(x: Ref, axis: number, start: number, stride: number, count: number): Ref {
    const shape = x.shape.map((n, i) => (i === axis ? count : n));
    const place = x.order[axis] as number;
    if (x.physical.shape[place] !== x.shape[axis]) return { ...x, shape };
    const list = (value: number): Physical => this.constant([value], [1], 'int64').physical;
    const last = start + stride * count;
    const end = stride < 0 ? (last < 0 ? -(2 ** 31) : last) : Math.min(last, x.shape[axis] as number);
    const physicalShape = x.physical.shape.map((n, i) => (i === place ? count : n));
    return { physical: this.#one('Slice', [x.physical, list(start), list(end), list(place), list(stride)], physicalShape, x.physical.type), shape, order: x.order };
  }

  /** Neighbouring parts along one axis. */
  split(x: Ref, sizes: Sizes, axis: number): Ref[] {
    const shapes = sizes.map((size) => x.shape.map((n, i) => (i === axis ? size : n)));
    const place = x.order[axis] as number;
    if (sizes.length === 1) return [x];
    if (x.physical.shape[place] !== x.shape[axis]) return shapes.map((shape) => ({ ...x, shape }));
    const outputs = sizes.map((size) => ({ shape: x.physical.shape.map((n, i) => (i === place ? size : n)), type: x.physical.type }));
    const parts = this.node('Split', [x.physical, this.constant(sizes, [sizes.length], 'int64').physical], outputs, { axis: place });
    return parts.map((physical, i) => ({ physical, shape: shapes[i] as number[], order: x.order }));
  }

  /** Surrounds a value with a constant, [before, after] per axis. */
  pad(x: Ref, paddings: readonly (readonly [number, number])[], value = 0): Ref {
    if (paddings.every(([before, after]) => before === 0 && after === 0)) return x;
    const shape = x.shape.map((n, i) => n + (paddings[i]?.[0] ?? 0) + (paddings[i]?.[1] ?? 0));
    const spread = range(x.shape.length).some((i) => x.physical.shape[x.order[i] as number] !== x.shape[i]);
    const source = spread ? this.settled(x) : x;
    const [before, after] = [Array<number>(shape.length).fill(0), Array<number>(shape.length).fill(0)];
    const physicalShape = [...source.physical.shape];
    source.order.forEach((place, axis) => {
      [before[place], after[place]] = [paddings[axis]?.[0] ?? 0, paddings[axis]?.[1] ?? 0];
      physicalShape[place] = shape[axis] as number;
    });
    const pads = this.constant([...before, ...after], [shape.length * 2], 'int64').physical;
    const fill = this.scalar(value, source.physical.type).physical;
    return { physical: this.#one('Pad', [source.physical, pads, fill], physicalShape, source.physical.type, { mode: 'constant' }), shape, order: source.order };
  }

  /** Matrix product over the last two axes, either operand read transposed, batch axes broadcast; `alpha` scales the result. */
  matMul(a: Ref, b: Ref, transposeA = false, transposeB = false, alpha = 1): Ref {
    const swap = (x: Ref): Ref => this.transpose(x, [...range(x.shape.length - 2), x.shape.length - 1, x.shape.length - 2]);
    const [left, right] = [transposeA ? swap(a) : a, transposeB ? swap(b) : b];
    const shape = [...broadcastShapes(left.shape.slice(0, -2), right.shape.slice(0, -2)), left.shape[left.shape.length - 2] as number, right.shape[right.shape.length - 1] as number];
    const laid = (x: Ref): { physical: Physical; swapped: boolean } => {
      const swapped = this.contrib && !inOrder(x.physical.shape, x.order) && inOrder(x.physical.shape, swap(x).order);
      const read = swapped ? swap(x) : x;
      // Batch axes may stay unexpanded: the product broadcasts them itself.
      const rank = x.shape.length;
      const sizes = read.shape.map((n, i) => (i < rank - 2 ? read.physical.shape[read.order[i] as number] as number : n));
      return { physical: this.plain({ ...read, shape: sizes }), swapped };
    };
    const [l, r] = [laid(left), laid(right)];
    const batch = broadcastShapes(l.physical.shape.slice(0, -2), r.physical.shape.slice(0, -2));
    const lead = [...Array<number>(shape.length - 2 - batch.length).fill(1), ...batch];
    const physicalShape = [...lead, ...shape.slice(-2)];
    const { type } = l.physical;
    const out = l.swapped || r.swapped || (alpha !== 1 && this.contrib)
      ? this.#one('FusedMatMul', [l.physical, r.physical], physicalShape, type, { ...(l.swapped && { transA: 1 }), ...(r.swapped && { transB: 1 }), ...(alpha !== 1 && { alpha: { float: alpha } }) }, 'com.microsoft')
      : this.#one('MatMul', [l.physical, r.physical], physicalShape, type);
    const result = { physical: out, shape, order: range(shape.length) };
    return alpha !== 1 && !this.contrib ? this.elementwise('Mul', [result, this.scalar(alpha)]) : result;
  }

  /** Nodes that the outputs need, in order. */
  #needed(outputs: readonly Physical[]): GraphNode[] {
    const needed = new Set<GraphNode>();
    const stack = outputs.flatMap(({ node }) => node ?? []);
    while (stack.length > 0) {
      const node = stack.pop() as GraphNode;
      if (needed.has(node)) continue;
      needed.add(node);
      for (const input of node.inputs) if (input?.node) stack.push(input.node);
    }
    return this.#nodes.filter((node) => needed.has(node));
  }

  /** The model whose results, named o0, o1, ..., are the given values in logical order. */
  define(name: string, results: readonly Ref[], names?: { inputs?: readonly string[]; outputs?: readonly string[] }): ModelDef {
    const finals = results.map((ref) => this.plain(ref));
    const nodes = this.#needed(finals);
    const label = new Map<Physical, string>();
    this.#inputs.forEach((physical, i) => label.set(physical, names?.inputs?.[i] ?? `i${i}`));
    for (const [physical, { name: constant }] of this.#initialisers) label.set(physical, constant);
    const copies: NodeDef[] = [];
    const outputs: ValueDef[] = finals.map((physical, i) => {
      const output = names?.outputs?.[i] ?? `o${i}`;
      if (physical.node && !label.has(physical)) label.set(physical, output);
      else copies.push({ op: 'Identity', domain: '', inputs: [label.get(physical) as string], outputs: [output], attributes: {} });
      return { name: output, type: physical.type, shape: physical.shape };
    });
    const nameOf = (physical: Physical): string => label.get(physical) ?? `v${physical.id}`;
    const used = new Set(nodes.flatMap(({ inputs }) => inputs).concat(finals));
    const definitions = nodes.map(({ op, domain, inputs, attributes, outputs: outs }) => ({
      op, domain, attributes, inputs: inputs.map((input) => (input ? nameOf(input) : '')), outputs: outs.map(nameOf),
    }));
    return {
      name,
      nodes: [...definitions, ...copies],
      inputs: this.#inputs.map((physical) => ({ name: nameOf(physical), type: physical.type, shape: physical.shape })),
      outputs,
      initialisers: [...this.#initialisers].filter(([physical]) => used.has(physical)).map(([, definition]) => definition),
    };
  }

  /** The model as a file. */
  encode(name: string, results: readonly Ref[]): Uint8Array { return encodeModel(this.define(name, results)); }
}
