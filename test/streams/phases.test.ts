import { from, map } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Batch } from '../../src/streams/frames.ts';
import { mapTensors, release } from '../../src/streams/mapTensors.ts';
import { phases } from '../../src/streams/phases.ts';
import * as tf from '../../src/tf.ts';
import { keepsTheContract } from '../operators/contract.ts';
import { leakFree, steps } from '../support.ts';

type Frame = Batch & Readonly<{ x: tf.Tensor }>;
const load = (batch: Batch): Frame => ({ ...batch, x: tf.zeros([1, 2]) });
const marked = (phase: string) => mapTensors(phase, (frame: Frame) => ({ ...frame, x: tf.reshape(frame.x, [2, 1]), phase }));

describe('phases', () => {
  keepsTheContract(() => phases({ from: 0, run: marked('a') }, { from: 1, run: marked('b') }), load);

  const seen = (...list: readonly (readonly [string, number])[]): string[] => {
    const found: string[] = [];
    from(steps(5)).pipe(map(load), phases(...list.map(([name, start]) => ({ from: start, run: marked(name) }))), map((frame) => { release(frame); return frame.phase; }))
      .subscribe((phase) => { found.push(phase); });
    return found;
  };

  it('does with each step what its phase does', leakFree(() => { expect(seen(['a', 0], ['b', 2], ['c', 4])).toEqual(['a', 'a', 'b', 'b', 'c']); }));

  it('leaves out a phase that begins where the next does, or after the end', leakFree(() => {
    expect(seen(['a', 0], ['b', 0], ['c', 3], ['d', 9])).toEqual(['b', 'b', 'b', 'c', 'c']);
  }));

  it('knows the phase of a run that goes on in the middle', leakFree(() => {
    const found: string[] = [];
    from([...steps(5)].slice(3)).pipe(map(load), phases({ from: 0, run: marked('a') }, { from: 3, run: marked('b') }), map((frame) => { release(frame); return frame.phase; })).subscribe((phase) => { found.push(phase); });
    expect(found).toEqual(['b', 'b']);
  }));

  it.each([[[]], [[1]], [[0, 3, 2]], [[0, 0.5]]])('refuses starts at %j', (starts) => {
    expect(() => phases(...starts.map((start) => ({ from: start, run: marked('a') })))).toThrow(/phases: expected steps that begin with 0 and do not fall but received/);
  });
});
