/** ONNX files of trained networks: for one size of image or for every size, in float32 or half precision; and how far such a file is from the network. */
import * as runtime from 'onnxruntime-node';
import * as tf from '../tf.ts';
import { EngineError } from '../errors.ts';
import { type Key, fold, seeded, uniform } from '../random.ts';
import { type Sized, dynamicModel } from './exportDynamic.ts';
import { halfModel } from './exportHalf.ts';
import { type Trace, modelOf, traceOf, writtenBy } from './exportTrace.ts';
import { type ModelDef, encodeModel } from './onnx/proto.ts';

/**
 * A network to export: float32 [1, H, W, 3] in [-1, 1] to an image of its own size and channels. What it draws at random must follow from `key` alone.
 * Called inside a tidy.
 */
export type Exported = (source: tf.Tensor4D, key: Key) => tf.Tensor4D;

export type ExportOptions = Readonly<{
  /** Height and width in pixels; with `dynamic`, what the two must be multiples of. */
  size: readonly [height: number, width: number];
  /** Leaves height and width free. */
  dynamic?: boolean;
  /** Weights and most arithmetic in half precision; inputs and outputs stay float32. */
  half?: boolean;
  /** What the file says about itself. */
  metadata?: Readonly<Record<string, string>>;
}>;

/** A model file. Input `source` and output `image` are float32 [1, H, W, C] in [-1, 1]; inputs `noise0`, ... where the network draws: unit-normal values. */
export type ExportedModel = Readonly<{ bytes: Uint8Array; inputs: ModelDef['inputs'] }>;

const keys = [fold(seeded(0), 'export', 0), fold(seeded(0), 'export', 1)] as const;

const equal = (a: ArrayLike<number>, b: ArrayLike<number>): boolean => a.length === b.length && Array.from({ length: a.length }, (_, i) => a[i] === b[i]).every(Boolean);

type Shape = readonly [number, number, number, number];

/** Records the network, with what it draws as inputs: the written numbers that differ under two keys. */
const trace = async (network: Exported, shape: Shape): Promise<Trace> => {
  const [one, other] = [await writtenBy((source) => network(source, keys[0]), shape), await writtenBy((source) => network(source, keys[1]), shape)];
  if (one.length !== other.length) throw new EngineError('export', 'the network computes different things under different keys; it cannot be exported');
  const drawn = one.flatMap((numbers, i) => (numbers && !equal(numbers, other[i] ?? []) ? [i] : []));
  return traceOf((source) => network(source, keys[0]), shape, new Set(drawn));
};

const modelAt = async (name: string, network: Exported, height: number, width: number, channels: number): Promise<ModelDef> =>
  modelOf(name, await trace(network, [1, height, width, channels]));

/** Multiples of the size at which a free graph is recorded: no two numbers of one graph that differ in meaning should be equal by chance. */
const recorded = [[11, 13], [13, 17], [17, 11], [19, 23], [14, 19], [23, 15]] as const;

/**
 * Exports a network.
 * @param channels of its input
 * @throws EngineError when the recording engine does not run, or when the network cannot be written for every size
 */
export const exportNetwork = async (name: string, network: Exported, { size: [height, width], dynamic = false, half = false, metadata = {} }: ExportOptions, channels = 3): Promise<ExportedModel> => {
  let model: ModelDef;
  if (dynamic) {
    const sized: Sized[] = [];
    for (const [m, n] of recorded) sized.push({ height: m * height, width: n * width, model: await modelAt(name, network, m * height, n * width, channels) });
    model = dynamicModel(sized);
  } else {
    model = await modelAt(name, network, height, width, channels);
  }
  const final = half ? halfModel(model) : model;
  return { bytes: encodeModel({ ...final, metadata }), inputs: final.inputs };
};

/**
 * Runs a file with onnxruntime-node's CPU provider and the network with the engine, on one random image.
 * @returns the largest difference in any value of the image, which ranges over 2
 */
export const exportError = async ({ bytes }: ExportedModel, network: Exported, [height, width]: readonly [number, number], channels = 3): Promise<number> => {
  const shape: [number, number, number, number] = [1, height, width, channels];
  const values = uniform(fold(seeded(0), 'export', 'check', height, width), height * width * channels).map((x) => 2 * x - 1);
  const expected = tf.tidy(() => network(tf.tensor4d(values, shape), keys[0]));
  const session = await runtime.InferenceSession.create(bytes, { executionProviders: ['cpu'], logSeverityLevel: 3 });
  try {
    const { free, leaves, numbers } = await trace(network, shape);
    const noise = [...free].map(([i, name]) => [name, new runtime.Tensor('float32', numbers[i] as Float32Array, [...leaves[i]?.spec.shape ?? []])] as const);
    const { image } = await session.run({ source: new runtime.Tensor('float32', values, shape), ...Object.fromEntries(noise) });
    const [wanted, found] = [await expected.data() as Float32Array, image?.data as Float32Array];
    if (wanted.length !== found.length) throw new EngineError('export', `the exported file answers [${image?.dims.join(', ')}] where the network answers [${expected.shape.join(', ')}]`);
    return wanted.reduce((worst, x, i) => Math.max(worst, Math.abs(x - (found[i] as number))), 0);
  } finally {
    expected.dispose();
    await session.release();
  }
};
