import { appendFile, mkdir, mkdtemp, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileStates } from '../../src/streams/fileStates.ts';

let root: string;
beforeEach(async () => { root = await mkdtemp(join(tmpdir(), 'millrace-states-')); });
afterEach(async () => { await rm(root, { recursive: true, force: true }); });
const place = (name: string): string => join(root, name);

describe('fileStates', () => {
  const look = fileStates();
  it('tells equal bytes from others, whatever the size and time', async () => {
    const path = place('a.png');
    const at = new Date(1e12);
    const write = async (text: string): Promise<void> => { await writeFile(path, text); await utimes(path, at, at); };
    await write('abcd');
    await look([path]);
    const before = await look([path]);
    expect(await look([path])).toBe(before);
    await write('abcx');
    expect(await look([path])).not.toBe(before);
    await write('abcd');
    expect(await look([path])).toBe(before);
  });

  it('never says of a growing file that it is still, nor reads it', async () => {
    const path = place('b.png');
    await writeFile(path, 'x');
    const states = new Set([await look([path])]);
    for (let i = 0; i < 5; i++) { await appendFile(path, 'x'); states.add(await look([path])); }
    await truncate(path, 1);
    states.add(await look([path]));
    expect(states.size).toBe(7);
  });

  it('ends early when it is aborted', async () => {
    const control = new AbortController();
    const many = Array.from({ length: 1000 }, (_, i) => place(`${i}.png`));
    const whole = await look(many);
    const cut = look(many, control.signal);
    control.abort();
    expect(await cut).not.toBe(whole);
  });

  it('has a word for files that are missing and for folders', async () => {
    const missing = await look([place('none.png')]);
    expect(await look([place('none.png')])).toBe(missing);
    expect(await look([root])).not.toBe(missing);
  });

  it('tells by names, sizes and times of all that is in it whether a folder is still', async () => {
    const states: string[] = [];
    const still = fileStates({ ignored: (path) => path.includes('.hidden') });
    const state = async (): Promise<string> => { const word = await still([root]); expect(await still([root])).toBe(word); states.push(word); return word; };
    await state();
    await mkdir(place('a/b'), { recursive: true });
    await state();
    await writeFile(place('a/b/c.png'), 'x');
    await state();
    await appendFile(place('a/b/c.png'), 'y');
    await state();
    await utimes(place('a/b/c.png'), 1e9, 1e9);
    const last = await state();
    await writeFile(place('a/.hidden'), 'x');
    expect(await still([root])).toBe(last);
    await rm(place('a/b/c.png'));
    await state();
    await rm(place('a'), { recursive: true });
    expect(await state()).toBe(states[0]);
    expect(states.at(-2)).toBe(states[1]);
    expect(new Set(states).size).toBe(5);
  });
});
