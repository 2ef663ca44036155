/** How fresh parameters are drawn. An `Init` is a pure function of a key and a shape in PyTorch layout; it returns the values, row-major. */
import { type Key, normal, uniform } from '../random.ts';

export type Init = (key: Key, shape: readonly number[]) => Float32Array;

const size = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

/** Inputs that feed one output: the product of all sizes but the first (PyTorch layout). */
export const fanIn = (shape: readonly number[]): number => size(shape.slice(1));

export const constant = (value: number): Init => (_key, shape) => new Float32Array(size(shape)).fill(value);
export const zeros = constant(0);
export const ones = constant(1);

/** Gaussian with mean `mean` and standard deviation `std`. */
export const gaussian = (std: number, mean = 0): Init => (key, shape) => normal(key, size(shape)).map((x) => x * std + mean);

/** Uniform in -bound..bound. */
export const uniformWithin = (bound: number): Init => (key, shape) => uniform(key, size(shape)).map((x) => (2 * x - 1) * bound);

/** PyTorch's default for convolutions and linear layers: kaiming uniform with a = sqrt(5), which is uniform within 1 / sqrt(fan in). */
export const torchDefault: Init = (key, shape) => uniformWithin(1 / Math.sqrt(fanIn(shape)))(key, shape);

/** PyTorch's default bias of a layer with `inputs` inputs per output. */
export const torchBias = (inputs: number): Init => uniformWithin(1 / Math.sqrt(inputs));
