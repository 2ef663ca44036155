/** ONNX model files, written and read with protobufjs. Only the messages this project uses; field numbers are those of onnx.proto3 (ONNX 1.19). */
import protobuf from 'protobufjs/light.js';

type Field = readonly [id: number, type: string, rule?: 'repeated'];

const message = (fields: Readonly<Record<string, Field>>): protobuf.IType => ({
  fields: Object.fromEntries(Object.entries(fields).map(([name, [id, type, rule]]) => [name, { id, type, ...(rule && { rule }) }])),
});

const root = protobuf.Root.fromJSON({
  nested: {
    ModelProto: message({ irVersion: [1, 'int64'], producerName: [2, 'string'], producerVersion: [3, 'string'], docString: [6, 'string'], graph: [7, 'GraphProto'], opsetImport: [8, 'OperatorSetIdProto', 'repeated'], metadataProps: [14, 'StringStringEntryProto', 'repeated'] }),
    OperatorSetIdProto: message({ domain: [1, 'string'], version: [2, 'int64'] }),
    StringStringEntryProto: message({ key: [1, 'string'], value: [2, 'string'] }),
    GraphProto: message({ node: [1, 'NodeProto', 'repeated'], name: [2, 'string'], initializer: [5, 'TensorProto', 'repeated'], docString: [10, 'string'], input: [11, 'ValueInfoProto', 'repeated'], output: [12, 'ValueInfoProto', 'repeated'] }),
    NodeProto: message({ input: [1, 'string', 'repeated'], output: [2, 'string', 'repeated'], name: [3, 'string'], opType: [4, 'string'], attribute: [5, 'AttributeProto', 'repeated'], domain: [7, 'string'] }),
    AttributeProto: message({ name: [1, 'string'], f: [2, 'float'], i: [3, 'int64'], s: [4, 'bytes'], g: [6, 'GraphProto'], floats: [7, 'float', 'repeated'], ints: [8, 'int64', 'repeated'], type: [20, 'int32'] }),
    TensorProto: message({ dims: [1, 'int64', 'repeated'], dataType: [2, 'int32'], name: [8, 'string'], rawData: [9, 'bytes'] }),
    ValueInfoProto: message({ name: [1, 'string'], type: [2, 'TypeProto'] }),
    TypeProto: message({ tensorType: [1, 'TensorTypeProto'] }),
    TensorTypeProto: message({ elemType: [1, 'int32'], shape: [2, 'TensorShapeProto'] }),
    TensorShapeProto: message({ dim: [1, 'DimensionProto', 'repeated'] }),
    DimensionProto: message({ dimValue: [1, 'int64'], dimParam: [2, 'string'] }),
  },
});

const ModelProto = root.lookupType('ModelProto');

/** Element types a graph may hold, with ONNX's numbers for them. */
export const elementTypes = { float32: 1, uint8: 2, int32: 6, int64: 7, bool: 9, float16: 10 } as const;
export type ElementType = keyof typeof elementTypes;

/**
 * Strings are attributes of type STRING, arrays of type INTS; numbers are INT, and FLOAT when wrapped in `float`. `copyOf` is a graph that copies a value of the
 * graph around it.
 */
export type Attribute = number | string | readonly number[] | Readonly<{ float: number }> | Readonly<{ floats: readonly number[] }> | Readonly<{ copyOf: ValueDef }>;
export type Attributes = Readonly<Record<string, Attribute>>;

export type NodeDef = Readonly<{ op: string; domain: string; inputs: readonly string[]; outputs: readonly string[]; attributes: Attributes; name?: string }>;
/** A graph's input or output; a string in `shape` names a dimension that is free. */
export type ValueDef = Readonly<{ name: string; type: ElementType; shape: readonly (number | string)[] }>;
export type InitialiserDef = Readonly<{ name: string; type: ElementType; shape: readonly number[]; bytes: Uint8Array }>;
export type ModelDef = Readonly<{
  name: string;
  nodes: readonly NodeDef[];
  inputs: readonly ValueDef[];
  outputs: readonly ValueDef[];
  initialisers: readonly InitialiserDef[];
  metadata?: Readonly<Record<string, string>>;
}>;

/** The operator set all graphs are written for. */
export const opset = 21;

const utf8 = new TextEncoder();

const valueProto = ({ name, type, shape }: ValueDef): object => ({
  name,
  type: { tensorType: { elemType: elementTypes[type], shape: { dim: shape.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size })) } } },
});

const attributeProto = (name: string, value: Attribute): object => {
  if (typeof value === 'number') return { name, i: value, type: 2 };
  if (typeof value === 'string') return { name, s: utf8.encode(value), type: 3 };
  if ('float' in value) return { name, f: value.float, type: 1 };
  if ('floats' in value) return { name, floats: [...value.floats], type: 6 };
  if ('copyOf' in value) {
    const copy = { ...value.copyOf, name: `${value.copyOf.name}_${name}` };
    return { name, g: { name, node: [{ opType: 'Identity', input: [value.copyOf.name], output: [copy.name] }], output: [valueProto(copy)] }, type: 5 };
  }
  return { name, ints: [...value], type: 7 };
};

/** Serialises a model. */
export const encodeModel = ({ name, nodes, inputs, outputs, initialisers, metadata = {} }: ModelDef): Uint8Array => {
  const domains = [...new Set(nodes.map(({ domain }) => domain).filter((domain) => domain !== ''))];
  return ModelProto.encode(ModelProto.create({
    irVersion: 10,
    producerName: 'millrace',
    opsetImport: [{ domain: '', version: opset }, ...domains.map((domain) => ({ domain, version: 1 }))],
    metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    graph: {
      name,
      node: nodes.map((node, i) => ({
        name: node.name ?? `${node.op}_${i}`, opType: node.op, domain: node.domain, input: [...node.inputs], output: [...node.outputs],
        attribute: Object.entries(node.attributes).map(([key, value]) => attributeProto(key, value)),
      })),
      input: inputs.map(valueProto),
      output: outputs.map(valueProto),
      initializer: initialisers.map(({ name: tensor, type, shape, bytes }) => ({ name: tensor, dims: [...shape], dataType: elementTypes[type], rawData: bytes })),
    },
  })).finish();
};
