import { from, lastValueFrom } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { batch } from '../../src/operators/batch.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { release } from '../../src/streams/mapTensors.ts';
import { batchAt, leakFree } from '../support.ts';
import { keepsTheContract } from './contract.ts';

const load = (frame: Batch) => ({ ...frame, prompts: ['a mill'], spent: { decode: 1 }, pixels: { source: Float32Array.of(-1, 0, 1), target: Float32Array.of(0.5, 0.25, 0), shape: [1, 1, 1, 3] as const } });

describe('batch', () => {
  keepsTheContract(() => batch(), load, { readsTensors: false });

  it('uploads both images and leaves the pixels behind', leakFree(async () => {
    const frame = await lastValueFrom(from([load(batchAt(2))]).pipe(batch()));
    expect(Object.keys(frame).sort()).toEqual(['epoch', 'ids', 'prompts', 'source', 'step', 'target']);
    expect(frame.prompts).toEqual(['a mill']);
    expect([frame.source.shape, frame.target.shape, frame.source.dtype]).toEqual([[1, 1, 1, 3], [1, 1, 1, 3], 'float32']);
    expect([...await frame.source.data(), ...await frame.target.data()]).toEqual([-1, 0, 1, 0.5, 0.25, 0]);
    release(frame);
  }));

  it('names itself, the step and the images when the pixels do not fit', () => {
    let failure: unknown;
    const frame = { ...load(batchAt(4)), pixels: { source: new Float32Array(3), target: new Float32Array(2), shape: [1, 1, 1, 3] as const } };
    from([frame]).pipe(batch()).subscribe({ error: (error: unknown) => { failure = error; } });
    expect(`${failure}`).toMatch(/batch failed at step 4 on \[image4\]/);
  });
});
