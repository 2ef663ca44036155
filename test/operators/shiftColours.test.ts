import { firstValueFrom, map, of } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { drawColourShift, shiftColour } from '../../src/models/colourShift.ts';
import { shiftColours } from '../../src/operators/shiftColours.ts';
import { fold, normal, seeded, uniform } from '../../src/random.ts';
import type { Batch } from '../../src/streams/frames.ts';
import { release } from '../../src/streams/mapTensors.ts';
import * as tf from '../../src/tf.ts';
import { image } from '../losses/differences.ts';
import { batchAt, leakFree } from '../support.ts';
import { keepsTheContract } from './contract.ts';

const key = seeded(2);
const load = (batch: Batch) => ({ ...batch, source: image(1, [4, 3, 3, 3]), target: image(1, [4, 3, 3, 3]) });
type Loaded = ReturnType<typeof load>;

describe('shiftColours', () => {
  keepsTheContract(() => shiftColours<'source' | 'target', Loaded>(['source', 'target'], { key }), load);

  it('changes both images of a pair alike', leakFree(async () => {
    const frame = await firstValueFrom(of(batchAt(5)).pipe(map(load), shiftColours<'source' | 'target', Loaded>(['source', 'target'], { key, share: 0.5 })));
    const [source, target] = [await frame.source.data(), await frame.target.data()];
    expect(source).toEqual(target);
    const before = image(1, [4, 3, 3, 3]);
    const plain = await before.data();
    const changed = Array.from({ length: 4 }, (_, i) => source.slice(27 * i, 27 * i + 27).some((x, j) => Math.abs(x - plain[27 * i + j]!) > 1e-5));
    const chosen = uniform(fold(fold(key, 'shiftColours', 5), 'chosen'), 4);
    expect(changed).toEqual(Array.from(chosen, (u) => u < 0.5));
    before.dispose();
    release(frame);
  }));

  it('is the published formula', leakFree(async () => {
    const pixel = [0.2, -0.4, 0.6];
    const y = tf.tidy(() => shiftColour(tf.tensor4d(pixel, [1, 1, 1, 3]), drawColourShift(key, 1, { share: 1 })));
    const found = await y.data();
    const [n, b] = [normal(fold(key, 'matrix'), 9), uniform(fold(key, 'mix'), 3)];
    const unit = pixel.map((x) => (x + 1) / 2);
    [0, 1, 2].forEach((c) => {
      const changed = Math.min(1, Math.max(0, [0, 1, 2].reduce((sum, k) => sum + (0.5 + n[3 * c + k]!) * unit[k]!, 0)));
      expect(found[c]).toBeCloseTo(2 * (b[c]! * changed + (1 - b[c]!) * unit[c]!) - 1, 5);
    });
    y.dispose();
  }));

  it('leaves most images exactly alone', leakFree(async () => {
    const x = image(3, [200, 1, 1, 3]);
    const y = tf.tidy(() => shiftColour(x, drawColourShift(key, 200)));
    const [before, after] = [await x.data(), await y.data()];
    const changed = Array.from({ length: 200 }, (_, i) => [0, 1, 2].some((c) => Math.abs(after[3 * i + c]! - before[3 * i + c]!) > 1e-6)).filter(Boolean).length;
    expect(changed).toBeGreaterThan(5);
    expect(changed).toBeLessThan(40);
    tf.dispose([x, y]);
  }));

  it('says what is wrong with its options', () => {
    expect(() => shiftColours([], { key })).toThrow('shiftColours: expected at least one field but received none');
    expect(() => shiftColours<'source', Loaded>(['source'], { key, share: 2 })).toThrow('shiftColours: expected share to be a probability but received 2');
  });
});
