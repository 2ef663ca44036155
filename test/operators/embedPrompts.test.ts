import { from, map } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { embedPrompts } from '../../src/operators/embedPrompts.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { release } from '../../src/streams/mapTensors.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree } from '../support.ts';
import { keepsTheContract } from './contract.ts';

const load = (batch: Batch) => ({ ...batch, prompts: ['a cat', undefined] as const });
const lengths = (prompts: readonly (string | undefined)[]): tf.Tensor3D => tf.tensor3d(prompts.map((prompt) => prompt?.length ?? 0), [prompts.length, 1, 1]);

describe('embedPrompts', () => {
  keepsTheContract(() => embedPrompts<ReturnType<typeof load>>(lengths), load, { readsTensors: false });

  it('adds what is made of each prompt', leakFree(async () => {
    const seen: Promise<number[]>[] = [];
    from([batchAt(0)]).pipe(map(load), embedPrompts(lengths)).subscribe((frame) => {
      seen.push((frame.text as tf.Tensor3D).data().then((data) => { release(frame); return [...data]; }));
    });
    expect(await Promise.all(seen)).toEqual([[5, 0]]);
  }));

  it('adds nothing where there is nobody to tell', leakFree(() => {
    from([batchAt(0)]).pipe(map(load), embedPrompts(undefined)).subscribe(({ text }) => { expect(text).toBeUndefined(); });
  }));

  it('frees the frame and names itself when the text network fails', leakFree(() => {
    let failure: unknown;
    from([batchAt(3)]).pipe(map(load), embedPrompts(() => { throw new Error('too many tokens'); })).subscribe({ error: (error: unknown) => { failure = error; } });
    expect((failure as Error).message).toBe('embedPrompts failed at step 3 on [image3]: too many tokens');
  }));
});
