/**
 * Low-rank adapters: y = W x + (alpha / rank) B A x, as further parameters of a network whose own weights stay as they are. Linear and convolution layers
 * add what an adapter among the parameters makes (times B A alone); `withLora` registers the parameters and sees to alpha / rank.
 * @source Hu et al. 2021, arXiv 2106.09685, eq. 3; file formats of peft, diffusers and kohya-ss/sd-scripts in `weights/loraFiles.ts`
 */
import * as tf from '../tf.ts';
import { type Init, gaussian, zeros } from './init.ts';
import type { StateDict } from './net.ts';
import { type Network, type ParamSpec, type Params, type Shape, sizeOf } from './network.ts';
import { adapterNames } from './nn.ts';

/** One adapted layer. */
export type LoraModule = Readonly<{
  /** The layer's place in the state dict, such as `mid_block.attentions.0.proj_in`. */
  path: string;
  rank: number;
  /** The adapter is multiplied by alpha / rank. */
  alpha: number;
}>;

type Wanted = Pick<Network<never, unknown>, 'name' | 'specs'>;

/** Layers of a network that can take an adapter. */
export const adaptablePaths = ({ specs }: Wanted): string[] =>
  [...specs].filter(([, { adaptable }]) => adaptable).map(([name]) => name.slice(0, -'.weight'.length));

/** Whether a layer is meant: its whole path or its last parts, as peft's `target_modules` has it, or an expression. */
const isTarget = (path: string, target: string | RegExp): boolean =>
  (typeof target === 'string' ? path === target || path.endsWith(`.${target}`) : target.test(path));

/**
 * The layers that `targets` name, each with the same rank.
 * @param options.targets last parts of names, such as `to_q` or `to_out.0`, or expressions
 * @param options.alpha as the rank by default, so that the factor is 1
 * @throws RangeError when the rank is not a positive integer, or a target names no layer that can take an adapter
 */
export const loraModules = (network: Wanted, { targets, rank, alpha = rank }: { targets: readonly (string | RegExp)[]; rank: number; alpha?: number }): LoraModule[] => {
  if (!Number.isInteger(rank) || rank < 1) throw new RangeError(`loraModules: expected rank to be a positive integer but received ${rank}`);
  const paths = adaptablePaths(network);
  const idle = targets.find((target) => !paths.some((path) => isTarget(path, target)));
  if (idle !== undefined) throw new RangeError(`loraModules: expected targets to name linear or convolution layers of ${network.name} but ${String(idle)} names none`);
  return paths.filter((path) => targets.some((target) => isTarget(path, target))).map((path) => ({ path, rank, alpha }));
};

const shapesOf = (weight: Shape, rank: number): Readonly<{ a: Shape; b: Shape }> => {
  const [to, ...from] = weight as [number, ...number[]];
  return { a: [rank, ...from], b: [to, rank, ...from.slice(1).map(() => 1)] };
};

const gainOf = ({ rank, alpha }: LoraModule): number => alpha / rank;

/** The same parameters with every adapter multiplied by `factor`; 0 turns them off. */
export const scaleLora = (params: Params, modules: readonly LoraModule[], factor: number | tf.Scalar): Params => ({
  ...params, ...Object.fromEntries(modules.map(({ path }) => adapterNames(path).b).map((name) => [name, tf.mul(params[name] as tf.Tensor, factor)])),
});

/**
 * The network with adapters: its own parameters and, per module, `<path>.lora_A.weight` and `<path>.lora_B.weight`. Train the latter only, with
 * `trainable: isLora`. A starts Gaussian and B at zero, so an untrained adapter changes nothing.
 * @throws TypeError when a module names no layer that can take an adapter
 */
export const withLora = <I extends readonly unknown[], O>(network: Network<I, O>, modules: readonly LoraModule[], { init }: { init?: Init } = {}): Network<I, O> => {
  const specs = new Map<string, ParamSpec>(network.specs);
  for (const { path, rank } of modules) {
    const weight = network.specs.get(`${path}.weight`);
    if (!weight?.adaptable) throw new TypeError(`withLora: ${network.name} has no linear or ungrouped convolution layer ${path}`);
    const [shapes, names] = [shapesOf(weight.shape, rank), adapterNames(path)];
    specs.set(names.a, { shape: shapes.a, init: init ?? gaussian(1 / rank), buffer: false, adaptable: false });
    specs.set(names.b, { shape: shapes.b, init: zeros, buffer: false, adaptable: false });
  }
  const gains = new Map(modules.filter((module) => gainOf(module) !== 1).map((module) => [adapterNames(module.path).b, gainOf(module)]));
  const scaled = (params: Params): Params => ({ ...params, ...Object.fromEntries([...gains].map(([name, gain]) => [name, tf.mul(params[name] as tf.Tensor, gain)])) });
  return { ...network, specs, apply: (params, ...inputs) => network.apply(gains.size === 0 ? params : scaled(params), ...inputs) };
};

/** Whether a parameter belongs to an adapter. */
export const isLora = (name: string): boolean => /\.lora_[AB]\.weight$/.test(name);

/** B A as a change of the weight: [out, in] or [out, in, k, k], row-major, summed in float64. */
const product = (a: Float32Array, b: Float32Array, rank: number, gain: number): Float32Array => {
  const [inputs, outputs] = [a.length / rank, b.length / rank];
  const change = new Float32Array(outputs * inputs);
  const row = new Float64Array(inputs);
  for (let o = 0; o < outputs; o++) {
    row.fill(0);
    for (let r = 0; r < rank; r++) {
      const weight = gain * (b[o * rank + r] as number);
      for (let i = 0; i < inputs; i++) row[i] = (row[i] as number) + weight * (a[r * inputs + i] as number);
    }
    change.set(row, o * inputs);
  }
  return change;
};

/**
 * A network's weights with adapters merged in: W + strength (alpha / rank) B A. Merged weights are computed each time they are asked for, so nothing is held twice.
 * @param state the network's own weights; adapters in it are left out
 * @param lora the adapters, by the names `withLora` gives them
 * @param strength how much of them; 1 by default, and -1 takes merged adapters out again
 * @throws TypeError when a weight or one half of an adapter is missing, or the sizes do not agree
 */
export const mergeLora = (state: StateDict, lora: StateDict, modules: readonly LoraModule[], strength = 1): StateDict => {
  const byName = new Map(modules.map((module) => [`${module.path}.weight`, module]));
  const strange = [...byName.keys()].find((name) => !(name in state));
  if (strange !== undefined) throw new TypeError(`mergeLora: the weights have no ${strange}`);
  return Object.fromEntries(Object.entries(state).filter(([name]) => !isLora(name)).map(([name, entry]) => {
    const module = byName.get(name);
    if (!module) return [name, entry];
    const { a, b } = adapterNames(module.path);
    const [low, high] = [lora[a], lora[b]];
    const shapes = shapesOf(entry.shape, module.rank);
    if (!low || !high || sizeOf(low.shape) !== sizeOf(shapes.a) || sizeOf(high.shape) !== sizeOf(shapes.b)) {
      throw new TypeError(`mergeLora: expected ${a} [${shapes.a.join(', ')}] and ${b} [${shapes.b.join(', ')}] but received [${low?.shape.join(', ')}] and [${high?.shape.join(', ')}]`);
    }
    return [name, { shape: entry.shape, get data() {
      const change = product(low.data, high.data, module.rank, gainOf(module) * strength);
      return entry.data.map((w, i) => w + (change[i] as number));
    } }];
  }));
};
