/** What the lazy backend keeps for a tensor: a value that is written, recorded but not yet computed, or stored by the executor. */
import type { Signature } from './registry.ts';

export type Dtype = 'float32' | 'int32' | 'bool' | 'complex64' | 'string';
export type Numbers = Float32Array | Int32Array | Uint8Array;

/** Shape and dtype of a value. Specs are interned: equal ones are the same object. */
export type Spec = Readonly<{ id: number; shape: readonly number[]; dtype: Dtype; size: number }>;

const specs = new Map<string, Spec>();

/** The spec of a shape and dtype. */
export const specOf = (shape: readonly number[], dtype: Dtype): Spec => {
  const key = `${dtype} ${shape.join(',')}`;
  let spec = specs.get(key);
  if (spec === undefined) {
    spec = { id: specs.size, shape: [...shape], dtype, size: shape.reduce((product, n) => product * n, 1) };
    specs.set(key, spec);
  }
  return spec;
};

export const bytesOf = ({ size, dtype }: Spec): number => size * (dtype === 'bool' ? 1 : 4);

/** Typed numbers of a dtype, over a buffer or of a length. */
export const numbersOf = (dtype: Dtype, from: ArrayBufferLike | number, offset = 0, length?: number): Numbers => {
  const Kind = dtype === 'float32' ? Float32Array : dtype === 'int32' ? Int32Array : Uint8Array;
  return typeof from === 'number' ? new Kind(from) : new Kind(from as ArrayBuffer, offset, length);
};

/** A value in the executor's memory. */
export type Stored = {
  readonly id: number;
  readonly bytes: number;
  /** The memory itself where the JS thread can see it. */
  readonly buffer: ArrayBufferLike | undefined;
  /** Number of the last run that reads or writes it. */
  lastUse: number;
  /** Downloads that are waiting for it. */
  pins: number;
  freed: boolean;
  /** Whether the thread that runs graphs has been told of its memory. */
  known: boolean;
};

/** One kernel call that was recorded. */
export type RecordedNode = {
  readonly signature: Signature;
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly Value[];
  /** Mark and position used while a flush is being laid out. */
  mark: number;
};

/** The data of one or more tensors; it is also the `dataId` under which TensorFlow.js knows it. */
export class Value {
  readonly spec: Spec;
  refs = 1;
  /** What will compute it; undefined when it is known or stored. */
  maker: RecordedNode | undefined;
  /** Its numbers, where the JS thread has them. */
  data: Numbers | undefined;
  /** A number written in the code of an operation, such as the 2 of `mul(x, 2)`: may be built into graphs. */
  constant: number | undefined;
  stored: Stored | undefined;
  /** Settles when the run that computes it has ended. */
  ready: Promise<void> | undefined;
  failure: Error | undefined;
  /** Real and imaginary part of a complex value. */
  parts: readonly [Value, Value] | undefined;
  /** The kernel that made it, for messages. */
  origin: string;
  /** Place in the flush that is being laid out: which one, and where. */
  mark = 0;
  place = 0;
  constructor(spec: Spec, origin: string) {
    this.spec = spec;
    this.origin = origin;
  }
}
