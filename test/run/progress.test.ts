import { describe, expect, it } from 'vitest';
import { duration, lossTerms, progressLine, short } from '../../src/run/progress.ts';

describe('duration', () => {
  it.each([[0, '0s'], [59.4, '59s'], [59.6, '1m 00s'], [185, '3m 05s'], [3599.7, '1h 00m'], [7620, '2h 07m'], [86_400 * 3 + 3600 * 4, '3d 04h'], [Infinity, '?'], [NaN, '?']])('says %d as %s', (seconds, text) => {
    expect(duration(seconds)).toBe(text);
  });
});

describe('short', () => {
  it.each([[0, '0.0000'], [0.01234, '0.0123'], [-1.2345, '-1.23'], [12.345, '12.3'], [123.4, '123'], [1e-5, '1.0e-5'], [123_456, '1.2e+5'], [NaN, 'NaN']])('says %d as %s', (value, text) => {
    expect(short(value)).toBe(text);
  });
});

describe('lossTerms', () => {
  it('keeps terms, shortens names that are unique, and falls back to the total', () => {
    expect(lossTerms({
      'generator.loss': 3, 'generator.l2': 1, 'generator.gan': 2, 'generator.gradNorm': 9, 'generator.finite': 1, 'critic.loss': 5, 'critic.gan': 4, 'critic.finite': 1, 'val.psnr': 20, lonely: 7,
    })).toEqual({ l2: 1, 'generator.gan': 2, 'critic.gan': 4 });
    expect(lossTerms({ 'unet.loss': 3, 'unet.gradNorm': 1 })).toEqual({ loss: 3 });
  });
});

describe('progressLine', () => {
  const progress = { step: 412, steps: 5000, secondsPerStep: 0.5, imagesPerSecond: 14.23, engineBusy: 0.968, bottleneck: 'decode', terms: { l2: 0.0123, gan: 0.693 } };

  it('says share, time to go, speed, engine and losses', () => {
    expect(progressLine(progress)).toBe('step 412/5000 8%  ETA 38m 14s  14.2 images/s  engine 97% busy, waits for decode  l2 0.0123  gan 0.6930');
    expect(progressLine({ ...progress, bottleneck: 'engine', secondsPerStep: undefined, imagesPerSecond: undefined, terms: {} })).toBe('step 412/5000 8%  engine 97% busy');
  });

  it('draws a bar and keeps to the terminal', () => {
    expect(progressLine({ ...progress, step: 2500 }, 200)).toMatch(/^\[={8} {8}\] step 2500\/5000 50% /);
    expect(progressLine({ ...progress, step: 5000 }, 200)).toMatch(/^\[={16}\] step 5000\/5000 100%  ETA 0s/);
    for (const width of [10, 40, 80]) expect(progressLine(progress, width)).toHaveLength(width);
  });
});
