/**
 * Compiled graphs by structure. Numbers that were written in code are built into a graph; when one of them turns out to change from flush to flush, the next
 * graph of that structure takes it as an input, so that a changing number costs one more compilation and not one each time.
 */
import { Graph, type Ref, type Target } from './graph.ts';
import { type Layout, sameCode } from './recorder.ts';
import type { ElementType } from './proto.ts';
import { EngineError } from '../../errors.ts';

export type Plan = {
  readonly id: number;
  readonly family: Family;
  /** For each constant of the layout: the number built in, or undefined where it is an input. */
  readonly builtIn: readonly (number | undefined)[];
  model: Uint8Array | undefined;
};

type Family = { readonly code: Int32Array; readonly hash: number; readonly plans: Plan[]; readonly varying: Set<number> };

/** Writes a layout as a model: leaves are inputs, then the constants that are not built in. */
export const buildModel = ({ nodes, leaves, constants, results }: Layout, builtIn: readonly (number | undefined)[], target: Target): Uint8Array => {
  const graph = new Graph(target);
  const refs = new Map<object, Ref>();
  for (const leaf of leaves) refs.set(leaf, graph.input(leaf.spec.shape, leaf.spec.dtype as ElementType));
  constants.forEach((value, i) => {
    const { shape, dtype } = value.spec;
    const number = builtIn[i];
    refs.set(value, number === undefined ? graph.input(shape, dtype as ElementType) : graph.constant([number], shape, dtype as ElementType));
  });
  for (const { signature: { kernel, attrs, outputs }, inputs, outputs: values } of nodes) {
    let emitted: Ref | readonly Ref[];
    try {
      emitted = kernel.emit(graph, inputs.map((input) => input && refs.get(input)) as Ref[], attrs, outputs);
    } catch (cause) {
      throw new EngineError(kernel.name, `${kernel.name} could not be written as a graph: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
    }
    (Array.isArray(emitted) ? emitted as readonly Ref[] : [emitted as Ref]).forEach((ref, i) => {
      const value = values[i];
      if (value === undefined) throw new EngineError(kernel.name, `${kernel.name} wrote more results than it declared`);
      refs.set(value, ref);
    });
  }
  return graph.encode('step', results.map((value) => refs.get(value) as Ref));
};

/** The plans of one engine, with a bound on how many are kept. */
export class Plans {
  readonly #families = new Map<number, Family[]>();
  readonly #recent = new Map<number, Plan>();
  readonly #target: Target;
  readonly #bound: number;
  readonly #drop: (plan: Plan) => void;
  #next = 0;

  /** @param drop is told of each plan that falls out, the longest unused first */
  constructor(target: Target, bound: number, drop: (plan: Plan) => void) { this.#target = target; this.#bound = bound; this.#drop = drop; }

  get size(): number { return this.#recent.size; }

  /** The plan for a layout, and whether it is new: a new one has its model to be compiled. */
  find(layout: Layout): { plan: Plan; fresh: boolean } {
    const bucket = this.#families.get(layout.hash) ?? [];
    let family = bucket.find(({ code }) => sameCode(code, layout.code));
    if (!family) {
      family = { code: layout.code, hash: layout.hash, plans: [], varying: new Set() };
      bucket.push(family);
      this.#families.set(layout.hash, bucket);
    }
    const numbers = layout.constants.map(({ constant }) => constant as number);
    const known = family.plans.find(({ builtIn }) => builtIn.every((number, i) => number === undefined || Object.is(number, numbers[i])));
    if (known) {
      this.#recent.delete(known.id);
      this.#recent.set(known.id, known);
      return { plan: known, fresh: false };
    }
    for (const { builtIn } of family.plans) builtIn.forEach((number, i) => { if (number !== undefined && !Object.is(number, numbers[i])) family.varying.add(i); });
    const plan: Plan = { id: this.#next++, family, builtIn: numbers.map((number, i) => (family.varying.has(i) ? undefined : number)), model: undefined };
    plan.model = buildModel(layout, plan.builtIn, this.#target);
    family.plans.push(plan);
    this.#recent.set(plan.id, plan);
    if (this.#recent.size > this.#bound) this.remove(this.#recent.values().next().value as Plan);
    return { plan, fresh: true };
  }

  /** Forgets a plan; the executor is told to free its session. */
  remove(plan: Plan): void {
    if (!this.#recent.delete(plan.id)) return;
    const { family } = plan;
    family.plans.splice(family.plans.indexOf(plan), 1);
    if (family.plans.length === 0) {
      const bucket = this.#families.get(family.hash) as Family[];
      bucket.splice(bucket.indexOf(family), 1);
      if (bucket.length === 0) this.#families.delete(family.hash);
    }
    this.#drop(plan);
  }

  /** Forgets all plans. */
  clear(): void { for (const plan of [...this.#recent.values()]) this.remove(plan); }
}
