/** Lays out what was recorded: which nodes a flush needs, in which order, and under which structure its graph is kept. */
import type { RecordedNode, Value } from './value.ts';

/** What one flush computes, in a form that is equal for equal structures. */
export type Layout = Readonly<{
  /** Structure as integers: signatures, wiring, kinds and specs of what comes in, which results go out. */
  code: Int32Array;
  hash: number;
  nodes: readonly RecordedNode[];
  /** Values that come from outside, written or stored, in order of first use. */
  leaves: readonly Value[];
  /** Values that come from outside and are numbers written in code: they may be built into the graph. */
  constants: readonly Value[];
  /** Results that are alive. */
  results: readonly Value[];
}>;

let marks = 0;
let scratch = new Int32Array(1 << 14);

/**
 * Lays out everything in `recorded` that some live value needs. Nodes must be in order of recording, so that makers come before users.
 */
export const layOut = (recorded: readonly RecordedNode[]): Layout => {
  const mark = ++marks;
  // Backwards: a node is needed when one of its results is alive or is used by a needed node.
  const needed: RecordedNode[] = [];
  for (let i = recorded.length - 1; i >= 0; i--) {
    const node = recorded[i] as RecordedNode;
    if (node.mark !== mark && !node.outputs.some((value) => value.refs > 0)) continue;
    node.mark = mark;
    needed.push(node);
    for (const input of node.inputs) if (input?.maker) input.maker.mark = mark;
  }
  needed.reverse();
  const leaves: Value[] = [];
  const constants: Value[] = [];
  const results: Value[] = [];
  let length = 0;
  const put = (n: number): void => {
    if (length === scratch.length) { const longer = new Int32Array(length * 2); longer.set(scratch); scratch = longer; }
    scratch[length++] = n;
  };
  let places = 0;
  for (const node of needed) {
    put(node.signature.id);
    for (const input of node.inputs) {
      if (input === undefined) { put(-1); continue; }
      if (input.mark !== mark) {
        // Not made by a node of this flush: it comes from outside.
        input.mark = mark;
        input.place = places++;
        put(input.constant === undefined ? -2 : -3);
        put(input.spec.id);
        (input.constant === undefined ? leaves : constants).push(input);
      }
      put(input.place);
    }
    for (const output of node.outputs) {
      output.mark = mark;
      output.place = places++;
      if (output.refs > 0) results.push(output);
    }
  }
  put(-4);
  for (const { place } of results) put(place);
  const code = scratch.slice(0, length);
  let hash = 0x811c9dc5;
  for (let i = 0; i < length; i++) hash = Math.imul(hash ^ (code[i] as number), 0x01000193);
  return { code, hash, nodes: needed, leaves, constants, results };
};

/** Whether two layouts have one structure. */
export const sameCode = (a: Int32Array, b: Int32Array): boolean => {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
};
