import { describe, expect, it } from 'vitest';
import { constant, constantWithWarmUp, cosine, cosineWithRestarts, linear, piecewise, polynomial } from '../../src/optim/learningRate.ts';

describe('learning rates', () => {
  it('warms up from 0 and holds', () => {
    const rate = constantWithWarmUp(1, { warmUp: 4 });
    expect([0, 1, 2, 3, 4, 100].map(rate)).toEqual([0, 0.25, 0.5, 0.75, 1, 1]);
    expect(constant(0.5)(7)).toBe(0.5);
  });

  it('falls along a line to 0', () => {
    expect([0, 5, 10, 20, 30, 31].map(linear(1, { warmUp: 10, steps: 30 }))).toEqual([0, 0.5, 1, 0.5, 0, 0]);
  });

  it('falls along half a cosine', () => {
    const rate = cosine(2, { steps: 100 });
    expect(rate(0)).toBe(2);
    expect(rate(50)).toBeCloseTo(1, 12);
    expect(rate(25)).toBeCloseTo(1 + Math.SQRT1_2, 12);
    expect(rate(100)).toBeCloseTo(0, 12);
  });

  it('restarts hard', () => {
    const rate = cosineWithRestarts(1, { steps: 40, cycles: 2 });
    expect(rate(20)).toBe(1);
    expect(rate(19)).toBeLessThan(0.01);
    expect(rate(30)).toBeCloseTo(0.5, 12);
    expect(rate(40)).toBe(0);
  });

  it('falls polynomially to its end', () => {
    const rate = polynomial(1, { steps: 10, end: 0.1, power: 2 });
    expect(rate(5)).toBeCloseTo(0.9 * 0.25 + 0.1, 12);
    expect(rate(10)).toBeCloseTo(0.1, 12);
    expect(rate(11)).toBe(0.1);
    expect(() => polynomial(1, { steps: 10, end: 2 })).toThrow('polynomial: expected end to be below lr 1 but received 2');
  });

  it('runs one schedule after another', () => {
    const rate = piecewise([[3, constant(1)], [2, linear(1, { steps: 2 })]], constant(0.1));
    expect([0, 2, 3, 4, 5, 1000].map(rate)).toEqual([1, 1, 1, 0.5, 0.1, 0.1]);
  });

  it('rejects phases without length', () => {
    expect(() => cosine(1, { steps: 0 })).toThrow('cosine: expected steps to be positive but received 0');
    expect(() => linear(1, { warmUp: -1, steps: 3 })).toThrow(RangeError);
  });
});
