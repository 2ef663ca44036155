import { describe, expect, it } from 'vitest';
import { layoutNames, recognise } from '../../src/data/layouts.ts';

const found = (paths: readonly string[]) => {
  const { found } = recognise(paths);
  return found && { layout: found.layout, pairs: found.pairs.map(({ split, id, source, target }) => `${split} ${id}: ${source} ${target}`), unused: found.unused.map(({ path }) => path) };
};

describe('recognise', () => {
  it.each([
    [['train_A/x.png', 'train_B/x.jpg', 'test_A/y.png', 'test_B/y.png'], ['train x: train_A/x.png train_B/x.jpg', 'test y: test_A/y.png test_B/y.png']],
    [['trainA/x.png', 'trainB/x.png', 'valA/z.png', 'valB/z.png'], ['train x: trainA/x.png trainB/x.png', 'val z: valA/z.png valB/z.png']],
    [['A/train/x.png', 'B/train/x.png', 'A/test/y.png', 'B/test/y.png'], ['train x: A/train/x.png B/train/x.png', 'test y: A/test/y.png B/test/y.png']],
    [['train/x.png', 'val/y.png'], ['train x: train/x.png train/x.png', 'val y: val/y.png val/y.png']],
    [['source/x.png', 'target/x.webp'], ['train x: source/x.png target/x.webp']],
    [['input/a/x.png', 'target/a/x.png'], ['train a/x: input/a/x.png target/a/x.png']],
    [['lq/x.tif', 'hq/x.png'], ['train x: lq/x.tif hq/x.png']],
    [['x_A.png', 'x_B.jpeg', 'notes.txt'], ['train x: x_A.png x_B.jpeg']],
  ])('%j', (paths, pairs) => { expect(found(paths)?.pairs).toEqual(pairs); });

  it('tries the layouts in their order: two folders before side by side', () => {
    expect(found(['train/x.png', 'train_A/y.png', 'train_B/y.png'])?.layout).toBe(layoutNames[0]);
    expect(found(['train/x.png', 'source/y.png', 'target/y.png'])?.layout).toBe(layoutNames[3]);
  });

  it('does not depend on the order of the paths', () => {
    const paths = ['source/b.png', 'target/a.png', 'source/a.png', 'target/b.png'];
    expect(found(paths)).toEqual(found([...paths].reverse()));
  });

  it('leaves out what lacks its twin, and says which one', () => {
    const { found } = recognise(['source/a.png', 'target/a.png', 'source/b.png', 'target/c.png']);
    expect(found?.unused).toEqual([
      { path: 'source/b.png', why: 'expected its twin target/b.* but there is none' },
      { path: 'target/c.png', why: 'expected its twin source/c.* but there is none' },
    ]);
  });

  it('uses one of two files with one stem', () => {
    const result = found(['source/a.jpg', 'source/a.png', 'target/a.png']);
    expect(result?.pairs).toEqual(['train a: source/a.jpg target/a.png']);
    expect(result?.unused).toEqual(['source/a.png']);
  });

  it('finds nothing in files that form no pair, and says what was almost one', () => {
    expect(recognise(['source/a.png', 'target/b.png'])).toMatchObject({ found: undefined, almost: [{ path: 'source/a.png' }, { path: 'target/b.png' }] });
    expect(recognise(['holiday.png', 'beach.png']).found).toBeUndefined();
  });
});
