/**
 * Builds ONNX graphs. Every operation goes through here: equal nodes are shared, constants are folded where they are scalars, transposes, reshapes and broadcasts are
 * not carried out but remembered (see view.ts). So layouts travel: what comes out of a convolution keeps its layout through everything that does not care,
 * and the transposes that TensorFlow.js's [B, H, W, C] asks for never happen.
 */
import type { Finish } from './finish.ts';
import { fold } from './fold.ts';
import { Layouts, insertAxis } from './layouts.ts';
import type { OpOptions, Physical, Ref } from './nodes.ts';
import { type ElementType, type ModelDef, elementTypes, encodeModel } from './proto.ts';
import { type Piece, type Sizes, axesOf, broadcastShapes, product, range, reduceSteps, sequenceOf } from './view.ts';

export type { Physical, Ref, Target } from './nodes.ts';
export { type Piece, type Sizes, broadcastShapes, range, sameSizes } from './view.ts';

/** Values of so many numbers are worth a branch. */
const largeChoice = 2 ** 14;

export class Graph extends Layouts {
  /** An elementwise operation of one operand; the layout stays. */
  unary(name: string, x: Ref, { attributes, domain, type }: Omit<OpOptions, 'shape'> = {}): Ref {
    const number = attributes || domain || type || x.physical.type !== 'float32' ? undefined : fold(name, [this.constantOf(x)]);
    return { ...x, physical: number === undefined ? this.one(name, [x.physical], x.physical.shape, type ?? x.physical.type, attributes, domain) : this.constant([number], x.physical.shape, 'float32').physical };
  }

  /** An elementwise operation of several operands, broadcast against each other. */
  elementwise(name: string, operands: readonly Ref[], { attributes, domain, type }: Omit<OpOptions, 'shape'> = {}): Ref {
    const shape = operands.map((x) => x.shape).reduce(broadcastShapes);
    const resultType = type ?? (operands.at(-1) as Ref).physical.type;
    const numbers = operands.map((x) => this.constantOf(x));
    const number = attributes || domain || type || resultType !== 'float32' ? undefined : fold(name, numbers);
    if (number !== undefined) return this.broadcast(this.scalar(number), shape);
    const sequence = this.meeting(this.leader(operands), operands, shape);
    const aligned = operands.map((x, i) => (numbers[i] !== undefined ? this.reshaped(x.physical, []) : this.arrange(this.broadcast(x, shape), sequence, false)));
    // Leading axes of size 1 need not be there: broadcasting counts from the right.
    const trimmed = aligned.map((x) => { const first = x.shape.findIndex((n) => n !== 1); return this.reshaped(x, first < 0 ? [] : x.shape.slice(first)); });
    const physicalShape = trimmed.map((x) => x.shape).reduce(broadcastShapes);
    const offset = sequence.length - physicalShape.length;
    const axes = axesOf(sequence, shape.length).map((places) => places.map((place) => place - offset).filter((place) => place >= 0 && physicalShape[place] !== 1));
    return { physical: this.one(name, trimmed, physicalShape, resultType, attributes, domain), shape, axes };
  }

  /** a where `condition` holds, else b. Large values that one condition is for are taken whole: the one that is not chosen is not read. */
  choose(condition: Ref, a: Ref, b: Ref): Ref {
    const whole = [a, b].every((x) => this.isInOrder(x) && product(x.physical.shape) === product(a.shape) && product(x.shape) === product(a.shape));
    if (!this.branches || !whole || product(condition.physical.shape) !== 1 || product(a.shape) < largeChoice) return this.elementwise('Where', [condition, a, b]);
    const [first, second] = [this.plain(a), this.plain(b)];
    return this.refer(this.one('If', [this.reshaped(condition.physical, []), first, second], first.shape, first.type));
  }

  /** relu(x), or leakyRelu(x), if that is computed anyway. */
  rectified(x: Ref): Ref | undefined {
    const known = this.known.get(`.Relu ${x.physical.id} {} ${x.physical.type}`)?.[0] ?? this.#leaky.get(x.physical);
    return known && { ...x, physical: known };
  }

  readonly #leaky = new Map<Physical, Physical>();

  /** x where positive, alpha * x elsewhere; alpha is positive. */
  leakyRelu(x: Ref, alpha: number): Ref {
    const y = this.unary('LeakyRelu', x, { attributes: { alpha: { float: alpha } } });
    if (alpha > 0) this.#leaky.set(x.physical, y.physical);
    return y;
  }

  /** The same value in the layout of another of its shape. */
  alike(x: Ref, model: Ref): Ref {
    const sequence = sequenceOf(model.physical.shape, model.axes);
    return this.viewed(this.arrange(x, sequence), sequence, x.shape);
  }

  /**
   * x * scale + shift + plus, with x [B, ..., C], scale and shift [B, 1, ..., C] or [C] and plus like x. In blocked channels it is one pass: a convolution of each
   * channel of each image with a filter of one number. Elsewhere the runtime multiplies and adds whole rows as fast.
   */
  affine(x: Ref, { scale, shift, plus }: Readonly<{ scale?: Ref; shift?: Ref; plus?: Ref }>): Ref {
    const { physical: { shape: sizes }, shape } = x;
    const [batch, channels, last] = [shape[0] as number, shape.at(-1) as number, shape.length - 1];
    const inner = sequenceOf(sizes, x.axes).filter(({ size }) => size !== 1);
    const lanes = inner.pop();
    const outer = [...(batch > 1 ? [0] : []), ...(channels > this.block ? [last] : [])];
    const isBlocked = this.block > 0 && lanes?.axis === last && lanes.size === this.block && product(sizes) === product(shape)
      && outer.every((axis, i) => inner[i]?.axis === axis) && inner.slice(outer.length).every(({ axis }) => axis !== 0 && axis !== last);
    if (!isBlocked) {
      const scaled = scale ? this.elementwise('Mul', [x, scale]) : x;
      const shifted = shift ? this.elementwise('Add', [scaled, shift]) : scaled;
      return plus ? this.elementwise('Add', [shifted, plus]) : shifted;
    }
    const count = batch * channels;
    const each = (t: Ref): Physical => this.plain(this.broadcast(t, [batch, ...shape.slice(1, -1).map(() => 1), channels]));
    const flat = (physical: Physical): Physical => this.reshaped(physical, [1, count, 1, product(shape) / count]);
    const filter = this.reshaped(each(scale ?? this.scalar(1)), [count, 1, 1, 1]);
    const offset = shift && this.reshaped(each(shift), [count]);
    const y = this.one('Conv', [flat(x.physical), filter, offset, plus && flat(this.alike(plus, x).physical)], [1, count, 1, product(shape) / count], 'float32', { group: count, kernel_shape: [1, 1] }, 'com.microsoft.nchwc');
    return { ...x, physical: this.reshaped(y, sizes) };
  }

  cast(x: Ref, type: ElementType): Ref {
    if (x.physical.type === type) return x;
    const number = this.constantOf(x);
    if (number !== undefined && type !== 'float16' && Number.isFinite(number)) {
      const value = type === 'bool' ? (number === 0 ? 0 : 1) : type === 'float32' ? number : Math.trunc(number);
      return { ...x, physical: this.constant([value], x.physical.shape, type).physical };
    }
    return this.unary('Cast', x, { attributes: { to: elementTypes[type] }, type });
  }

  /** Sum, Mean, Max, Min or Prod over logical axes. Axes that are only read as larger are not computed. */
  reduce(name: 'Sum' | 'Mean' | 'Max' | 'Min' | 'Prod', x: Ref, axes: Sizes, keepDims: boolean): Ref {
    const shape = keepDims ? x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size)) : x.shape.filter((_, axis) => !axes.includes(axis));
    if (x.shape.includes(0)) return this.op(`Reduce${name}`, [x, this.constant(axes, [axes.length], 'int64')], { attributes: { keepdims: keepDims ? 1 : 0 }, shape });
    const copies = product(axes.map((axis) => ((x.axes[axis] as Sizes).length === 0 ? x.shape[axis] as number : 1)));
    const source = copies > 1 && name === 'Prod' ? this.settled(x) : x;
    const places = axes.flatMap((axis) => source.axes[axis] as Sizes).sort((a, b) => a - b);
    const { physical: { type } } = source;
    let { physical } = source;
    for (const step of reduceSteps(physical.shape, places)) {
      physical = this.one(`Reduce${name}`, [physical, this.list(step)], physical.shape.map((size, place) => (step.includes(place) ? 1 : size)), type, { keepdims: 1 });
    }
    if (copies > 1 && name === 'Sum') physical = this.elementwise('Mul', [this.refer(physical), this.scalar(copies, type)]).physical;
    const kept = source.axes.map((list, axis) => (axes.includes(axis) ? [] : list));
    return { physical, shape, axes: keepDims ? kept : kept.filter((_, axis) => !axes.includes(axis)) };
  }

  concat(xs: readonly Ref[], axis: number): Ref {
    const [first] = xs as [Ref];
    if (xs.length === 1) return first;
    const total = xs.reduce((sum, x) => sum + (x.shape[axis] as number), 0);
    const shape = first.shape.map((n, i) => (i === axis ? total : n));
    // Along the axis all parts take the inner pieces of the one they follow, if they can be divided so.
    const led = this.leader(xs);
    const unit = product((led.axes[axis] as Sizes).slice(1).map((place) => led.physical.shape[place] as number));
    const leader = xs.every((x) => (x.shape[axis] as number) % unit === 0) ? led : this.merged(led, axis);
    const apart = (x: Ref): Ref => ({ ...x, shape: leader.shape, axes: x.axes.map((places, i) => (i === axis ? [] : places)) });
    const met = this.meeting(leader, xs.filter((x) => x !== led).map(apart), leader.shape);
    const sequence = met.some((piece) => piece.axis === axis) ? met : insertAxis(met, [{ axis, rank: 0, size: 1 }]);
    const step = product(sequence.flatMap((piece) => (piece.axis === axis && piece.rank > 0 ? [piece.size] : [])));
    const sized = (count: number): Piece[] => sequence.map((piece) => (piece.axis === axis && piece.rank === 0 ? { ...piece, size: count / step } : piece));
    const isSpread = (at: number): boolean => at !== axis && xs.every((x) => (x.axes[at] as Sizes).length === 0);
    const parts = xs.map((x) => this.arrange(x, sized(x.shape[axis] as number), (at) => !isSpread(at)));
    const joined = sized(total);
    const physical = this.one('Concat', parts, joined.map(({ size, axis: at }) => (isSpread(at) ? 1 : size)), first.physical.type, { axis: sequence.findIndex((piece) => piece.axis === axis && piece.rank === 0) });
    return { physical, shape, axes: axesOf(joined, shape.length).map((places, at) => (isSpread(at) ? [] : places)) };
  }

  /** A reading whose outermost piece of an axis can be cut at multiples of `unit`: the reading, and how many numbers of the axis one step of that piece is. */
  #cuttable(x: Ref, axis: number, units: Sizes): { ref: Ref; place: number; unit: number } {
    const places = x.axes[axis] as Sizes;
    const unit = product(places.slice(1).map((place) => x.physical.shape[place] as number));
    if (places.length > 0 && units.every((n) => n % unit === 0)) return { ref: x, place: places[0] as number, unit };
    const ref = this.merged(x, axis);
    return { ref, place: (ref.axes[axis] as Sizes)[0] as number, unit: 1 };
  }

  /** Part of a value: per axis where it begins and how long it is. */
  slice(x: Ref, begin: Sizes, size: Sizes): Ref {
    return range(x.shape.length).reduce((part, axis) => {
      const [from, count] = [begin[axis] as number, size[axis] as number];
      return count === part.shape[axis] ? part : this.#cut(part, axis, from, from + count, 1, count);
    }, x);
  }

  /** Every `stride`-th position along one axis, from `start`, `count` of them. A negative stride runs backwards. */
  every(x: Ref, axis: number, start: number, stride: number, count: number): Ref {
    const last = start + stride * count;
    // WebGPU walks back rightly from the last place only.
    if (stride < 0 && start < (x.shape[axis] as number) - 1) return this.every(this.slice(x, x.shape.map(() => 0), x.shape.map((n, i) => (i === axis ? start + 1 : n))), axis, start, stride, count);
    return this.#cut(x, axis, start, stride < 0 ? (last < 0 ? -(2 ** 31) : last) : Math.min(last, x.shape[axis] as number), stride, count);
  }

  #cut(x: Ref, axis: number, start: number, end: number, stride: number, count: number): Ref {
    const shape = x.shape.map((n, i) => (i === axis ? count : n));
    if ((x.axes[axis] as Sizes).length === 0) return count === 0 ? this.#cut(this.settled({ ...x, axes: x.axes }), axis, start, end, stride, count) : { ...x, shape };
    const { ref, place, unit } = this.#cuttable(x, axis, stride === 1 ? [start, count] : [1]);
    const physicalShape = ref.physical.shape.map((n, i) => (i === place ? count / unit : n));
    const steps = stride === 1 ? [] : [this.list([stride])];
    const physical = this.one('Slice', [ref.physical, this.list([start / unit]), this.list([stride === 1 ? end / unit : end]), this.list([place]), ...steps], physicalShape, ref.physical.type);
    return { physical, shape, axes: ref.axes.map((list, i) => (i === axis ? list.filter((at) => physicalShape[at] !== 1) : list)) };
  }

  /** Turns axes round. */
  flip(x: Ref, axes: Sizes): Ref {
    const turned = axes.reduce((ref, axis) => this.merged(ref, axis), x);
    const places = axes.flatMap((axis) => turned.axes[axis] as Sizes);
    if (places.length === 0) return turned;
    const all = (value: number | ((place: number) => number)): Physical => this.list(places.map((place) => (typeof value === 'number' ? value : value(place))));
    const physical = this.one('Slice', [turned.physical, all((place) => (turned.physical.shape[place] as number) - 1), all(-(2 ** 31)), this.list(places), all(-1)], turned.physical.shape, turned.physical.type);
    return { ...turned, physical };
  }

  /** Neighbouring parts along one axis. */
  split(x: Ref, sizes: Sizes, axis: number): Ref[] {
    const shapes = sizes.map((size) => x.shape.map((n, i) => (i === axis ? size : n)));
    if (sizes.length === 1) return [x];
    if ((x.axes[axis] as Sizes).length === 0) return shapes.map((shape) => (shape.includes(0) ? this.#cut(x, axis, 0, 0, 1, 0) : { ...x, shape }));
    const { ref, place, unit } = this.#cuttable(x, axis, sizes);
    const outputs = sizes.map((size) => ({ shape: ref.physical.shape.map((n, i) => (i === place ? size / unit : n)), type: ref.physical.type }));
    return this.node('Split', [ref.physical, this.list(sizes.map((size) => size / unit))], outputs, { axis: place }).map((physical, i) => ({
      physical, shape: shapes[i] as number[], axes: ref.axes.map((list) => list.filter((at) => physical.shape[at] !== 1)),
    }));
  }

  /** Surrounds a value with a constant, [before, after] per axis. */
  pad(x: Ref, paddings: readonly (readonly [number, number])[], value = 0): Ref {
    const padded = range(x.shape.length).filter((axis) => (paddings[axis] ?? [0, 0]).some((n) => n !== 0));
    if (padded.length === 0) return x;
    const shape = x.shape.map((n, i) => n + (paddings[i]?.[0] ?? 0) + (paddings[i]?.[1] ?? 0));
    const spread = padded.some((axis) => (x.axes[axis] as Sizes).length === 0);
    let ref = spread ? this.#unspread(x, padded) : x;
    const at = new Map<number, readonly [number, number]>();
    for (const axis of padded) ref = this.#cuttable(ref, axis, paddings[axis] as [number, number]).ref;
    for (const axis of padded) {
      const { place, unit } = this.#cuttable(ref, axis, paddings[axis] as [number, number]);
      const [before, after] = paddings[axis] as [number, number];
      at.set(place, [before / unit, after / unit]);
    }
    const side = (i: 0 | 1): number[] => ref.physical.shape.map((_, place) => at.get(place)?.[i] ?? 0);
    const physicalShape = ref.physical.shape.map((n, place) => n + (at.get(place)?.[0] ?? 0) + (at.get(place)?.[1] ?? 0));
    const physical = this.one('Pad', [ref.physical, this.list([...side(0), ...side(1)]), this.scalar(value, ref.physical.type).physical], physicalShape, ref.physical.type, { mode: 'constant' });
    return { physical, shape, axes: ref.axes };
  }

  /** The same with axes that are not stored (of size 1, or read as larger) given a place of their own. */
  #unspread(x: Ref, axes: Sizes): Ref {
    const missing = axes.filter((axis) => (x.axes[axis] as Sizes).length === 0);
    const sequence = missing.reduce((all, axis) => insertAxis(all, [{ axis, rank: 0, size: x.shape[axis] as number }]), sequenceOf(x.physical.shape, x.axes));
    const physical = this.arrange(x, sequence, (axis) => missing.includes(axis));
    const read: number[][] = x.shape.map(() => []);
    sequence.forEach(({ axis, rank }, place) => { (read[axis] as number[])[rank] = place; });
    return { physical, shape: x.shape, axes: read };
  }

  /** Matrix product over the last two axes, either operand read transposed, batch axes broadcast; `alpha` scales the result. */
  matMul(a: Ref, b: Ref, transposeA = false, transposeB = false, alpha = 1): Ref {
    const swap = (x: Ref): Ref => this.transpose(x, [...range(x.shape.length - 2), x.shape.length - 1, x.shape.length - 2]);
    const [left, right] = [transposeA ? swap(a) : a, transposeB ? swap(b) : b];
    const shape = [...broadcastShapes(left.shape.slice(0, -2), right.shape.slice(0, -2)), left.shape.at(-2) as number, right.shape.at(-1) as number];
    const laid = (x: Ref): { physical: Physical; swapped: boolean } => {
      const swapped = this.contrib && x.physical.type === 'float32' && !this.isInOrder(x) && this.isInOrder(swap(x));
      const read = swapped ? swap(x) : x;
      // Batch axes may stay unexpanded: the product broadcasts them itself.
      return { physical: this.arrange(read, read.shape.map((size, axis) => ({ axis, rank: 0, size })), (axis) => axis >= read.shape.length - 2), swapped };
    };
    const [l, r] = [laid(left), laid(right)];
    const batch = broadcastShapes(l.physical.shape.slice(0, -2), r.physical.shape.slice(0, -2));
    const physicalShape = [...batch, ...shape.slice(-2)];
    const { type } = l.physical;
    const scaled = alpha !== 1 && this.contrib;
    const out = l.swapped || r.swapped || scaled
      ? this.one('FusedMatMul', [l.physical, r.physical], physicalShape, type, { ...(l.swapped && { transA: 1 }), ...(r.swapped && { transB: 1 }), ...(scaled && { alpha: { float: alpha } }) }, 'com.microsoft')
      : this.one('MatMul', [l.physical, r.physical], physicalShape, type);
    const result = this.broadcast(this.refer(out), shape);
    return alpha !== 1 && !scaled ? this.elementwise('Mul', [result, this.scalar(alpha)]) : result;
  }

  /** The model whose results, named o0, o1, ... unless `names` says otherwise, are the given values in logical order. */
  define(name: string, results: readonly Ref[], names: Finish['names'] = {}): ModelDef { return this.finished(name, results.map((ref) => this.plain(ref)), names, (physical, to) => this.reshaped(physical, to)); }

  /** The model as a file. */
  encode(name: string, results: readonly Ref[]): Uint8Array { return encodeModel(this.define(name, results)); }
}
