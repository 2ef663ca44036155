/**
 * Low-rank adapters in files: as peft and diffusers name them (`unet.<path>.lora_A.weight`, once `<path>.lora.down.weight` and
 * `<block>.processor.to_q_lora.down.weight`), and as kohya-ss/sd-scripts does (`lora_unet_<path with underscores>.lora_down.weight`, with `.alpha`).
 */
import * as E from 'fp-ts/lib/Either.js';
import { WeightsError } from '../../errors.ts';
import { type LoraModule, adaptablePaths } from '../lora.ts';
import type { StateDict } from '../net.ts';
import { type Network, sizeOf } from '../network.ts';
import { adapterNames } from '../nn.ts';
import { ldmNameOf } from './ldmNames.ts';
import { nearestName } from './report.ts';

type Wanted = Pick<Network<never, unknown>, 'name' | 'config' | 'specs'>;
type Part = 'a' | 'b' | 'alpha';

/** Adapters ready for `withLora`. */
export type Lora = Readonly<{ modules: readonly LoraModule[]; state: StateDict }>;

const suffixes: readonly (readonly [RegExp, Part])[] = [
  [/\.lora_A(\.\w+)?\.weight$/, 'a'], [/\.lora_B(\.\w+)?\.weight$/, 'b'], [/\.lora_down\.weight$/, 'a'], [/\.lora_up\.weight$/, 'b'],
  [/\.lora\.down\.weight$/, 'a'], [/\.lora\.up\.weight$/, 'b'], [/\.lora_linear_layer\.down\.weight$/, 'a'], [/\.lora_linear_layer\.up\.weight$/, 'b'],
  [/_lora\.down\.weight$/, 'a'], [/_lora\.up\.weight$/, 'b'], [/\.alpha$/, 'alpha'],
];

/** Prefixes a file puts before paths. */
const prefixes = ['base_model.model.', 'unet.', 'transformer.', 'vae.', 'lora_unet_', 'lora_transformer_', 'lora_vae_'];

const stripped = (name: string): string => {
  const prefix = prefixes.find((start) => name.startsWith(start));
  return prefix === undefined ? name : stripped(name.slice(prefix.length));
};

/** What kohya's files for SDXL call a layer: the original code's name with underscores. */
const ldmPath = (network: Wanted, path: string): string => ldmNameOf(network, `${path}.weight`).slice(0, -'.weight'.length).replaceAll('.', '_');

/** Which layer a key means: dotted paths by themselves, kohya's by their underscores, old processors by the projection they replace. */
const resolver = (network: Wanted): ((stem: string) => string | undefined) => {
  const paths = adaptablePaths(network);
  const known = new Set(paths);
  const underscored = new Map(paths.flatMap((path) => [[path.replaceAll('.', '_'), path], ...(network.name === 'UNet2DConditionModel' ? [[ldmPath(network, path), path] as const] : [])] as const));
  return (stem) => {
    const path = stripped(stem).replace(/\.processor\.to_out$/, '.to_out.0').replace(/\.processor\.(to_[qkv])$/, '.$1');
    return known.has(path) ? path : underscored.get(path);
  };
};

/**
 * Reads a file's adapters for a network. Those of other networks in the same file (text encoders) have to be left out by the caller: everything given must fit.
 * @param path for messages
 * @param alpha of adapters whose file names none; their rank by default
 */
export const loraFrom = (network: Wanted, file: StateDict, { path = network.name, alpha }: { path?: string; alpha?: number } = {}): E.Either<WeightsError, Lora> => {
  const resolve = resolver(network);
  const found = new Map<string, Partial<Record<Part, string>>>();
  for (const name of Object.keys(file)) {
    const suffix = suffixes.find(([pattern]) => pattern.test(name));
    if (!suffix) return E.left(new WeightsError(path, `${path}: ${name} is no part of a low-rank adapter that is known (lora_A and lora_B, lora_down and lora_up, alpha)`));
    const stem = name.replace(suffix[0], '');
    const layer = resolve(stem);
    if (layer === undefined) {
      const nearest = nearestName(stripped(stem), adaptablePaths(network));
      return E.left(new WeightsError(path, `${path}: ${name} adapts a layer that ${network.name} does not have${nearest === undefined ? '' : ` (is ${nearest} meant?)`}`));
    }
    found.set(layer, { ...found.get(layer), [suffix[1]]: name });
  }
  const modules: LoraModule[] = [];
  const state: Record<string, StateDict[string]> = {};
  for (const [layer, { a, b, alpha: alphaName }] of found) {
    const [low, high] = [a === undefined ? undefined : file[a], b === undefined ? undefined : file[b]];
    if (!low || !high) return E.left(new WeightsError(path, `${path}: the adapter of ${layer} has only one of its two matrices`));
    const rank = low.shape[0] as number;
    const weight = network.specs.get(`${layer}.weight`)?.shape ?? [];
    const [to, ...from] = weight;
    const fits = sizeOf(low.shape) === rank * sizeOf(from) && sizeOf(high.shape) === (to as number) * rank;
    if (!fits) return E.left(new WeightsError(path, `${path}: the adapter of ${layer} [${weight.join(', ')}] has matrices [${low.shape.join(', ')}] and [${high.shape.join(', ')}]`));
    modules.push({ path: layer, rank, alpha: (alphaName === undefined ? undefined : file[alphaName]?.data[0]) ?? alpha ?? rank });
    const names = adapterNames(layer);
    // A convolution's adapter may come as a matrix, and a linear layer's as a 1x1 convolution; the numbers are the same.
    state[names.a] = reshaped(low, [rank, ...from]);
    state[names.b] = reshaped(high, [to as number, rank, ...from.slice(1).map(() => 1)]);
  }
  return found.size === 0 ? E.left(new WeightsError(path, `${path}: there is no low-rank adapter in it`)) : E.right({ modules, state });
};

const reshaped = (entry: StateDict[string], shape: readonly number[]): StateDict[string] => ({ shape, get data() { return entry.data; } });

const scaledBy = (entry: StateDict[string], gain: number): StateDict[string] => (gain === 1 ? entry : { shape: entry.shape, get data() { return entry.data.map((x) => x * gain); } });

/**
 * Adapters as a file's state dict.
 * @param style `peft`: what diffusers' `load_lora_weights` reads; it takes alpha to be the rank, so B is multiplied by the rest. `kohya`: with `.alpha`
 * @param prefix `unet` or `transformer`
 */
export const loraFile = ({ modules, state }: Lora, { style = 'peft', prefix = 'unet' }: {
  style?: 'peft' | 'kohya'; prefix?: string;
} = {}): StateDict => Object.fromEntries(modules.flatMap(({ path, rank, alpha }) => {
  const names = adapterNames(path);
  const [a, b] = [state[names.a], state[names.b]];
  if (!a || !b) throw new TypeError(`loraFile: the state lacks ${names.a} or ${names.b}`);
  if (style === 'peft') return [[`${prefix}.${names.a}`, a], [`${prefix}.${names.b}`, scaledBy(b, alpha / rank)]];
  const stem = `lora_${prefix}_${path.replaceAll('.', '_')}`;
  return [[`${stem}.lora_down.weight`, a], [`${stem}.lora_up.weight`, b], [`${stem}.alpha`, { shape: [], data: Float32Array.of(alpha) }]];
}));
