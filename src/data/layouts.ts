/** How folders of pairs are laid out. Pure: from a list of paths to pairs of paths. */
import type { Unused } from './dataset.ts';

export type Split = 'train' | 'val' | 'test';

/** A pair as paths from the dataset's folder. Both are one file in a side-by-side layout. */
export type PathPair = Readonly<{ split: Split; id: string; source: string; target: string; sideBySide: boolean }>;

export type Recognised = Readonly<{ layout: string; pairs: readonly PathPair[]; unused: readonly Unused[] }>;

const extensions = /\.(jpe?g|png|webp|tiff?|gif|avif|heif|heic|jp2|jxl|bmp|ppm|pgm|svg)$/i;
export const isImagePath = (path: string): boolean => extensions.test(path);

export const splits: readonly Split[] = ['train', 'val', 'test'];
const stemOf = (path: string): string => path.replace(/\.[^./]+$/, '');

/** Images below a folder, by stem; of two files with one stem the first in order is kept. */
const below = (paths: readonly string[], folder: string, unused: Unused[]): Map<string, string> => {
  const found = new Map<string, string>();
  for (const path of paths) {
    if (!path.startsWith(`${folder}/`) || !isImagePath(path)) continue;
    const stem = stemOf(path.slice(folder.length + 1));
    const other = found.get(stem);
    if (other === undefined) found.set(stem, path);
    else unused.push({ path, why: `expected one file of this name but there is ${other} too, which is used` });
  }
  return found;
};

/** Matches two folders by stem; what lacks a twin is unused. */
const match = (paths: readonly string[], split: Split, sources: string, targets: string, unused: Unused[]): PathPair[] => {
  const [a, b] = [below(paths, sources, unused), below(paths, targets, unused)];
  for (const [stem, path] of a) if (!b.has(stem)) unused.push({ path, why: `expected its twin ${targets}/${stem}.* but there is none` });
  for (const [stem, path] of b) if (!a.has(stem)) unused.push({ path, why: `expected its twin ${sources}/${stem}.* but there is none` });
  return [...a].filter(([stem]) => b.has(stem)).map(([id, source]) => ({ split, id, source, target: b.get(id) as string, sideBySide: false }));
};

type Layout = Readonly<{ words: string; find: (paths: readonly string[], unused: Unused[]) => PathPair[] }>;

const twoFolders = (words: string, folders: (split: Split) => readonly [string, string]): Layout => ({
  words, find: (paths, unused) => splits.flatMap((split) => match(paths, split, ...folders(split), unused)),
});
const flat = (source: string, target: string): Layout => ({ words: `${source}/ ${target}/`, find: (paths, unused) => match(paths, 'train', source, target, unused) });

const sideBySide: Layout = {
  words: 'side-by-side pairs in train/ val/ test/ (source left, target right)',
  find: (paths, unused) => splits.flatMap((split) => [...below(paths, split, unused)].map(([id, path]) => ({ split, id, source: path, target: path, sideBySide: true }))),
};

const suffixed: Layout = {
  words: 'name_A and name_B in one folder',
  find: (paths, unused) => {
    const sides = { A: new Map<string, string>(), B: new Map<string, string>() };
    for (const path of paths) {
      const [, stem, side] = /^([^/]+)_([AB])\.[^./]+$/.exec(path) ?? [];
      if (stem === undefined || !isImagePath(path)) continue;
      const known = sides[side as 'A' | 'B'];
      const other = known.get(stem);
      if (other === undefined) known.set(stem, path);
      else unused.push({ path, why: `expected one file of this name but there is ${other} too, which is used` });
    }
    for (const [here, there] of [['A', 'B'], ['B', 'A']] as const) {
      for (const [stem, path] of sides[here]) if (!sides[there].has(stem)) unused.push({ path, why: `expected its twin ${stem}_${there}.* but there is none` });
    }
    return [...sides.A].filter(([stem]) => sides.B.has(stem)).map(([id, source]) => ({ split: 'train', id, source, target: sides.B.get(id) as string, sideBySide: false }));
  },
};

const layouts: readonly Layout[] = [
  twoFolders('train_A/ train_B/ test_A/ test_B/', (split) => [`${split}_A`, `${split}_B`]),
  twoFolders('trainA/ trainB/ testA/ testB/', (split) => [`${split}A`, `${split}B`]),
  twoFolders('A/{train,val,test} B/{train,val,test}', (split) => [`A/${split}`, `B/${split}`]),
  sideBySide, flat('source', 'target'), flat('input', 'target'), flat('lq', 'hq'), suffixed,
];

/** The layouts in the order they are tried. */
export const layoutNames: readonly string[] = layouts.map(({ words }) => words);

/**
 * Finds the first layout that has a pair.
 * @param paths from the dataset's folder, with forward slashes; sorted, so that the result does not depend on the disk
 * @returns undefined when no layout has a pair; `almost` then tells the twins that were missed
 */
export const recognise = (paths: readonly string[]): Readonly<{ found: Recognised | undefined; almost: readonly Unused[] }> => {
  const sorted = [...paths].sort();
  let almost: readonly Unused[] = [];
  for (const { words, find } of layouts) {
    const unused: Unused[] = [];
    const pairs = find(sorted, unused);
    if (pairs.length > 0) return { found: { layout: words, pairs, unused }, almost: [] };
    if (almost.length === 0) almost = unused;
  }
  return { found: undefined, almost };
};
