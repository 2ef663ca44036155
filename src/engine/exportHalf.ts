/**
 * A model with weights and most arithmetic in half precision. Inputs and outputs stay float32. Sums over many values, and what overflows or cancels in half
 * precision (squares that are summed, roots, exponentials, softmax), stay in float32 between casts.
 */
import { elementTypes, type ElementType, type InitialiserDef, type ModelDef, type NodeDef } from './onnx/proto.ts';

const half = { to: elementTypes.float16 };
const full = { to: elementTypes.float32 };

/** Operators that stay in float32. */
const wide = new Set([
  'ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'Softmax', 'LogSoftmax', 'Exp', 'Log', 'Pow', 'Sqrt', 'Reciprocal', 'CumSum', 'Softplus', 'Erf', 'Sin', 'Cos', 'Tan',
  'LayerNormalization', 'GroupNormalization', 'InstanceNormalization', 'LRN', 'Resize', 'TopK', 'ScatterND', 'ScatterElements', 'IsNaN', 'IsInf', 'Range',
]);
/** Operators that pass on values: they take the precision of what reads them. */
const pointwise = new Set(['Add', 'Sub', 'Mul', 'Div', 'Neg', 'Abs', 'Max', 'Min', 'Where', 'Reshape', 'Transpose', 'Expand']);

/** The largest magnitude below which half precision loses nothing but digits. */
const largest = 65_504;
const smallest = 6e-5;

/** The type of each value: inputs and initialisers say theirs, operators what they make of it. */
const typesOf = ({ inputs, initialisers, nodes }: ModelDef): Map<string, ElementType> => {
  const types = new Map<string, ElementType>([...inputs, ...initialisers].map(({ name, type }) => [name, type]));
  const byNumber = new Map<number, ElementType>(Object.entries(elementTypes).map(([name, number]) => [number, name as ElementType]));
  for (const { op, inputs: taken, outputs, attributes } of nodes) {
    const first = types.get((op === 'Where' ? taken[1] : taken[0]) as string) ?? 'float32';
    const type = op === 'Cast' ? byNumber.get(attributes['to'] as number) ?? 'float32'
      : op === 'Shape' || op === 'ArgMax' || op === 'ArgMin' ? 'int64'
        : ['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', 'And', 'Or', 'Xor', 'Not', 'IsNaN', 'IsInf'].includes(op) ? 'bool' : first;
    outputs.forEach((name, i) => types.set(name, i === 1 && (op === 'TopK' || op === 'MaxPool') ? 'int64' : type));
  }
  return types;
};

/** Which nodes stay in float32: the wide ones, and pointwise ones that only those read. */
const staysFull = (nodes: readonly NodeDef[], results: ReadonlySet<string>): Set<NodeDef> => {
  const readers = new Map<string, NodeDef[]>();
  for (const node of nodes) for (const name of node.inputs) readers.set(name, [...readers.get(name) ?? [], node]);
  const full = new Set<NodeDef>();
  for (const node of nodes.toReversed()) {
    const read = node.outputs.flatMap((name) => readers.get(name) ?? []);
    const only = read.length > 0 && read.every((reader) => full.has(reader)) && !node.outputs.some((name) => results.has(name));
    if (wide.has(node.op) || (pointwise.has(node.op) && only)) full.add(node);
  }
  return full;
};

const halved = (definition: InitialiserDef): InitialiserDef | undefined => {
  const { bytes } = definition;
  const numbers = new Float32Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength / 4);
  // A constant such as an epsilon that half precision would turn to nothing, or to infinity, is cast where it is used.
  if (numbers.length <= 1 && numbers.some((x) => Math.abs(x) > largest || (x !== 0 && Math.abs(x) < smallest))) return undefined;
  const Half = (globalThis as unknown as { Float16Array: new (from: Float32Array) => { buffer: ArrayBuffer } }).Float16Array;
  return { ...definition, type: 'float16', bytes: new Uint8Array(new Half(numbers).buffer) };
};

/** Rewrites a float32 model in half precision. */
export const halfModel = (model: ModelDef): ModelDef => {
  const types = typesOf(model);
  const results = new Set(model.outputs.map(({ name }) => name));
  const keeps = staysFull(model.nodes, results);
  const initialisers = new Map(model.initialisers.map((definition) => [definition.name, definition]));
  const made = new Map<string, InitialiserDef>();
  /** Where each float value can be found in each precision. */
  const at = { float32: new Map<string, string>(), float16: new Map<string, string>() };
  for (const { name, type } of model.inputs) if (type === 'float32') at.float32.set(name, name);
  const nodes: NodeDef[] = [];
  const wanted = (name: string, type: 'float32' | 'float16'): string => {
    if (name === '' || types.get(name) !== 'float32') {
      const constant = initialisers.get(name);
      if (constant) made.set(name, constant);
      return name;
    }
    const known = at[type].get(name);
    if (known !== undefined) return known;
    const constant = initialisers.get(name);
    const label = `${name}.${type === 'float16' ? 'half' : 'full'}`;
    const small = constant && type === 'float16' ? halved(constant) : undefined;
    if (small) made.set(label, { ...small, name: label });
    else if (constant && type === 'float32') { made.set(name, constant); at.float32.set(name, name); return name; }
    else nodes.push({ op: 'Cast', domain: '', inputs: [wanted(name, type === 'float16' ? 'float32' : 'float16')], outputs: [label], attributes: type === 'float16' ? half : full });
    at[type].set(name, label);
    return label;
  };
  for (const node of model.nodes) {
    const cast = node.op === 'Cast' && node.attributes['to'] === elementTypes.float32;
    const type = keeps.has(node) || cast ? 'float32' : 'float16';
    const inputs = node.inputs.map((name) => wanted(name, type));
    const outputs = node.outputs.map((name) => {
      if (types.get(name) !== 'float32') return name;
      const label = type === 'float16' ? `${name}.half` : results.has(name) ? `${name}.full` : name;
      at[type].set(name, label);
      return label;
    });
    nodes.push({ ...node, inputs, outputs });
  }
  for (const { name } of model.outputs) nodes.push({ op: 'Identity', domain: '', inputs: [wanted(name, 'float32')], outputs: [name], attributes: {} });
  return { ...model, nodes, initialisers: [...made.values()] };
};
