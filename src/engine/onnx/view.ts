/**
 * How a logical tensor is read from physical memory. Logical axis i is made of the physical axes `axes[i]`, most significant first; an axis made of none has size 1
 * or is read as larger than it is stored. So axes may lie in any order, and may be stored in pieces far apart, as the channels of [B, C/8, H, W, 8] are.
 */
export type Sizes = readonly number[];
export type Axes = readonly Sizes[];

/** One piece of a logical axis: which axis, which of its pieces (0 is the most significant), and how long. */
export type Piece = Readonly<{ axis: number; rank: number; size: number }>;

export const product = (sizes: Sizes): number => sizes.reduce((total, n) => total * n, 1);
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

/** The reading in which logical axes are the physical ones. */
export const plainAxes = (shape: Sizes): number[][] => shape.map((n, i) => (n === 1 ? [] : [i]));

/** Pieces of one axis that both of two divisions of it can be divided into; undefined when there are none. */
export const commonPieces = (a: Sizes, b: Sizes): number[] | undefined => {
  const pieces: number[] = [];
  let [i, j, m, n] = [0, 0, a[0] ?? 1, b[0] ?? 1];
  while (i < a.length && j < b.length) {
    if (m === n) { pieces.push(m); m = a[++i] ?? 1; n = b[++j] ?? 1; continue; }
    // Compared from the most significant end, the smaller piece must divide the larger.
    const [small, large] = m < n ? [m, n] : [n, m];
    if (large % small !== 0) return undefined;
    pieces.push(small);
    if (m < n) { n = large / small; m = a[++i] ?? 1; } else { m = large / small; n = b[++j] ?? 1; }
  }
  return i === a.length && j === b.length ? pieces : undefined;
};

/** The pieces of a physical shape in its own order, by the logical axes they belong to. */
export const sequenceOf = (physical: Sizes, axes: Axes): Piece[] => {
  const at = new Map<number, Piece>();
  axes.forEach((places, axis) => places.forEach((place, rank) => at.set(place, { axis, rank, size: physical[place] as number })));
  return range(physical.length).flatMap((place) => at.get(place) ?? []);
};

/** The reading of a value whose physical axes are exactly these pieces. */
export const axesOf = (sequence: readonly Piece[], rank: number): number[][] => {
  const axes: number[][] = range(rank).map(() => []);
  sequence.forEach(({ axis, rank: k, size }, place) => { if (size !== 1) (axes[axis] as number[])[k] = place; });
  return axes.map((places) => places.filter((place) => place !== undefined));
};

/** Divides physical axes: which sizes each becomes. Returns the new physical shape and where each piece is. */
export const divide = (physical: Sizes, pieces: ReadonlyMap<number, Sizes>): { shape: number[]; places: number[][] } => {
  const shape: number[] = [];
  const places = physical.map((size, place) => {
    const parts = pieces.get(place) ?? [size];
    const at = range(parts.length).map((i) => shape.length + i);
    shape.push(...parts);
    return at;
  });
  return { shape, places };
};

/**
 * The reading under another logical shape of the same size, dividing physical axes where it must; undefined when memory would have to move.
 * @returns how physical axes are divided, and the axes on the divided shape
 */
export const reread = (physical: Sizes, axes: Axes, from: Sizes, to: Sizes): { shape: number[]; axes: number[][] } | undefined => {
  if (from.includes(0)) return undefined;
  // All pieces in logical order; a spread axis is a piece without a place.
  const stack = from.flatMap((size, i) => {
    const places = axes[i] as Sizes;
    return places.length > 0 ? places.map((place) => ({ place, size: physical[place] as number })) : size === 1 ? [] : [{ place: -1, size }];
  }).reverse();
  const pieces = new Map<number, number[]>();
  const wanted: { place: number; part: number }[][] = [];
  for (const size of to) {
    const parts: { place: number; part: number }[] = [];
    let left = size;
    while (left > 1) {
      const next = stack.pop() as { place: number; size: number };
      const taken = Math.min(left, next.size);
      if (left % taken !== 0 || next.size % taken !== 0) return undefined;
      const own = pieces.get(next.place) ?? [];
      parts.push({ place: next.place, part: own.length });
      if (next.place >= 0) pieces.set(next.place, [...own, taken]);
      if (next.size > taken) stack.push({ place: next.place, size: next.size / taken });
      left /= taken;
    }
    // Part stored, part spread: no one stride reads that.
    if (parts.some(({ place }) => place < 0) && parts.some(({ place }) => place >= 0)) return undefined;
    wanted.push(parts);
  }
  const { shape, places } = divide(physical, pieces);
  return { shape, axes: wanted.map((parts) => parts.flatMap(({ place, part }) => (place < 0 ? [] : [(places[place] as number[])[part] as number]))) };
};

/** Joins neighbours that stay neighbours: a transpose of as few axes as possible. */
export const coalesce = (shape: Sizes, perm: Sizes): { shape: number[]; perm: number[] } => {
  const order = perm.filter((axis) => shape[axis] !== 1);
  const runs: number[][] = [];
  for (const axis of order) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    const between = last === undefined ? [] : shape.slice(last + 1, axis);
    if (run && last !== undefined && last < axis && between.every((n) => n === 1)) run.push(axis);
    else runs.push([axis]);
  }
  const sorted = [...runs].sort((a, b) => (a[0] as number) - (b[0] as number));
  return { shape: sorted.map((run) => product(run.map((axis) => shape[axis] as number))), perm: runs.map((run) => sorted.indexOf(run)) };
};

/**
 * A transpose as one that the runtime does fast, or as few of those as possible one after the other. Fast is to exchange two neighbouring runs of axes, either as plain
 * matrices or moving whole rows; everything else it does number by number.
 * @param block numbers to a block, of which the runtime has exchanges of its own; 0 where it has none
 */
export const transposeSteps = (shape: Sizes, perm: Sizes, block = 0): readonly Readonly<{ shape: Sizes; perm: Sizes }>[] => {
  const whole = coalesce(shape, perm);
  if (isFast(whole.perm) || whole.perm.length > 6) return whole.perm.length < 2 ? [] : [whole];
  const key = (order: Sizes): string => order.join();
  const rank = whole.perm.length;
  const start = range(rank);
  const seen = new Map<string, { order: number[]; cost: number; via: { from: string; move: readonly [number, number, number] } | undefined }>();
  seen.set(key(start), { order: start, cost: 0, via: undefined });
  const open = [key(start)];
  const goal = key(whole.perm);
  while (open.length > 0) {
    open.sort((a, b) => (seen.get(a)?.cost ?? 0) - (seen.get(b)?.cost ?? 0));
    const at = open.shift() as string;
    const { order, cost } = seen.get(at) as { order: number[]; cost: number };
    if (at === goal) break;
    for (let i = 0; i < rank; i++) for (let j = i + 1; j < rank; j++) for (let k = j + 1; k <= rank; k++) {
      const next = [...order.slice(0, i), ...order.slice(j, k), ...order.slice(i, j), ...order.slice(k)];
      const [a, b, inner] = [order.slice(i, j), order.slice(j, k), order.slice(k)].map((axes) => product(axes.map((axis) => whole.shape[axis] as number))) as [number, number, number];
      const price = cost + (exchangesBlocks({ outer: 1, a, b, inner }, block) ? 2 : 5) + (inner > 1 && inner < 8 ? 20 : inner === 8 ? 5 : 0);
      const known = seen.get(key(next));
      if (known && known.cost <= price) continue;
      seen.set(key(next), { order: next, cost: price, via: { from: at, move: [i, j, k] } });
      open.push(key(next));
    }
  }
  const steps: { shape: number[]; perm: number[] }[] = [];
  for (let at = seen.get(goal); at?.via; at = seen.get(at.via.from)) {
    const { order } = seen.get(at.via.from) as { order: number[] };
    const [i, j, k] = at.via.move;
    const places = range(rank);
    steps.unshift({ shape: order.map((axis) => whole.shape[axis] as number), perm: [...places.slice(0, i), ...places.slice(j, k), ...places.slice(i, j), ...places.slice(k)] });
  }
  return steps.map((step) => coalesce(step.shape, step.perm));
};

/** [outer, a, b, inner] to [outer, b, a, inner]. */
export type Exchange = Readonly<{ outer: number; a: number; b: number; inner: number }>;

/** A coalesced transpose as an exchange, where it is one. */
export const exchangeOf = (shape: Sizes, perm: Sizes): Exchange | undefined => {
  if (perm.length < 2 || !isFast(perm)) return undefined;
  const first = perm[0] === 0 ? 1 : 0;
  return { outer: first === 1 ? shape[0] as number : 1, a: shape[first] as number, b: shape[first + 1] as number, inner: shape[first + 2] ?? 1 };
};

/** Whether it moves blocks of neighbours, or makes or takes apart such blocks: what the runtime's reordering of channels does. */
export const exchangesBlocks = ({ a, b, inner }: Exchange, block: number): boolean => block > 0 && (inner === block || (inner === 1 && (a === block || b === block)));

/** Whether a coalesced transpose exchanges two neighbouring runs: [outer, a, b, inner] to [outer, b, a, inner]. */
const isFast = (perm: Sizes): boolean => perm.length < 3 || [[0, 2, 1], [1, 0, 2], [0, 2, 1, 3]].some((fast) => sameSizes(fast, perm));

/** Axes to reduce, as reductions that the runtime does fast: over one run of neighbouring axes, or over all but one such run. The longest run comes first. */
export const reduceSteps = (shape: Sizes, places: Sizes): number[][] => {
  const runs: { reduced: boolean; places: number[] }[] = [];
  shape.forEach((size, place) => {
    if (size === 1) return;
    const reduced = places.includes(place);
    const run = runs.at(-1);
    if (run?.reduced === reduced) run.places.push(place);
    else runs.push({ reduced, places: [place] });
  });
  const reduced = runs.filter((run) => run.reduced);
  if (reduced.length === 0) return [];
  if (reduced.length === 1 || runs.length === 3) return [reduced.flatMap((run) => run.places)];
  const length = ({ places: own }: { places: number[] }): number => product(own.map((place) => shape[place] as number));
  const longest = reduced.reduce((best, run) => (length(run) > length(best) ? run : best));
  const left = shape.map((size, place) => (longest.places.includes(place) ? 1 : size));
  return [longest.places, ...reduceSteps(left, places.filter((place) => !longest.places.includes(place)))];
};
