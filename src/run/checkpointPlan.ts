/** Which file of a checkpoint holds which part of which variable: read in one direction to save, in the other to restore. */
import type { FlatLayout, Net } from '../models/net.ts';
import type { Shape } from '../models/network.ts';
import type { Variable } from '../tf.ts';
import type { Resource } from '../streams/scoped.ts';

/** One tensor of a file: a part of a variable, row-major. */
export type Piece = Readonly<{
  name: string;
  shape: Shape;
  variable: Variable;
  /** First value in the variable, and how many. */
  offset: number;
  size: number;
  /** False for what another file holds too and is restored from there. */
  restored: boolean;
}>;

/** One `.safetensors` file. */
export type PlannedFile = Readonly<{ file: string; pieces: readonly Piece[] }>;

/** The parts of a live net that a checkpoint knows by name; any net has them. */
type NetParts = Pick<Net, 'weights' | 'layout' | 'frozen' | 'frozenLayout' | 'shadow' | 'slots' | 'count' | 'variables'>;

/** Whether a resource is a live net, whose weights are saved under state-dict names. */
export const isNet = (resource: Resource): resource is Resource & NetParts => 'layout' in resource && 'weights' in resource && 'frozenLayout' in resource;

const pieces = (variable: Variable | undefined, layout: FlatLayout, { prefix = '', restored = true }: { prefix?: string; restored?: boolean } = {}): Piece[] =>
  (variable ? layout.map(({ name, shape, offset, size }) => ({ name: prefix + name, shape, variable, offset, size, restored })) : []);

/** Frozen parameters, where they are the net's own: those that lie in a folder the run names are constants of it, and not saved again. */
const frozenPieces = ({ frozen, frozenLayout, variables }: NetParts, options: { restored?: boolean } = {}): Piece[] =>
  pieces(frozen && Object.values(variables).includes(frozen) ? frozen : undefined, frozenLayout, options);

const whole = (name: string, variable: Variable): Piece => ({ name, shape: variable.shape, variable, offset: 0, size: variable.size, restored: true });

const planNet = (name: string, net: NetParts): PlannedFile[] => [
  { file: `${name}.safetensors`, pieces: [...pieces(net.weights, net.layout), ...frozenPieces(net)] },
  // With the frozen parameters once more, so that the EMA is a whole state dict by itself.
  ...(net.shadow ? [{ file: `${name}.ema.safetensors`, pieces: [...pieces(net.shadow, net.layout), ...frozenPieces(net, { restored: false })] }] : []),
  {
    file: `${name}.optimizer.safetensors`,
    pieces: [...Object.entries(net.slots).flatMap(([slot, variable]) => pieces(variable, net.layout, { prefix: `${slot}.` })), whole('count', net.count)],
  },
];

/**
 * The files that hold a run's resources: `<net>.safetensors`, `<net>.ema.safetensors` and `<net>.optimizer.safetensors` for a net, `<name>.safetensors` for
 * another resource. Every variable is in exactly one place that is restored.
 * @throws TypeError when two resources want the same file
 */
export const planFiles = (resources: Readonly<Record<string, Resource>>): PlannedFile[] => {
  const files = Object.entries(resources).flatMap(([name, resource]) => {
    const planned = isNet(resource) ? planNet(name, resource) : [];
    const covered = new Set(planned.flatMap((file) => file.pieces.map(({ variable }) => variable)));
    const rest = Object.entries(resource.variables).filter(([, variable]) => !covered.has(variable) && variable.size > 0);
    if (rest.length > 0) planned.push({ file: isNet(resource) ? `${name}.rest.safetensors` : `${name}.safetensors`, pieces: rest.map(([key, variable]) => whole(key, variable)) });
    return planned;
  });
  const taken = new Set<string>();
  for (const { file } of files) {
    if (taken.has(file)) throw new TypeError(`checkpoint: expected resources with distinct names but two of them want the file ${file}`);
    taken.add(file);
  }
  return files.filter((file) => file.pieces.length > 0);
};

/** The files that nets are used from: the EMA where there is one, for the weights and for the EMA. @param there names of the files at hand */
export const planForUse = (resources: Readonly<Record<string, Resource>>, there: readonly string[]): PlannedFile[] => Object.entries(resources).flatMap(([name, net]) => {
  const file = [`${name}.ema.safetensors`, `${name}.safetensors`].find((candidate) => there.includes(candidate));
  if (!isNet(net) || file === undefined) return [];
  return [{ file, pieces: [...pieces(net.weights, net.layout), ...pieces(net.shadow, net.layout), ...frozenPieces(net)] }];
});
