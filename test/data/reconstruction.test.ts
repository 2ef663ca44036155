import { describe, expect, it } from 'vitest';
import type { Dataset, ImageFile, PairFile } from '../../src/data/dataset.ts';
import { reconstructionOf } from '../../src/data/reconstruction.ts';

const file = (path: string): ImageFile => ({ path, file: `/${path}`, bytes: 1, mtimeMs: 0, hash: path, part: 'whole' });
const pair = (id: string): PairFile => ({ id, source: file(`A/${id}`), target: file(`B/${id}`), prompt: 'a fern' });
const dataset: Dataset = { root: '/', layout: 'folders', train: [pair('1'), pair('2')], validation: [pair('9')], heldOutBy: 'split', unused: [], files: new Map() };
const shown = (pairs: readonly PairFile[]): string[][] => pairs.map(({ id, source, target }) => [id, source.path, target.path]);

describe('reconstructionOf', () => {
  it('makes each target, or each source, a pair of itself', () => {
    expect(shown(reconstructionOf(dataset, 'targets').train)).toEqual([['1', 'B/1', 'B/1'], ['2', 'B/2', 'B/2']]);
    expect(shown(reconstructionOf(dataset, 'sources').validation)).toEqual([['9', 'A/9', 'A/9']]);
    expect(reconstructionOf(dataset, 'targets')).toMatchObject({ reconstructs: 'targets', root: '/', heldOutBy: 'split' });
  });

  it('makes two of a pair with both, under names of their own', () => {
    const { train, validation } = reconstructionOf(dataset, 'both');
    expect(shown(train)).toEqual([['1 source', 'A/1', 'A/1'], ['1 target', 'B/1', 'B/1'], ['2 source', 'A/2', 'A/2'], ['2 target', 'B/2', 'B/2']]);
    expect(shown(validation)).toEqual([['9 source', 'A/9', 'A/9'], ['9 target', 'B/9', 'B/9']]);
  });

  it('gives both halves as one object, so that they are decoded once', () => {
    for (const { source, target } of reconstructionOf(dataset, 'both').train) expect(source).toBe(target);
  });
});
