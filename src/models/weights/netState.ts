import type { FlatLayout, Net, StateDict } from '../net.ts';

const entries = (layout: FlatLayout, flat: Float32Array): (readonly [string, StateDict[string]])[] =>
  layout.map(({ name, shape, offset, size }) => [name, { shape, data: flat.subarray(offset, offset + size) }] as const);

/**
 * A live network's parameters as a state dict, for saving. One download; the entries are views of it.
 * @param from `shadow` takes the EMA of the trained ones, where it is kept
 */
export const stateOf = async <I extends readonly unknown[], O>(net: Net<I, O>, from: 'weights' | 'shadow' = 'weights'): Promise<StateDict> => {
  const trained = await ((from === 'shadow' && net.shadow) || net.weights).data() as Float32Array;
  const frozen = net.frozen ? await net.frozen.data() as Float32Array : new Float32Array(0);
  return Object.fromEntries([...entries(net.layout, trained), ...entries(net.frozenLayout, frozen)]);
};
