import { describe, expect, it } from 'vitest';
import { configDiff } from '../../../src/run/compare/configDiff.ts';

describe('configDiff', () => {
  it('lists the leaves in which configurations differ, and those that one lacks', () => {
    const [a, b] = [{ data: { size: 32, root: 'x' }, network: { multipliers: [1, 2] }, seed: 0, flow: { from: 'noise' } }, { data: { size: 64, root: 'x' }, network: { multipliers: [1, 4] }, seed: 0 }];
    expect(configDiff([a, b])).toEqual([
      { path: 'data.size', values: [32, 64] }, { path: 'network.multipliers', values: [[1, 2], [1, 4]] }, { path: 'flow.from', values: ['noise', undefined] },
    ]);
  });

  it('finds nothing between equal configurations', () => {
    expect(configDiff([{ a: { b: [1] } }, { a: { b: [1] } }, { a: { b: [1] } }])).toEqual([]);
  });
});
