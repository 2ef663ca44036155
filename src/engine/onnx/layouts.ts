/** The middle layer of a graph in the making: how logical tensors lie in memory. Transposes, reshapes and broadcasts are readings (see view.ts); memory moves when a node asks for an order. */
import type { Attributes, ElementType } from './proto.ts';
import { type OpOptions, type Outline, type Physical, type Ref, Nodes } from './nodes.ts';
import { type Piece, type Sizes, axesOf, commonPieces, divide, exchangeOf, exchangesBlocks, product, reread, sameSizes, sequenceOf, transposeSteps } from './view.ts';

/** A sequence with the pieces of one more axis in it, after those of the axes before. */
export const insertAxis = (sequence: readonly Piece[], pieces: readonly Piece[]): Piece[] => {
  const after = Math.max(-1, ...sequence.flatMap(({ axis }, i) => (axis < (pieces[0]?.axis ?? 0) ? [i] : [])));
  return [...sequence.slice(0, after + 1), ...pieces, ...sequence.slice(after + 1)];
};

export class Layouts extends Nodes {
  protected reshaped(physical: Physical, shape: Sizes): Physical {
    let source = physical;
    while (source.node?.op === 'Reshape') source = source.node.inputs[0] as Physical;
    if (sameSizes(source.shape, shape)) return source;
    if (source.constant) return this.constant(source.constant, shape, source.type).physical;
    return this.one('Reshape', [source, this.list(shape)], shape, source.type, shape.includes(0) ? { allowzero: 1 } : {});
  }

  /**
   * The value in memory as a sequence of pieces: axis after axis, or axes divided and interleaved. An axis that is only read as larger than it is
   * stored stays so (as size 1), unless `expand` asks for it in full.
   */
  arrange(ref: Ref, sequence: readonly Piece[], expand: boolean | ((axis: number) => boolean) = true): Physical {
    if (product(ref.shape) === 0) return this.constant([], sequence.map(({ size }) => size), ref.physical.type).physical;
    const want = ref.shape.map((_, axis) => sequence.filter((piece) => piece.axis === axis).sort((a, b) => a.rank - b.rank).map(({ size }) => size));
    const have = ref.axes.map((places) => places.map((place) => ref.physical.shape[place] as number));
    const refined = have.map((sizes, axis) => (sizes.length === 0 ? [] : commonPieces(sizes, want[axis] as number[])));
    if (refined.includes(undefined)) return this.arrange(this.settled(ref), sequence, expand);
    // Divide what is stored so that no piece straddles two wanted ones.
    const pieces = new Map<number, number[]>();
    const parts = ref.axes.map((places, axis) => {
      const queue = [...refined[axis] as number[]];
      return places.flatMap((place) => {
        const own: number[] = [];
        while (product(own) < (ref.physical.shape[place] as number)) own.push(queue.shift() as number);
        pieces.set(place, own);
        return own.map((_, i) => ({ place, part: i }));
      });
    });
    const { shape, places } = divide(ref.physical.shape, pieces);
    const stored = parts.map((list) => list.map(({ place, part }) => (places[place] as number[])[part] as number));
    // The pieces each wanted piece is made of, in its order.
    const next = stored.map((list) => [...list]);
    const made = new Map<Piece, number[]>();
    for (const piece of [...sequence].sort((a, b) => a.rank - b.rank)) {
      const own: number[] = [];
      const queue = next[piece.axis] as number[];
      while (queue.length > 0 && product(own.map((at) => shape[at] as number)) < piece.size) own.push(queue.shift() as number);
      made.set(piece, own);
    }
    const perm = sequence.flatMap((piece) => made.get(piece) as number[]);
    let physical = this.reshaped(ref.physical, shape);
    for (const step of transposeSteps(shape, perm, physical.type === 'float32' ? this.block : 0)) physical = this.#exchanged(physical, step.shape, step.perm);
    const isStored = (axis: number): boolean => (ref.axes[axis] as Sizes).length > 0;
    physical = this.reshaped(physical, sequence.map(({ axis, size }) => (isStored(axis) ? size : 1)));
    const full = sequence.map(({ axis, size }) => (isStored(axis) || expand === true || (expand !== false && expand(axis)) ? size : 1));
    return sameSizes(physical.shape, full) ? physical : this.one('Expand', [physical, this.list(full)], full, physical.type);
  }

  /** A value with its axes in another order. The runtime's reordering of channels into blocks does the same as some transposes, and several times as fast. */
  #exchanged(physical: Physical, shape: Sizes, perm: Sizes): Physical {
    const target = perm.map((axis) => shape[axis] as number);
    const exchange = exchangeOf(shape, perm);
    if (!exchange || physical.type !== 'float32' || !exchangesBlocks(exchange, this.block)) return this.one('Transpose', [this.reshaped(physical, shape)], target, physical.type, { perm });
    const { outer, a, b, inner } = exchange;
    const block = this.block;
    const reorder = (op: 'ReorderInput' | 'ReorderOutput', from: Sizes, to: Sizes, attributes: Attributes): Physical =>
      this.reshaped(this.one(op, [this.reshaped(physical, from)], to, 'float32', attributes, 'com.microsoft.nchwc'), target);
    // As images of rows of channels, or of one block of channels; which of the two that fit is faster depends on what is long.
    if (inner === block && a >= b) return reorder('ReorderInput', [outer, 1, a, b * block], [outer, b * block, 1, a], { channels_last: 1 });
    if (inner === block) return reorder('ReorderOutput', [outer, a * block, 1, b], [outer, 1, b, a * block], { channels: a * block, channels_last: 1 });
    return a === block ? reorder('ReorderInput', [outer, block, 1, b], [outer, block, 1, b], {}) : reorder('ReorderOutput', [outer, block, 1, a], [outer, block, 1, a], { channels: block });
  }

  /** The value in logical order, full size: what nodes that know nothing of layouts take. */
  plain(ref: Ref): Physical { return this.arrange(ref, ref.shape.map((size, axis) => ({ axis, rank: 0, size }))); }

  /** The value in logical order at full size, still as a reference. */
  settled(ref: Ref): Ref { return this.refer(this.plain(ref)); }

  /** A physical value whose axes are the given pieces, read as a tensor of shape `shape`. */
  viewed(physical: Physical, sequence: readonly Piece[], shape: Sizes): Ref {
    return { physical: this.reshaped(physical, sequence.map(({ size }) => size)), shape, axes: axesOf(sequence, shape.length) };
  }

  /** Whether reading it in logical order needs no memory to move. */
  protected isInOrder({ physical, axes }: Ref): boolean {
    const places = axes.flat().filter((place) => physical.shape[place] !== 1);
    return places.every((place, i) => i === 0 || place > (places[i - 1] as number));
  }

  /** The same with one axis stored in one piece. */
  protected merged(ref: Ref, axis: number): Ref {
    if ((ref.axes[axis] as Sizes).length < 2) return ref;
    const sequence = sequenceOf(ref.physical.shape, ref.axes).filter((piece) => piece.axis !== axis || piece.rank === 0)
      .map((piece) => (piece.axis === axis ? { ...piece, size: ref.shape[axis] as number } : piece));
    return this.viewed(this.arrange(ref, sequence, false), sequence, ref.shape);
  }

  /** Reads axes in another order; nothing is copied. */
  transpose(x: Ref, perm: Sizes): Ref {
    return { physical: x.physical, shape: perm.map((axis) => x.shape[axis] as number), axes: perm.map((axis) => x.axes[axis] as Sizes) };
  }

  /** Another shape of the same size; memory moves only where no reading will do. */
  reshape(x: Ref, shape: Sizes): Ref {
    if (sameSizes(x.shape, shape)) return x;
    const view = reread(x.physical.shape, x.axes, x.shape, shape);
    return view ? { physical: this.reshaped(x.physical, view.shape), shape, axes: view.axes } : this.refer(this.reshaped(this.plain(x), shape));
  }

  /** Reads a value at a larger shape; nothing is copied. */
  broadcast(x: Ref, shape: Sizes): Ref {
    return { physical: x.physical, shape, axes: [...Array<number[]>(shape.length - x.shape.length).fill([]), ...x.axes] };
  }

  /** The operand whose layout the others follow: the largest, and among equals one that is not in plain order, as convolutions leave it. */
  protected leader(operands: readonly Ref[]): Ref {
    const weight = (ref: Ref): number => product(ref.physical.shape) * 2 + (this.isInOrder(ref) ? 0 : 1);
    return operands.reduce((best, x) => (weight(x) > weight(best) ? x : best));
  }

  /** The layout in which operands meet: that of the leader, divided as finely as the others ask; axes that it does not store come after the axis before them. */
  protected meeting(leader: Ref, operands: readonly Ref[], shape: Sizes): Piece[] {
    const sizesOf = ({ physical, axes }: Ref): number[][] => axes.map((places) => places.map((place) => physical.shape[place] as number));
    const read = [leader, ...operands.filter((x) => x !== leader)].map((x) => this.broadcast(x, shape));
    const sizes = shape.map((_, axis) => read.map((x) => sizesOf(x)[axis] as number[]).filter((own) => own.length > 0).reduce<number[]>((all, own) => (all.length === 0 ? own : commonPieces(all, own) ?? all), []));
    const first = read[0] as Ref;
    // Which of the common pieces each of the leader's own is made of.
    const parts = sizesOf(first).map((own, axis) => {
      const queue = (sizes[axis] as number[]).map((size, rank) => ({ axis, rank, size }));
      return own.map((size) => { const made: Piece[] = []; while (product(made.map((piece) => piece.size)) < size) made.push(queue.shift() as Piece); return made; });
    });
    const sequence = sequenceOf(first.physical.shape, first.axes).flatMap(({ axis, rank }) => parts[axis]?.[rank] ?? []);
    return shape.reduce<Piece[]>((all, _, axis) => ((first.axes[axis] as Sizes).length > 0 ? all : insertAxis(all, (sizes[axis] as number[]).map((size, rank) => ({ axis, rank, size })))), sequence);
  }

  /** An operation on physical values, for kernels that know their layout. */
  physicalOp(name: string, inputs: readonly (Physical | undefined)[], shape: Sizes, attributes: Attributes, domain = '', type: ElementType = 'float32'): Physical {
    return this.one(name, inputs, shape, type, attributes, domain);
  }

  /** The same memory under another shape. */
  physicalReshape(physical: Physical, shape: Sizes): Physical { return this.reshaped(physical, shape); }

  /** An operation on values in logical order, with one result. */
  op(name: string, inputs: readonly (Ref | undefined)[], { attributes, domain, type, shape }: OpOptions = {}): Ref {
    const first = inputs[0] as Ref;
    return this.refer(this.one(name, inputs.map((input) => input && this.plain(input)), shape ?? first.shape, type ?? first.physical.type, attributes, domain));
  }

  /** The same with several results. */
  ops(name: string, inputs: readonly (Ref | undefined)[], outputs: readonly Outline[], attributes: Attributes = {}, domain = ''): Ref[] {
    return this.node(name, inputs.map((input) => input && this.plain(input)), outputs, attributes, domain).map((physical) => this.refer(physical));
  }
}
