import { from, lastValueFrom, map, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { logitAnchors } from '../../src/models/anchors.ts';
import { trackLogits } from '../../src/operators/trackLogits.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { release } from '../../src/streams/mapTensors.ts';
import { free } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { batchAt, leakFree } from '../support.ts';
import { keepsTheContract } from './contract.ts';

describe('trackLogits', () => {
  const logits = (batch: Batch) => ({ ...batch, realLogits: tf.tensor1d([1, 3]) as tf.Tensor, fakeLogits: tf.fill([2, 2], -1) as tf.Tensor });
  describe('as an operator', () => {
    let anchors: ReturnType<typeof logitAnchors>;
    beforeAll(() => { anchors = logitAnchors(); });
    afterAll(() => { free({ anchors }); });
    keepsTheContract(() => trackLogits<ReturnType<typeof logits>>(anchors), logits, { readsTensors: false });
  });

  it('keeps running means', leakFree(async () => {
    const anchors = logitAnchors();
    await lastValueFrom(from([0, 1].map((step) => batchAt(step))).pipe(map(logits), trackLogits(anchors, { decay: 0.75 }), map(release), toArray()));
    expect([...await anchors.variables.real.data(), ...await anchors.variables.fake.data()]).toEqual([0.75 * 0.5 + 0.5, -(0.75 * 0.25 + 0.25)]);
    expect(() => trackLogits(anchors, { decay: 1 })).toThrow('trackLogits: expected decay to be in [0, 1) but received 1');
    free({ anchors });
  }));
});
