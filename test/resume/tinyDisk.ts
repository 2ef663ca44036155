import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A file system of its own that is soon full, or the reason why there can be none here. @param size as `mount` takes it, such as 128k */
export const tinyDisk = async (size: string): Promise<Readonly<{ path: string; remove: () => Promise<void> }> | string> => {
  if (process.platform !== 'linux') return 'a small file system needs Linux';
  const path = await mkdtemp(join(tmpdir(), 'millrace-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path], { stdio: 'pipe' });
  } catch (cause) {
    await rm(path, { recursive: true });
    return `a small file system cannot be mounted: ${(cause as Error).message.split('\n').at(-2) ?? 'not permitted'}`;
  }
  return { path, remove: async () => { execFileSync('umount', ['-l', path]); await rm(path, { recursive: true }); } };
};
