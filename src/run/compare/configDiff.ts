/** A leaf of at least one configuration where not all agree; undefined where one lacks it. */
export type ConfigDifference = Readonly<{ path: string; values: readonly unknown[] }>;

type Tree = Readonly<Record<string, unknown>>;
const isTree = (value: unknown): value is Tree => value !== null && typeof value === 'object' && !Array.isArray(value);

const flat = (value: unknown, path: string): (readonly [string, unknown])[] =>
  (isTree(value) ? Object.entries(value).flatMap(([key, below]) => flat(below, path === '' ? key : `${path}.${key}`)) : [[path, value]]);

/** Where configurations differ, leaf by leaf, in the order in which the leaves first occur. Lists are compared as wholes. */
export const configDiff = (configs: readonly unknown[]): ConfigDifference[] => {
  const leaves = configs.map((config) => new Map(flat(config, '')));
  const paths = new Set(leaves.flatMap((map) => [...map.keys()]));
  return [...paths].map((path) => ({ path, values: leaves.map((map) => map.get(path)) }))
    .filter(({ values }) => new Set(values.map((value) => JSON.stringify(value))).size > 1);
};
