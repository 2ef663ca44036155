import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ControlPanel, controlPanel } from '../../src/run/control.ts';
import { errorText, leftBehind, resumeCommand } from '../../src/run/outcome.ts';
import { RunError } from '../../src/run/training.ts';
import { runMethod, skippedFiles } from '../../src/run/runPipeline.ts';
import { readStateDict } from '../../src/models/weights/safetensors.ts';
import { leakFree } from '../support.ts';
import { linePipeline, pointFolders } from './linePipeline.ts';

let folder: string;
let points: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-run-'));
  points = join(folder, 'points');
  await mkdir(points);
  for (const x of [1, 2, 3]) await writeFile(join(points, `${x}.txt`), `${x} ${3 * x}`);
});
afterEach(async () => { await rm(folder, { recursive: true, force: true }); });

type Session = Readonly<{ lines: string[]; panel: ControlPanel; code: Promise<number>; said: (text: string | RegExp) => Promise<void>; stepped: (steps: number) => Promise<void> }>;

const pause = (time: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, time); });

/** Starts the line pipeline in this process. */
const start = (line: string, { quiet = 60 } = {}): Session => {
  const lines: string[] = [];
  let bars = 0;
  const panel = controlPanel();
  const report = { line: (text: string) => { lines.push(text); }, bar: () => { bars++; }, end: () => {} };
  const argv = ['--data', points, '--out', join(folder, 'runs'), ...line.split(' ').filter((word) => word !== '')];
  const code = runMethod(linePipeline, argv, { datasets: pointFolders, report, panel, script: 'line.ts', quiet });
  code.catch(() => {});
  const until = async (what: string, condition: () => boolean): Promise<void> => {
    for (let i = 0; i < 800; i++) {
      if (condition()) return;
      await pause(25);
    }
    throw new Error(`never ${what}; said:\n${lines.join('\n')}`);
  };
  return {
    lines, panel, code,
    said: (text) => until(`said ${String(text)}`, () => lines.some((one) => (typeof text === 'string' ? one.includes(text) : text.test(one)))),
    stepped: (steps) => { const before = bars; return until(`made ${steps} steps`, () => bars >= before + steps); },
  };
};
/** Run folders in the order of their making, which their names tell to the second only. */
const runs = async (): Promise<string[]> => {
  const home = join(folder, 'runs', 'line');
  const made = await Promise.all((await readdir(home)).filter((name) => name !== 'latest').map(async (name) => ({ path: join(home, name), at: (await stat(join(home, name, 'env.json'))).birthtimeMs })));
  return made.sort((a, b) => a.at - b.at).map(({ path }) => path);
};
const json = async (path: string): Promise<Record<string, unknown>> => JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
const weights = async (run: string, step: number): Promise<unknown> => readStateDict(join(run, 'checkpoints', `checkpoint-${step}`, 'line.safetensors'))();

describe('a run', () => {
  it('says what it runs on, what it found and what it made, and frees everything', leakFree(async () => {
    const { lines, code } = start('--steps 6');
    expect(await code).toBe(0);
    const [run = ''] = await runs();
    expect(lines[0]).toMatch(/^engine \S+, .+/);
    expect(lines[1]).toBe(`3 points in ${points}`);
    expect(lines[2]).toBe(`run ${run}`);
    expect(lines.at(-1)).toContain('line: 6 steps');
    expect(await json(join(run, 'summary.json'))).toMatchObject({ method: 'line', steps: 6, seed: 0, skippedFiles: 0, maxInFlight: 2 });
    expect(await json(join(run, 'config.resolved.json'))).toMatchObject({ method: 'line', config: { data: { root: points }, steps: 6, lr: 0.05 } });
  }));

  it('prints help and starts nothing', async () => {
    const { lines, code } = start('--help');
    expect(await code).toBe(0);
    expect(lines.join('\n')).toContain('line: fits a line to points');
    await expect(runs()).rejects.toThrow('ENOENT');
  });

  it.each([
    ['--stepps 3', /^--stepps: unknown option; did you mean --steps\?/],
    ['--steps 0', /^--steps: expected an integer at least 1 but received 0/],
    ['--data /nowhere', /^\/nowhere: expected a folder of points but found nothing/],
    ['--resume', /latest: expected a run folder but found nothing/],
    ['--init nothing.safetensors', /nothing\.safetensors: expected a run, a checkpoint, a model folder or a \.safetensors file but found nothing/],
    ['--config none.json', /^none\.json: expected a JSON file but found nothing/],
  ])('refuses %s', async (line, message) => { await expect(start(line).code).rejects.toThrow(message); });

  it('finishes the step, saves and says how to go on when it is stopped; resumed, it ends where an unbroken run does', leakFree(async () => {
    const first = start('--steps 40 --delay 5');
    await first.stepped(5);
    first.panel.requestStop(130);
    expect(await first.code).toBe(130);
    const [run = ''] = await runs();
    const [, done = ''] = /stopped after (\d+) of 40 steps/.exec(first.lines.join('\n')) ?? [];
    expect(Number(done)).toBeGreaterThan(0);
    expect(first.lines.at(-1)).toBe(`  node line.ts --resume ${run}`);
    expect(first.lines.join('\n')).toContain(`checkpoint saved: ${join(run, 'checkpoints', `checkpoint-${done}`)}`);
    const second = start(`--resume ${run} --delay 0`);
    expect(await second.code).toBe(0);
    expect(second.lines.join('\n')).toContain(`resuming at step ${done}`);
    expect(await runs()).toEqual([run]);
    await start('--steps 40').code;
    const [, whole = ''] = await runs();
    expect(await weights(run, 40)).toEqual(await weights(whole, 40));
    expect(await readFile(join(run, 'metrics.jsonl'), 'utf8')).toBe(await readFile(join(whole, 'metrics.jsonl'), 'utf8'));
    // Resumed once more, there is nothing left to do.
    const third = start('--resume');
    expect(await third.code).toBe(0);
    expect(third.lines.join('\n')).toContain('40 of 40 steps are done already; --steps with more trains on');
  }));

  it('goes on from the checkpoint that is named, not from the newest, and never from one that is broken', leakFree(async () => {
    const first = start('--steps 40 --delay 5');
    await first.stepped(3);
    first.panel.requestSave();
    expect(await first.code).toBe(0);
    const [run = ''] = await runs();
    const checkpoints = join(run, 'checkpoints');
    const [early = ''] = (await readdir(checkpoints)).filter((name) => /^checkpoint-\d+$/.test(name) && name !== 'checkpoint-40');
    const log = await readFile(join(run, 'metrics.jsonl'), 'utf8');
    const whole = await weights(run, 40);
    const state = join(checkpoints, early, 'state.json');
    const text = await readFile(state, 'utf8');
    await writeFile(state, text.replace('"seed": 0', '"seed": 1'));
    await expect(start(`--resume ${join(checkpoints, early)}`).code).rejects.toThrow(`${early}: state.json: its bytes changed since it was written`);
    expect(await readdir(checkpoints)).toContain('checkpoint-40');
    await writeFile(state, text);
    const second = start(`--resume ${join(checkpoints, early)} --delay 0`);
    expect(await second.code).toBe(0);
    expect(second.lines.join('\n')).toContain('set aside, since the run takes another course from here: checkpoint-40.aside');
    expect(second.lines.join('\n')).toContain(`resuming at step ${early.replace('checkpoint-', '')}, from ${join(checkpoints, early)}`);
    expect((await readdir(checkpoints)).sort()).toEqual([early, 'checkpoint-40', 'checkpoint-40.aside', 'latest'].sort());
    expect(await weights(run, 40)).toEqual(whole);
    expect(await readFile(join(run, 'metrics.jsonl'), 'utf8')).toBe(log);
    await expect(start(`--resume ${join(checkpoints, 'checkpoint-7777')}`).code).rejects.toThrow('checkpoint-7777');
  }));

  it('stops before the first step', leakFree(async () => {
    const { lines, panel, code } = start('--steps 40');
    panel.requestStop(130);
    expect(await code).toBe(130);
    expect(lines.at(-1)).toBe('stopped before the first step');
  }));

  it('fails with operator, step and images, and leaves a checkpoint of the last whole step', leakFree(async () => {
    const failure: unknown = await start('--steps 20 --failAt 7').code.catch((cause: unknown) => cause);
    expect(failure).toBeInstanceOf(RunError);
    const { message, end } = failure as RunError;
    expect(message).toBe('upload failed at step 7 on [3.txt, 1.txt]: asked to fail');
    expect(errorText(failure, false)).toBe(`error: ${message}`);
    expect(errorText(failure, true)).toMatch(/caused by .*asked to fail\n\s+at /s);
    const left = await leftBehind('line.ts', end);
    expect(left).toEqual([`checkpoint saved: ${join(end.folder.path, 'checkpoints', 'checkpoint-7')}`, 'continue with', `  node line.ts --resume ${end.folder.path}`]);
    expect(await start(`--resume ${end.folder.path} --failAt -1`).code).toBe(0);
  }));

  it('holds while paused, and goes on', leakFree(async () => {
    const { lines, panel, code, stepped } = start('--steps 30 --delay 3');
    await stepped(5);
    panel.hold(true);
    await pause(50);
    const more = stepped(1).then(() => true);
    expect(await Promise.race([more, pause(300).then(() => false)])).toBe(false);
    panel.hold(false);
    expect(await code).toBe(0);
    expect(lines.at(-1)).toContain('30 steps');
  }));

  it('begins with the weights of another run, and says what it took', leakFree(async () => {
    await start('--steps 30').code;
    const [run = ''] = await runs();
    const { lines, code } = start(`--steps 1 --lr 0 --init ${run}`);
    await code;
    expect(lines).toContain(`weights from ${join(run, 'checkpoints', 'checkpoint-30')}`);
    expect(lines).toContain('  line: 2 of 2 parameters taken over');
    const [, next = ''] = await runs();
    const ema = await readStateDict(join(run, 'checkpoints', 'checkpoint-30', 'line.ema.safetensors'))();
    expect(await weights(next, 1)).toEqual(ema);
    const file = start(`--steps 1 --lr 0 --init ${join(run, 'checkpoints', 'checkpoint-30', 'line.safetensors')}`);
    await file.code;
    expect(await weights((await runs())[2] as string, 1)).toEqual(await weights(run, 30));
  }));

  it('refuses the run of another method', async () => {
    await start('--steps 1').code;
    const [run = ''] = await runs();
    await writeFile(join(run, 'config.resolved.json'), '{"method": "flow", "config": {}}');
    await expect(start(`--resume ${run}`).code).rejects.toThrow(/expected a run of line but it is one of flow/);
  });
});

describe('watch mode', () => {
  it('trains on with the weights at hand when points are added, and names the parent', leakFree(async () => {
    const { lines, panel, code, said } = start('--steps 25 --watch');
    await said('waiting for changes');
    await writeFile(join(points, '4.txt'), '4 12');
    await said('4 points, before 3');
    for (let i = 0; i < 400 && lines.filter((text) => text.startsWith('waiting for changes')).length < 2; i++) await pause(25);
    panel.requestStop(130);
    expect(await code).toBe(130);
    const [first = '', second = ''] = await runs();
    expect(lines).toContain(`weights from ${join(first, 'checkpoints', 'checkpoint-25')}`);
    expect(await json(join(second, 'env.json'))).toMatchObject({ parent: first });
    const log = async (run: string): Promise<number[]> => (await readFile(join(run, 'metrics.jsonl'), 'utf8')).trim().split('\n').map((text) => (JSON.parse(text) as Record<string, number>)['line.loss'] as number);
    // Warm: the second run begins with the small loss the first ended with.
    expect((await log(first))[0]).toBeGreaterThan(1);
    expect((await log(second))[0]).toBeLessThan(0.5);
    expect((await log(second)).length).toBe(25);
  }));

  it('ends the run under way cleanly when the dataset changes, and trains from scratch when cold', leakFree(async () => {
    const { lines, panel, code, said, stepped } = start('--steps 100000 --delay 5 --watch=cold');
    await stepped(20);
    await writeFile(join(points, '1.txt'), '1 4');
    await said(/^training from scratch after /);
    await stepped(3);
    panel.requestStop(130);
    expect(await code).toBe(130);
    const [first = '', second = ''] = await runs();
    const [, done = ''] = /stopped after (\d+) of/.exec(lines.join('\n')) ?? [];
    expect(await readdir(join(first, 'checkpoints'))).toContain(`checkpoint-${done}`);
    expect(await json(join(second, 'env.json'))).toMatchObject({ parent: first });
    expect(lines.join('\n')).not.toContain('weights from');
  }));

  it('makes one retrain of a storm, waits for what is incomplete, and does not mind its own output', leakFree(async () => {
    const { lines, panel, code, said } = start('--steps 5 --watch');
    await said('waiting for changes');
    await Promise.all(Array.from({ length: 200 }, (_, i) => writeFile(join(points, `${100 + i}.txt`), '1 3')));
    await said(/^203 points, before 3$/);
    await writeFile(join(points, 'half.txt'), '');
    await said('waiting for the other half of half.txt');
    await pause(300);
    expect(lines.filter((text) => text.startsWith('run '))).toHaveLength(2);
    panel.requestStop();
    expect(await code).toBe(0);
  }));

  it('pauses while the folder is gone, and trains on when it is back', leakFree(async () => {
    const { lines, panel, code, said, stepped } = start('--steps 100000 --delay 5 --watch');
    await stepped(10);
    await rename(points, `${points}-away`);
    await said('the folder is gone; paused until it is back');
    await pause(200);
    await rename(`${points}-away`, points);
    await writeFile(join(points, '9.txt'), '1 3');
    await said('the folder is back');
    await said(/^training on after /);
    panel.requestStop(130);
    expect(await code).toBe(130);
    expect(lines.some((text) => text.startsWith('weights from'))).toBe(true);
  }));
});

describe('watch mode without a folder', () => {
  it('survives that the folder is deleted under a run', leakFree(async () => {
    const { lines, panel, code, said, stepped } = start('--steps 100000 --delay 5 --watch');
    await stepped(10);
    await rm(points, { recursive: true });
    await said('the folder is gone; paused until it is back');
    await mkdir(points);
    await writeFile(join(points, '1.txt'), '1 3');
    await said('training on after');
    panel.requestStop(130);
    expect(await code).toBe(130);
    expect(lines.some((text) => text.startsWith('weights from'))).toBe(true);
  }));
});

describe('a process', () => {
  const script = fileURLToPath(new URL('linePipeline.ts', import.meta.url));
  const own = fileURLToPath(new URL('../../node_modules/.bin/node', import.meta.url));
  const node = existsSync(own) ? own : process.execPath;
  const open = (line: string): { child: ChildProcess; output: () => string; ended: Promise<number | null>; said: (text: string) => Promise<void> } => {
    let output = '';
    const child = spawn(node, [script, '--data', points, '--out', join(folder, 'runs'), ...line.split(' ')], { env: { ...process.env, MILLRACE_BACKEND: 'cpu' } });
    child.stdout.on('data', (data: Buffer) => { output += data.toString(); });
    child.stderr.on('data', (data: Buffer) => { output += data.toString(); });
    const ended = new Promise<number | null>((resolve) => { child.on('close', resolve); });
    const said = async (text: string): Promise<void> => {
      for (let i = 0; i < 800 && !output.includes(text); i++) await pause(25);
      if (!output.includes(text)) throw new Error(`never said ${text}; said:\n${output}`);
    };
    return { child, output: () => output, ended, said };
  };

  it('obeys signals, saves after Ctrl-C and exits 130', async () => {
    const { child, output, ended, said } = open('--steps 100000 --delay 10');
    await said('step ');
    child.kill('SIGTSTP');
    await said('paused; p, or kill -CONT');
    child.kill('SIGCONT');
    await said('going on');
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    expect(output()).toMatch(/stopping: the step is finished and saved.*stopped after \d+ of 100000 steps\ncheckpoint saved: .*checkpoint-\d+\ncontinue with\n {2}node .*linePipeline\.ts --resume /s);
    const resumed = open(`--resume ${(await runs())[0]} --steps 1`);
    expect(await resumed.ended).toBe(0);
    expect(resumed.output()).toContain('are done already');
  });

  it('stops at once when it is told twice', async () => {
    const { child, ended, said } = open('--steps 100000 --linger 100000');
    await said('run ');
    await pause(500);
    child.kill('SIGTERM');
    await said('stopping');
    await pause(150);
    child.kill('SIGTERM');
    expect(await ended).toBe(143);
  });

  it('ends with status 1 and a sentence, not a stack', async () => {
    const { ended, output } = open('--steps 9 --failAt 4');
    expect(await ended).toBe(1);
    expect(output()).toContain('error: upload failed at step 4 on [3.txt, 1.txt]: asked to fail\ncheckpoint saved: ');
    expect(output()).not.toMatch(/\n\s+at /);
    const misspelt = open('--stepps 9');
    expect(await misspelt.ended).toBe(1);
    expect(misspelt.output()).toBe('error: --stepps: unknown option; did you mean --steps? (--help lists all)\n');
  });
});

describe('words', () => {
  it('counts a skipped file once', () => {
    const lines: string[] = [];
    const skipped = skippedFiles({ line: (text) => { lines.push(text); } });
    skipped.add('a.png', 'expected an image but received text');
    skipped.add('a.png', 'again');
    skipped.add('b.png', 'b.png: expected an image but it is empty');
    expect(skipped.count).toBe(2);
    expect(lines).toEqual(['skipped a.png: expected an image but received text', 'skipped b.png: expected an image but it is empty']);
  });

  it('quotes what a shell would take apart', () => {
    expect(resumeCommand('my file.ts', { folder: { path: "/runs/it's" } as never, step: 1 })).toBe(`node 'my file.ts' --resume '/runs/it'\\''s'`);
  });

  it('names the kind of an unforeseen error', () => {
    expect(errorText(new TypeError('x is not a function'), false)).toBe('error: TypeError: x is not a function');
    expect(errorText('odd')).toBe('error: odd');
  });
});
