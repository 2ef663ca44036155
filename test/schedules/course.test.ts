import { describe, expect, it } from 'vitest';
import { cosineCourse } from '../../src/schedules/course.ts';

describe('cosineCourse', () => {
  it('goes from one value to the other along half a cosine, and stays there', () => {
    const lr = cosineCourse({ from: 2e-4, to: 5e-5, over: 2e7 });
    expect(lr(0)).toBe(2e-4);
    expect(lr(1e7)).toBeCloseTo(1.25e-4, 12);
    expect(lr(2e7 / 3)).toBeCloseTo(2e-4 - 1.5e-4 / 4, 12);
    expect([lr(2e7), lr(1e9)]).toEqual([5e-5, 5e-5]);
    expect(cosineCourse({ from: 0.9, to: 0.99, over: 0 })(0)).toBe(0.99);
  });

  it('rises first where it is to', () => {
    const lr = cosineCourse({ from: 4, to: 2, over: 10, warmUp: 2 });
    expect([0, 1, 2, 6, 10].map(lr)).toEqual([0, 2, 4, 3, 2]);
  });

  it('refuses what is no number', () => {
    expect(() => cosineCourse({ from: NaN, to: 1, over: 1 })).toThrow('cosineCourse: expected from to be a finite number but received NaN');
    expect(() => cosineCourse({ from: 0, to: 1, over: -1 })).toThrow('cosineCourse: expected over and warmUp to be at least 0 but received -1 and 0');
  });
});
