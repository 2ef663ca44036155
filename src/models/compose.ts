/** Networks made of networks: each part keeps its own names, below a prefix. */
import { type Network, type ParamSpec, type Params, around, running, tap } from './network.ts';

/** The specifications of several networks, each below its name. */
export const joinedSpecs = (parts: Readonly<Record<string, Pick<Network<never, unknown>, 'specs'>>>): ReadonlyMap<string, ParamSpec> =>
  new Map(Object.entries(parts).flatMap(([prefix, { specs }]) => [...specs].map(([name, spec]) => [`${prefix}.${name}`, spec] as const)));

/** The parameters below a prefix, by the part's own names. What is listening or recomputing still knows modules by their whole names. */
export const paramsBelow = (params: Params, prefix: string): Params => {
  const start = `${prefix}.`;
  const { [tap]: listener, [around]: wrapper, [running]: buffers } = params;
  return {
    ...Object.fromEntries(Object.entries(params).filter(([name]) => name.startsWith(start)).map(([name, value]) => [name.slice(start.length), value])),
    ...(listener && { [tap]: (module: string, value: unknown) => listener(start + module, value) }),
    ...(wrapper && { [around]: wrapper }),
    ...(buffers && { [running]: { read: (name: string) => buffers.read(start + name), write: (name, value) => buffers.write(start + name, value) } satisfies typeof buffers }),
  };
};
