/** What a kernel of the lazy backend is, and the list of them. See README.md beside this file for how to add one. */
import type { Graph, Ref } from './graph.ts';
import type { OnnxBackend } from './backend.ts';
import type { Dtype, Spec, Value } from './value.ts';

/** Shape and dtype of a kernel's result. */
export type Outline = Readonly<{ shape: readonly number[]; dtype: Dtype }>;

// Kernels differ in their attributes; the list holds them with the type forgotten.
export type Attrs = Readonly<Record<string, unknown>>;

/** A kernel: what it returns, and how it is written as a graph. Both must depend on specs and attributes alone, never on values. */
export type Kernel<A = Attrs> = Readonly<{
  /** TensorFlow.js's name for it. */
  name: string;
  /** Names of its input tensors in order; a trailing `?` marks an optional one. `all` for kernels that take a list. */
  inputs: readonly string[] | 'all';
  /** Shape and dtype of the result or results. @throws Error for arguments that do not fit */
  infer: (inputs: readonly Spec[], attrs: A) => Outline | readonly Outline[];
  /** Writes it as graph operations. `outs` are the specs that `infer` gave. */
  emit: (graph: Graph, inputs: readonly Ref[], attrs: A, outs: readonly Spec[]) => Ref | readonly Ref[];
  /** Which attributes count; all by default. Leave out what does not change the result, so that graphs are shared. */
  attrs?: (attrs: A) => Attrs;
  /** True when `infer` returns a list however long it is. */
  list?: boolean;
}>;

/** A kernel that is not one recorded node: it answers with values of its own making, on the backend. */
export type Shortcut<A = Attrs> = Readonly<{
  name: string;
  inputs: readonly string[] | 'all';
  run: (backend: OnnxBackend, inputs: readonly Value[], attrs: A) => Value | readonly Value[];
}>;

/** A kernel with its attributes and input specs: all that a node's meaning depends on. Interned, so that equal ones are the same object. */
export type Signature = Readonly<{ id: number; kernel: Kernel; attrs: Attrs; inputs: readonly (Spec | undefined)[]; outputs: readonly Spec[]; list: boolean }>;

export const kernel = <A>(definition: Kernel<A>): Kernel => definition as unknown as Kernel;
export const shortcut = <A>(definition: Shortcut<A>): Shortcut => definition as unknown as Shortcut;
