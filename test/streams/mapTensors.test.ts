import { from, map } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Batch } from '../../src/streams/frames.ts';
import { OperatorError, mapTensors, release, tensorsOf } from '../../src/streams/mapTensors.ts';
import * as tf from '../../src/tf.ts';
import { keepsTheContract } from '../operators/contract.ts';
import { batchAt, leakFree } from '../support.ts';

type Loaded = Batch & Readonly<{ x: tf.Tensor2D; deep: Readonly<{ list: readonly tf.Scalar[] }> }>;
const load = (batch: Batch): Loaded => ({ ...batch, x: tf.ones([2, 2]), deep: { list: [tf.scalar(1), tf.scalar(2)] } });
const once = <B>(project: (frame: Loaded) => B): B => {
  let result: B | undefined;
  let failure: unknown;
  from([batchAt(3, ['a', 'b'])]).pipe(map(load), mapTensors('double', project)).subscribe({ next: (frame) => { result = frame; }, error: (error: unknown) => { failure = error; } });
  if (failure !== undefined) throw failure;
  return result as B;
};

describe('mapTensors', () => {
  keepsTheContract<Loaded, Loaded>(() => mapTensors('double', (frame) => ({ ...frame, x: tf.matMul(frame.x, tf.ones([2, 2])) })), load);

  it('keeps what the result holds and frees what it leaves out, and what was made on the way', leakFree(() => {
    const before = tf.memory().numTensors;
    let input: Loaded | undefined;
    const result = once((frame) => {
      input = frame;
      tf.add(frame.x, 1);
      return { step: frame.step, epoch: frame.epoch, ids: frame.ids, y: tf.mul(frame.x, 2), first: frame.deep.list[0] as tf.Scalar };
    });
    expect(tf.memory().numTensors - before).toBe(2);
    expect(input?.x.isDisposed).toBe(true);
    expect(input?.deep.list.map((tensor) => tensor.isDisposed)).toEqual([false, true]);
    release(result);
  }));

  it('spares variables, in the frame and in the result', leakFree(() => {
    const variable = tf.tidy(() => tf.variable(tf.scalar(1)));
    release(once((frame) => ({ ...frame, x: tf.add(frame.x, variable) })));
    let dropped: Batch | undefined;
    from([{ ...batchAt(0), variable }]).pipe(mapTensors('drop', ({ step, epoch, ids }) => ({ step, epoch, ids }))).subscribe((frame) => { dropped = frame; });
    expect(dropped).toEqual(batchAt(0));
    expect(variable.isDisposed).toBe(false);
    variable.dispose();
  }));

  it('frees the frame when the projection throws, and says where', leakFree(() => {
    let failure: unknown;
    try { once((frame) => { tf.add(frame.x, 1); throw new TypeError('no such field'); }); } catch (error) { failure = error; }
    expect(failure).toBeInstanceOf(OperatorError);
    expect(failure).toMatchObject({ message: 'double failed at step 3 on [a, b]: no such field', operator: 'double', step: 3, ids: ['a', 'b'], cause: new TypeError('no such field') });
  }));

  it('does not wrap an error that has said where already', leakFree(() => {
    const inner = new OperatorError('inner', batchAt(1), 'why');
    expect(() => once(() => { throw inner; })).toThrow(inner);
    expect(inner.message).toBe('inner failed at step 1 on [image1]: why');
  }));
});

describe('tensorsOf', () => {
  it('finds tensors at any depth of plain records and arrays, and nowhere else', leakFree(() => {
    const [a, b] = [tf.scalar(1), tf.scalar(2)];
    class Holder { a = a; }
    expect(tensorsOf({ a, list: [1, { b }], text: 'x', nothing: null, missing: undefined, holder: new Holder(), pixels: new Float32Array(2) })).toEqual([a, b]);
    release({ a, list: [b] });
    expect([a.isDisposed, b.isDisposed]).toEqual([true, true]);
  }));
});
