import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Stage, bottleneckOf, stageClock, stages } from '../../src/streams/stageClock.ts';

/** A clock that is set by hand, in milliseconds. */
const byHand = () => {
  let time = 0;
  return { clock: stageClock(() => time), pass: (by: number): void => { time += by; } };
};
const nothing = { decode: 0, augment: 0, upload: 0, engine: 0, disk: 0 };

describe('stageClock', () => {
  it('gives each moment to the stage that was entered last, and to nobody in between', () => {
    const { clock, pass } = byHand();
    pass(500);
    clock.enter('decode');
    pass(1000);
    clock.enter('engine');
    pass(2000);
    clock.enter(undefined);
    pass(4000);
    clock.enter('decode');
    pass(250);
    expect(clock.seconds()).toEqual({ ...nothing, decode: 1.25, engine: 2 });
    pass(250);
    expect(clock.seconds().decode).toBe(1.5);
  });

  it('divides what a stage took since it was last divided', () => {
    const { clock, pass } = byHand();
    clock.enter('decode');
    pass(1000);
    clock.divide('decode', { decode: 1, augment: 3 });
    expect(clock.seconds()).toEqual({ ...nothing, decode: 0.25, augment: 0.75 });
    pass(1000);
    clock.divide('decode', {});
    pass(1000);
    clock.enter('engine');
    pass(1000);
    clock.divide('decode', { disk: 2 });
    clock.divide('decode', { augment: 1 });
    expect(clock.seconds()).toEqual({ ...nothing, decode: 1.25, augment: 0.75, disk: 1, engine: 1 });
  });

  it('loses no time and invents none, however it is divided', () => {
    const stage = fc.constantFrom<Stage>(...stages);
    const share = fc.record(Object.fromEntries(stages.map((name) => [name, fc.nat(3)])) as Record<Stage, fc.Arbitrary<number>>);
    fc.assert(fc.property(fc.array(fc.tuple(stage, fc.nat(1000), fc.option(fc.tuple(stage, share)))), (moments) => {
      const { clock, pass } = byHand();
      let whole = 0;
      for (const [name, time, division] of moments) {
        clock.enter(name);
        pass(time);
        whole += time / 1000;
        if (division) clock.divide(...division);
      }
      const seconds = clock.seconds();
      expect(Object.values(seconds).reduce((a, b) => a + b, 0)).toBeCloseTo(whole, 9);
      for (const value of Object.values(seconds)) expect(value).toBeGreaterThanOrEqual(-1e-12);
    }));
  });
});

describe('bottleneckOf', () => {
  it.each(stages)('names %s when it took longest', (stage) => { expect(bottleneckOf({ ...nothing, decode: 1, [stage]: 20 })).toBe(stage); });
  it('names the earlier of two equals', () => { expect(bottleneckOf({ ...nothing, upload: 1, disk: 1 })).toBe('upload'); });
  it('names what an engine with spare time waited for, even when it worked longer than that', () => {
    expect(bottleneckOf({ ...nothing, engine: 60, decode: 15, augment: 25 })).toBe('augment');
    expect(bottleneckOf({ ...nothing, engine: 91, augment: 9 })).toBe('engine');
  });
});
