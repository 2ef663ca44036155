import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { type Output, terminal } from '../../src/run/terminal.ts';

const open = (isTTY: boolean, columns?: number) => {
  const events = new EventEmitter();
  const written: string[] = [];
  let time = 0;
  const out = { isTTY, columns, write: (text: string) => { written.push(text); }, on: events.on.bind(events) } as Output;
  return { ...terminal(out, { now: () => time }), events, wait: (ms: number) => { time += ms; }, text: () => written.splice(0).join('') };
};

describe('terminal', () => {
  it('redraws the bar in place, not oftener than the eye sees', () => {
    const { bar, wait, text, end } = open(true);
    bar('1');
    bar('2');
    wait(100);
    bar('3');
    expect(text()).toBe('\r1\x1b[K\r3\x1b[K');
    bar('4');
    end();
    expect(text()).toBe('\r4\x1b[K\n');
    end();
    expect(text()).toBe('');
  });

  it('moves the bar out of the way of lines', () => {
    const { line, bar, text } = open(true);
    line('before');
    bar('1/9');
    line('saved');
    expect(text()).toBe('before\n\r1/9\x1b[K\r\x1b[Ksaved\n\r1/9\x1b[K');
  });

  it('cuts the bar to the width of the terminal', () => {
    const { bar, text } = open(true, 5);
    bar('1234567');
    expect(text()).toBe('\r1234…\x1b[K');
  });

  it('writes a plain line every five seconds where there is no terminal', () => {
    const { line, bar, wait, text, end } = open(false);
    for (let step = 0; step < 12; step++) { bar(`step ${step}`); wait(1000); }
    line('saved');
    expect(text()).toBe('step 0\nstep 5\nstep 10\nsaved\n');
    end();
    expect(text()).toBe('step 11\n');
  });

  it('falls silent when its reader goes away', () => {
    const { line, bar, events, text } = open(false);
    line('a');
    events.emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    line('b');
    bar('c');
    expect(text()).toBe('a\n');
    expect(() => events.emit('error', Object.assign(new Error('EIO'), { code: 'EIO' }))).toThrow('EIO');
  });
});
