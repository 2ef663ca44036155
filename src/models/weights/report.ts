/** Strict comparison of a state dict with what a network wants. */
import * as E from 'fp-ts/lib/Either.js';
import { WeightsError } from '../../errors.ts';
import type { Network, Shape } from '../network.ts';

type Shapes = Readonly<Record<string, Readonly<{ shape: Shape }>>>;
type Wanted = Pick<Network<never, unknown>, 'name' | 'specs'>;

/** What does not fit. */
export type WeightsReport = Readonly<{
  /** Parameters of the network that the file lacks, and the nearest unused name in the file. */
  missing: readonly Readonly<{ name: string; nearest: string | undefined }>[];
  /** Tensors of the file that the network has no place for. */
  unexpected: readonly string[];
  misshapen: readonly Readonly<{ name: string; expected: Shape; received: Shape }>[];
  /** Parameters that fit. */
  matched: number;
}>;

/** Levenshtein distance, at most `limit`. */
const distance = (a: string, b: string, limit: number): number => {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let row = Uint16Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = new Uint16Array(b.length + 1);
    next[0] = i;
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return Math.min(limit, row[b.length] as number);
};

/** The candidate closest to `name`: the fewest edits, if under a third of its length. */
export const nearestName = (name: string, candidates: Iterable<string>): string | undefined => {
  let best: string | undefined;
  let least = Math.ceil(name.length / 3);
  for (const candidate of candidates) {
    const d = distance(name, candidate, least);
    if (d < least) [best, least] = [candidate, d];
  }
  return best;
};

const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((size, i) => size === b[i]);

/** How many names get a suggestion: comparing thousands with thousands would take longer than anyone reads. */
const suggestions = 20;

export const reportOn = ({ specs }: Wanted, state: Shapes): WeightsReport => {
  const unexpected = Object.keys(state).filter((name) => !specs.has(name));
  const absent = [...specs.keys()].filter((name) => !Object.hasOwn(state, name));
  const misshapen = [...specs].flatMap(([name, { shape }]) => {
    const received = Object.hasOwn(state, name) ? state[name]?.shape : undefined;
    return received === undefined || sameShape(received, shape) ? [] : [{ name, expected: shape, received }];
  });
  return {
    missing: absent.map((name, i) => ({ name, nearest: i < suggestions ? nearestName(name, unexpected) : undefined })),
    unexpected, misshapen, matched: specs.size - absent.length - misshapen.length,
  };
};

const listed = (title: string, items: readonly string[]): string[] =>
  items.length === 0 ? [] : [`  ${items.length} ${title}:`, ...items.slice(0, 8).map((item) => `    ${item}`), ...(items.length > 8 ? [`    and ${items.length - 8} more`] : [])];

/** The report in words. */
export const describeReport = (name: string, { missing, unexpected, misshapen, matched }: WeightsReport): string => [
  matched === 0 ? `the weights are not those of ${name}: not one name and shape agrees` : `the weights do not fit ${name} (${matched} tensors do)`,
  ...listed('missing', missing.map((item) => (item.nearest === undefined ? item.name : `${item.name} (is ${item.nearest} meant?)`))),
  ...listed('of another shape', misshapen.map((item) => `${item.name}: expected [${item.expected.join(', ')}] but received [${item.received.join(', ')}]`)),
  ...listed('unexpected', unexpected),
].join('\n');

/** @throws WeightsError that lists what does not fit. @param path what the message calls the weights */
export const checkStateDict = (network: Wanted, state: Shapes, path = network.name): void => {
  const report = reportOn(network, state);
  if (report.missing.length + report.unexpected.length + report.misshapen.length > 0) throw new WeightsError(path, describeReport(network.name, report));
};

/** The state dict itself when it fits the network exactly. */
export const fitted = <S extends Shapes>(network: Wanted, state: S, path = network.name): E.Either<WeightsError, S> =>
  E.tryCatch(() => { checkStateDict(network, state, path); return state; }, (error) => error as WeightsError);
