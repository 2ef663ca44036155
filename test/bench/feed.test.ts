import { expect, it, vi } from 'vitest';
import { main } from '../../bench/feed.ts';

it('measures loader and stream, and prints JSON', async () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  try {
    expect(await main(['--pairs', '2', '--batch', '2', '--batches', '2', '--rounds', '2', '--no-torch', '--no-train', '--json'])).toBe(0);
    const found = JSON.parse(log.mock.calls[0]?.[0] as string) as { loader: { pairsPerSecond: number; maxInFlight: number; peakBytes: number; cached: object; workers: Record<string, number> }; pacedBusy: number; overheadMs: number };
    expect(found).toMatchObject({ pairs: 2, batch: 2, credits: 3, withoutTorchvision: 'not asked for', loader: { maxInFlight: 3 } });
    for (const value of [found.loader.pairsPerSecond, found.loader.peakBytes, found.overheadMs, found.pacedBusy]) expect(value).toBeGreaterThan(0);
    expect(found.pacedBusy).toBeLessThanOrEqual(1);
    expect(Object.keys(found.loader.workers)).toEqual(['disk', 'decode', 'augment', 'idle']);
  } finally {
    log.mockRestore();
  }
});

it('refuses a number that is none', async () => {
  await expect(main(['--workers', 'many'])).rejects.toThrow('feed: expected --workers to be a positive integer but received many');
});
