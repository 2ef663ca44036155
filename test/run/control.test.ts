import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { type ControlPanel, type Host, type Keyboard, controlPanel, listenToKeys, listenToSignals } from '../../src/run/control.ts';

class FakeHost extends EventEmitter {
  pid = 7;
  done: string[] = [];
  kill = (pid: number, signal: string): void => { this.done.push(`${signal} to ${pid}`); };
  exit = (code: number): void => { this.done.push(`exit ${code}`); };
}
class FakeKeyboard extends EventEmitter {
  isTTY = true;
  isRaw = false;
  done: string[] = [];
  setRawMode = (raw: boolean): void => { this.isRaw = raw; };
  resume = (): void => { this.done.push('resume'); };
  pause = (): void => { this.done.push('pause'); };
  type = (keys: string): void => { this.emit('data', Buffer.from(keys)); };
}
const watched = (): { panel: ControlPanel; seen: string[]; said: string[]; host: FakeHost; say: (text: string) => void } => {
  const panel = controlPanel();
  const seen: string[] = [];
  panel.paused.subscribe((paused) => { seen.push(paused ? 'paused' : 'running'); });
  panel.sample.subscribe(() => { seen.push('sample'); });
  panel.save.subscribe(() => { seen.push('save'); });
  panel.stop.subscribe(() => { seen.push(`stop ${panel.stopCode}`); });
  const said: string[] = [];
  return { panel, seen, said, host: new FakeHost(), say: (text) => { said.push(text); } };
};

describe('controlPanel', () => {
  it('says the present state to whoever comes late', () => {
    const { panel, seen } = watched();
    panel.hold(true);
    panel.hold(true);
    panel.requestStop(130);
    panel.requestStop(0);
    const late: unknown[] = [];
    panel.paused.subscribe((paused) => { late.push(paused); });
    panel.stop.subscribe(() => { late.push('stop'); });
    expect(late).toEqual([true, 'stop']);
    expect(seen).toEqual(['running', 'paused', 'stop 130']);
    expect(panel).toMatchObject({ isPaused: true, stopCode: 130 });
  });
});

describe('listenToSignals', () => {
  it.each([['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]])('%s stops after the step; the second one at once, with %d', (signal, code) => {
    const { panel, seen, said, host, say } = watched();
    let time = 0;
    listenToSignals(panel, say, host as unknown as Host, () => time);
    host.emit(signal);
    // What npm passes on of the same key press.
    time += 30;
    host.emit(signal);
    expect(seen).toEqual(['running', `stop ${code}`]);
    expect(said).toEqual(['stopping: the step is finished and saved (once more to stop at once)']);
    expect(host.done).toEqual([]);
    time += 150;
    host.emit(signal);
    expect(host.done).toEqual([`exit ${code}`]);
  });

  it('pauses and goes on, samples and saves', () => {
    const { panel, seen, said, host, say } = watched();
    listenToSignals(panel, say, host as unknown as Host);
    for (const signal of ['SIGTSTP', 'SIGUSR1', 'SIGUSR2', 'SIGCONT', 'SIGCONT']) host.emit(signal);
    expect(seen).toEqual(['running', 'paused', 'sample', 'save', 'running']);
    expect(said).toEqual(['paused; p, or kill -CONT 7, goes on', 'going on']);
    host.emit('SIGTSTP');
    host.emit('SIGTSTP');
    expect(host.done).toEqual(['SIGSTOP to 7']);
  });

  it('leaves nothing behind', () => {
    const { panel, seen, host, say } = watched();
    listenToSignals(panel, say, host as unknown as Host)();
    expect(host.eventNames()).toEqual([]);
    expect(seen).toEqual(['running']);
  });

  it('passes over signals the system does not have', () => {
    const { panel, seen, host, say } = watched();
    const on = host.on.bind(host);
    host.on = (signal, listener) => { if (signal === 'SIGUSR2') throw new Error('ENOSYS'); return on(signal, listener); };
    listenToSignals(panel, say, host as unknown as Host)();
    listenToSignals(panel, say, host as unknown as Host);
    host.emit('SIGUSR1');
    expect(seen).toEqual(['running', 'sample']);
  });

  it('hears real signals', async () => {
    const { panel, seen, say } = watched();
    const undo = listenToSignals(panel, say);
    try {
      process.kill(process.pid, 'SIGUSR2');
      for (let i = 0; i < 100 && seen.length < 2; i++) await new Promise((resolve) => { setTimeout(resolve, 10); });
      expect(seen).toEqual(['running', 'save']);
    } finally { undo(); }
  });
});

describe('listenToKeys', () => {
  const open = () => {
    const keyboard = new FakeKeyboard();
    const all = watched();
    const undo = listenToKeys(all.panel, all.say, keyboard as unknown as Keyboard, all.host as unknown as Host);
    return { ...all, keyboard, undo };
  };

  it('pauses and goes on, samples, saves and stops', () => {
    const { keyboard, seen } = open();
    keyboard.type('p');
    keyboard.type('sC');
    keyboard.type('Px');
    keyboard.type('q');
    keyboard.type('q');
    expect(seen).toEqual(['running', 'paused', 'sample', 'save', 'running', 'stop 0']);
  });

  it('keeps the meaning of Ctrl-C and Ctrl-Z, and gives the terminal back first', () => {
    const { keyboard, seen, host } = open();
    keyboard.type('\x1a');
    expect(keyboard.isRaw).toBe(false);
    host.emit('SIGCONT');
    expect(keyboard.isRaw).toBe(true);
    keyboard.type('\x03');
    expect(seen).toEqual(['running', 'stop 130']);
    keyboard.type('\x03');
    expect(keyboard.isRaw).toBe(false);
    expect(host.done).toEqual(['SIGSTOP to 7', 'exit 130']);
  });

  it('lists the keys', () => {
    const { keyboard, said } = open();
    keyboard.type('?');
    expect(said).toEqual(['keys: p pauses, s samples, c saves a checkpoint, q stops']);
  });

  it('gives everything back as it was', () => {
    const { keyboard, host, undo } = open();
    expect(keyboard.isRaw).toBe(true);
    undo();
    expect(keyboard.isRaw).toBe(false);
    expect(keyboard.done).toEqual(['resume', 'pause']);
    expect([...keyboard.eventNames(), ...host.eventNames()]).toEqual([]);
  });

  it('leaves a keyboard alone that is no terminal', () => {
    const keyboard = Object.assign(new FakeKeyboard(), { isTTY: false });
    const { panel, host, say } = watched();
    listenToKeys(panel, say, keyboard as unknown as Keyboard, host as unknown as Host)();
    expect(keyboard.done).toEqual([]);
    expect(keyboard.eventNames()).toEqual([]);
  });
});
