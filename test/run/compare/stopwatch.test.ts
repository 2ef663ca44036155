import { describe, expect, it } from 'vitest';
import { stopwatch } from '../../../src/run/compare/stopwatch.ts';

describe('stopwatch', () => {
  it('counts every step as the mean of the plain ones: neither start-up nor validation', () => {
    const watch = stopwatch(1000);
    watch.mark(6000, true);    // 5 s, start-up
    watch.mark(8000, true);    // 2 s
    watch.mark(12_000, true);  // 4 s
    watch.mark(52_000, false); // 40 s, of which most was a validation
    expect(watch.secondsPerStep).toBe(3);
    expect(watch.seconds).toBe(12);
    expect(watch.startUp).toBe(2);
  });

  it('counts all time where no step was plain', () => {
    const watch = stopwatch(0);
    watch.mark(4000, false);
    watch.mark(10_000, false);
    expect([watch.seconds, watch.secondsPerStep, watch.startUp]).toEqual([10, 5, 0]);
  });

  it('has counted nothing before the first step', () => {
    expect(stopwatch(500).seconds).toBe(0);
  });
});
