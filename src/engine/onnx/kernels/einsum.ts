/** Einstein sums of one operand or two, as one matrix product. */
import * as tf from '../../../tf.ts';
import { type Graph, type Ref, range } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';

const product = (sizes: readonly number[]): number => sizes.reduce((total, n) => total * n, 1);

type Term = Readonly<{ value: Ref; letters: readonly string[] }>;

const parse = (equation: string, operands: number): { terms: string[][]; out: string[] } => {
  // Refuses what TensorFlow.js refuses: repeated letters within a term, more than two operands.
  tf.backend_util.decodeEinsumEquation(equation, operands);
  const [left = '', right = ''] = equation.replaceAll(/\s/g, '').split('->');
  return { terms: left.split(',').map((term) => [...term]), out: [...right] };
};

const sizesOf = (terms: readonly (readonly string[])[], shapes: readonly (readonly number[])[]): Map<string, number> => {
  const sizes = new Map<string, number>();
  terms.forEach((letters, i) => letters.forEach((letter, axis) => {
    const size = shapes[i]?.[axis] as number;
    if ((sizes.get(letter) ?? size) !== size) throw new Error(`Expected dimension ${sizes.get(letter)} at axis ${axis} of input shaped [${shapes[i]}], but got dimension ${size}`);
    sizes.set(letter, size);
  }));
  return sizes;
};

/** Sums over the letters that `wanted` does not have. */
const sumOut = (graph: Graph, { value, letters }: Term, wanted: readonly string[]): Term => {
  const axes = range(letters.length).filter((i) => !wanted.includes(letters[i] as string));
  return axes.length === 0 ? { value, letters } : { value: graph.reduce('Sum', value, axes, false), letters: letters.filter((_, i) => !axes.includes(i)) };
};

const arrange = (graph: Graph, { value, letters }: Term, order: readonly string[]): Ref => graph.transpose(value, order.map((letter) => letters.indexOf(letter)));

const emit = (graph: Graph, operands: readonly Ref[], equation: string): Ref => {
  const { terms, out } = parse(equation, operands.length);
  const sizes = sizesOf(terms, operands.map(({ shape }) => shape));
  const [first, second] = operands.map((value, i) => sumOut(graph, { value, letters: terms[i] as string[] }, [...out, ...terms.filter((_, j) => j !== i).flat()])) as [Term, Term | undefined];
  if (!second) return arrange(graph, first, out);
  const shared = first.letters.filter((letter) => second.letters.includes(letter));
  const batch = shared.filter((letter) => out.includes(letter));
  const summed = shared.filter((letter) => !out.includes(letter));
  const [rows, columns] = [first, second].map(({ letters }) => letters.filter((letter) => !shared.includes(letter))) as [string[], string[]];
  const lengths = (letters: readonly string[]): number[] => letters.map((letter) => sizes.get(letter) as number);
  const size = (letters: readonly string[]): number => product(lengths(letters));
  const left = graph.reshape(arrange(graph, first, [...batch, ...rows, ...summed]), [...lengths(batch), size(rows), size(summed)]);
  const right = graph.reshape(arrange(graph, second, [...batch, ...summed, ...columns]), [...lengths(batch), size(summed), size(columns)]);
  // Without letters to sum over it is a product of every row with every column.
  const both = summed.length === 0 ? graph.elementwise('Mul', [left, right]) : graph.matMul(left, right);
  const order = [...batch, ...rows, ...columns];
  return arrange(graph, { value: graph.reshape(both, lengths(order)), letters: order }, out);
};

export const einsums: readonly Kernel[] = [
  kernel<{ equation: string }>({
    name: 'Einsum', inputs: 'all',
    infer: (operands, { equation }) => {
      const { terms, out } = parse(equation, operands.length);
      const sizes = sizesOf(terms, operands.map(({ shape }) => shape));
      return { shape: out.map((letter) => sizes.get(letter) as number), dtype: operands[0]?.dtype ?? 'float32' };
    },
    emit: (graph, operands, { equation }) => emit(graph, operands, equation),
  }),
];
