/**
 * Networks as functions of named parameters. Building a network allocates nothing: each layer registers the names and shapes of its parameters with
 * a `Scope` and returns a function of `(params, ...inputs)`. Names, shapes and layout are those of the reference's PyTorch state dict (convolution
 * weights OIHW, linear weights [out, in]), so a state dict is loaded and saved as it is; activations are NHWC.
 */
import type { Tensor } from '../tf.ts';
import type { Init } from './init.ts';

export type Shape = readonly number[];

/** What a network wants under one name. */
export type ParamSpec = Readonly<{
  shape: Shape;
  init: Init;
  /** True for values that no optimizer touches, such as running statistics. */
  buffer: boolean;
  /** True for weights of layers that take a low-rank adapter (see `lora.ts`). */
  adaptable: boolean;
}>;

/** Receives what each named module returns; for comparing with a reference, module by module. */
export type Tap = (module: string, value: unknown) => void;

/** The key under which a `Params` record may carry a tap. */
export const tap: unique symbol = Symbol('tap');

/** Buffers that layers change while their network is trained, such as running statistics: `read` gives what was last written. */
export type Running = Readonly<{ read: (name: string) => Tensor; write: (name: string, value: Tensor) => void }>;

/** The key under which a `Params` record carries its running buffers; present in the step that trains the network, and nowhere else. */
export const running: unique symbol = Symbol('running');

/** Runs a named module in another way than calling it, such as recomputing it for the gradient. */
export type Around = <I extends readonly unknown[], O>(path: string, layer: Layer<I, O>, params: Params, inputs: I) => O;

/** The key under which a `Params` record may carry something that runs modules in another way. */
export const around: unique symbol = Symbol('around');

/** Parameters by state-dict name. */
export type Params = Readonly<Record<string, Tensor>> & { readonly [tap]?: Tap; readonly [running]?: Running; readonly [around]?: Around };

/** Part of a network: a pure function of parameters and inputs. */
export type Layer<I extends readonly unknown[], O> = (params: Params, ...inputs: I) => O;

/** A network: what it was configured with, which parameters it wants, and what it computes. */
export type Network<I extends readonly unknown[], O> = Readonly<{
  name: string;
  config: unknown;
  specs: ReadonlyMap<string, ParamSpec>;
  apply: Layer<I, O>;
}>;

/** A place in the state dict's tree of names, while a network is being built. */
export type Scope = Readonly<{
  /** Dotted path of this place; empty at the root. */
  path: string;
  /** The place `name` below this one; numbers are list positions, as in `nn.ModuleList`. */
  at: (name: string | number) => Scope;
  /** Registers a parameter (or, with `buffer`, a value that is not trained) and returns its full name. */
  param: (name: string, shape: Shape, init: Init, options?: { buffer?: boolean; adaptable?: boolean }) => string;
  /** Wraps a layer so that taps see what this place returns. */
  tapped: <I extends readonly unknown[], O>(layer: Layer<I, O>) => Layer<I, O>;
}>;

const scopeAt = (path: string, specs: Map<string, ParamSpec>): Scope => {
  const below = (name: string | number): string => (path === '' ? `${name}` : `${path}.${name}`);
  return {
    path,
    at: (name) => scopeAt(below(name), specs),
    param: (name, shape, init, { buffer = false, adaptable = false } = {}) => {
      const full = below(name);
      if (specs.has(full)) throw new TypeError(`network: parameter ${full} is registered twice`);
      if (!shape.every((size) => Number.isInteger(size) && size > 0)) {
        throw new RangeError(`network: expected positive integer sizes for ${full} but received [${shape.join(', ')}]`);
      }
      specs.set(full, { shape, init, buffer, adaptable });
      return full;
    },
    tapped: (layer) => (params, ...inputs) => {
      const out = params[around] ? params[around](path, layer, params, inputs) : layer(params, ...inputs);
      params[tap]?.(path, out);
      return out;
    },
  };
};

/**
 * Builds a network from a function that registers its parameters and returns its forward pass. Nothing is allocated.
 * @param name what reports and checkpoints call it
 * @param config what it was built from, as plain data; kept for saving
 */
export const buildNetwork = <I extends readonly unknown[], O>(name: string, config: unknown, build: (root: Scope) => Layer<I, O>): Network<I, O> => {
  const specs = new Map<string, ParamSpec>();
  const apply = build(scopeAt('', specs));
  return { name, config, specs, apply };
};

/** A network inside another: its parameters are registered, under their own names, in the other's state dict. */
export const within = <I extends readonly unknown[], O>(root: Scope, network: Network<I, O>): Layer<I, O> => {
  for (const [name, { shape, init, buffer }] of network.specs) root.param(name, shape, init, { buffer });
  return network.apply;
};

/** How many numbers a shape holds. */
export const sizeOf = (shape: Shape): number => shape.reduce((product, size) => product * size, 1);

/** How many trainable numbers a network has. */
export const countParams = (network: Pick<Network<never, unknown>, 'specs'>): number =>
  [...network.specs.values()].reduce((sum, { shape, buffer }) => sum + (buffer ? 0 : sizeOf(shape)), 0);

/** The parameter called `name`. @throws TypeError when the record lacks it */
export const param = <T extends Tensor = Tensor>(params: Params, name: string): T => {
  const value = params[name];
  if (value === undefined) throw new TypeError(`network: parameter ${name} is missing`);
  return value as T;
};
