/**
 * Softmax attention and its gradients. Where the scores of all queries at once would be large they are computed for some queries at a time, forward and again
 * backward, so that a step needs room for one such part and not for the whole matrix; every query's row is the same either way.
 * @source Dao et al. 2022, arXiv 2205.14135, sec. 3.1 and algorithm 4: recomputed scores, and the row sums of dP P as those of dy y
 */
import { type Graph, type Ref, range } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';

type Options = Readonly<{ scale: number }>;
type Operands = Readonly<{ q: Ref; k: Ref; v: Ref }>;

/** Scores that are computed at once at the most: 64 MiB of them. */
const scoresAtOnce = 2 ** 24;
/** Scores of one part where there are parts, and the fewest queries to a part: smaller ones leave threads idle. */
const scoresOfPart = 2 ** 23;
const fewestQueries = 128;

/** How many queries each part has. Files for other runtimes keep attention in one piece, as those know it. */
const partsOf = (graph: Graph, queries: number, scoresOfQuery: number): number[] => {
  if (!graph.contrib || queries * scoresOfQuery <= scoresAtOnce) return [queries];
  const size = Math.max(fewestQueries, Math.floor(scoresOfPart / scoresOfQuery / fewestQueries) * fewestQueries);
  return range(Math.ceil(queries / size)).map((i) => Math.min(size, queries - i * size));
};

/** The operands in memory order where they are cut, and where each part begins. */
const cut = (graph: Graph, { q, k, v }: Operands): { operands: Operands; parts: readonly Readonly<{ from: number; count: number }>[] } => {
  const [queries, keys] = [q.shape.at(-2) as number, k.shape.at(-2) as number];
  const counts = partsOf(graph, queries, keys * q.shape.slice(0, -2).reduce((a, b) => a * b, 1));
  if (counts.length === 1) return { operands: { q, k, v }, parts: [{ from: 0, count: queries }] };
  return { operands: { q: graph.settled(q), k: graph.settled(k), v: graph.settled(v) }, parts: counts.map((count, i) => ({ from: i * (counts[0] as number), count })) };
};

const rows = (graph: Graph, x: Ref, { from, count }: { from: number; count: number }): Ref =>
  graph.slice(x, x.shape.map((_, axis) => (axis === x.shape.length - 2 ? from : 0)), x.shape.map((n, axis) => (axis === x.shape.length - 2 ? count : n)));

/** Shares of each key for each query: [..., queries, keys]. */
const sharesOf = (graph: Graph, q: Ref, k: Ref, scale: number): Ref => graph.op('Softmax', [graph.matMul(q, k, false, true, scale)], { attributes: { axis: -1 } });

/** Zero, once all of `results` are known: one number of each times 0. */
const zeroAfter = (graph: Graph, results: readonly Ref[]): Ref => results
  .map((x) => graph.elementwise('Mul', [graph.reshape(graph.slice(x, x.shape.map(() => 0), x.shape.map(() => 1)), []), graph.scalar(0)]))
  .reduce((a, b) => graph.elementwise('Add', [a, b]));

const outline = (x: Ref | Spec) => ({ shape: x.shape, dtype: 'float32' as const });

export const attentions: readonly Kernel[] = [
  kernel<Options>({
    name: 'Attend', inputs: ['q', 'k', 'v'],
    infer: ([q, , v]) => ({ shape: [...(q as Spec).shape.slice(0, -1), (v as Spec).shape.at(-1) as number], dtype: 'float32' }),
    emit: (graph, [q, k, v], { scale }) => {
      const { operands, parts } = cut(graph, { q: q as Ref, k: k as Ref, v: v as Ref });
      return graph.concat(parts.map((part) => graph.matMul(sharesOf(graph, rows(graph, operands.q, part), operands.k, scale), operands.v)), (q as Ref).shape.length - 2);
    },
  }),
  // With P the shares and y = P v: dv = P' dy; dS = P (dy v' - sum of dy y over each row); dq = scale dS k; dk = scale dS' q.
  kernel<Options>({
    name: 'AttendGrad', inputs: ['dy', 'q', 'k', 'v'], list: true,
    infer: ([, q, k, v]) => [q, k, v].map((x) => outline(x as Spec)),
    emit: (graph, [dy, queries, keys, values], { scale }) => {
      const { operands: { q, k, v }, parts } = cut(graph, { q: queries as Ref, k: keys as Ref, v: values as Ref });
      const given = parts.length > 1 ? graph.settled(dy as Ref) : dy as Ref;
      const last = q.shape.length - 1;
      const sum = (a: Ref | undefined, b: Ref): Ref => (a ? graph.elementwise('Add', [a, b]) : b);
      const dq: Ref[] = [];
      let [dk, dv]: (Ref | undefined)[] = [];
      for (const part of parts) {
        const [ownQ, ownDy] = [rows(graph, q, part), rows(graph, given, part)];
        // The same node as forward, where its results are kept.
        const y = graph.matMul(sharesOf(graph, ownQ, k, scale), v);
        // Scores are computed anew, each part's after the part before is done with: what is equal would be shared with forward, and kept from there to here.
        const zero = parts.length > 1 ? zeroAfter(graph, dk && dv ? [dq.at(-1) as Ref, dk, dv] : [given]) : undefined;
        const [heldQ, heldDy] = zero ? [graph.elementwise('Add', [ownQ, zero]), graph.elementwise('Add', [ownDy, zero])] : [ownQ, ownDy];
        const shares = sharesOf(graph, heldQ, k, scale);
        const row = graph.reduce('Sum', graph.elementwise('Mul', [heldDy, y]), [last], true);
        const slope = graph.elementwise('Mul', [shares, graph.elementwise('Sub', [graph.matMul(heldDy, v, false, true), row])]);
        dq.push(graph.matMul(slope, k, false, false, scale));
        dk = sum(dk, graph.matMul(slope, ownQ, true, false, scale));
        dv = sum(dv, graph.matMul(shares, heldDy, true, false));
      }
      return [graph.concat(dq, last - 1), dk as Ref, dv as Ref];
    },
  }),
];
