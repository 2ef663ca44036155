/**
 * Every pipeline as a process: trained at once, and killed, resumed and trained to the same end; then used on images. The first pipeline by default, all of
 * them in the long suite (see kill.test.ts).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { fixtures } from '../../fixtures/index.ts';
import { writeSdTurbo } from '../../fixtures/sdTurbo/generate.ts';
import { follow } from '../../src/run/atomic.ts';
import { node, remains } from './processes.ts';

const folder = join(import.meta.dirname, '..', '..', 'pipelines');
const steps = 10;
const shared = ['--data', fixtures.tiny.root, '--size', '32', '--batch', '2', '--steps', `${steps}`,
  ...['logEvery=1', 'saveEvery=3', 'validateEvery=4', 'sampleEvery=5'].flatMap((setting) => ['--set', `track.${setting}`])];
/** What a pipeline is given beside, made in a folder. */
const givenIn: Readonly<Record<string, (home: string) => Promise<readonly string[]>>> = {
  sdTurbo: async (home) => { await writeSdTurbo(join(home, 'sd')); return ['--init', join(home, 'sd')]; },
};
const smallDenoiser = ['network.base=8', 'network.multipliers=[1,2]'];
/** What makes the nets of a pipeline small. */
const small: Readonly<Record<string, readonly string[]>> = {
  sdTurbo: ['generator.caption=a cat', 'critic.base=8', 'critic.layers=1', 'generator.gamma=0.5'],
  controlnet: [...smallDenoiser, 'controlnet.smooth=target', 'controlnet.again=0.3', 'sample.steps=2'],
  straightLine: [...smallDenoiser, 'line.base=8', 'line.velocity=8'],
  vaeGan: [...smallDenoiser, 'critic.base=8', 'critic.layers=1', 'gan.start=4', 'gan.lecam=0.1', 'equivariance.flip=0.5', 'network.codebook=8', 'loss.codebook=1'],
  rectified: [...smallDenoiser, 'rectified.teacherSteps=2'],
  turbo: ['generator.base=8', 'critic.base=8', 'critic.history=5', 'generator.gamma=0.5'],
  taesd: ['recipe=v1.2', 'student.width=8', 'gan.base=8', 'gan.layers=1', 'gan.history=5', 'guard.warmUp=1', 'guard.every=2'],
  r3gan: ['generator.base=8', 'generator.most=16', 'critic.base=8', 'critic.most=16'],
};

const methods = readdirSync(folder).filter((name) => readFileSync(join(folder, name), 'utf8').includes('await runPipeline(')).map((name) => name.replace(/\.ts$/, '')).sort((a, b) => Number(b === 'turbo') - Number(a === 'turbo'));
const tried = process.env['MILLRACE_KILLS'] === undefined ? methods.slice(0, 1) : methods;

const run = async (script: string, args: readonly string[], watch: (child: ChildProcess) => void = () => {}): Promise<Readonly<{ code: number | null; signal: NodeJS.Signals | null; text: string }>> => {
  const child = spawn(node, [join(folder, `${script}.ts`), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => { text += data.toString(); });
  watch(child);
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => { child.on('close', (...end) => { resolve(end); }); });
  return { code, signal, text };
};

describe.each(tried)('%s', (method) => {
  const flags = (out: string): string[] => [...shared, ...(small[method] ?? smallDenoiser).flatMap((setting) => ['--set', setting]), '--out', out];

  it('leaves the same bytes when it is killed and resumed, and can be used', async () => {
    const home = await mkdtemp(join(tmpdir(), `millrace-${method}-`));
    try {
      const given = await givenIn[method]?.(home) ?? [];
      const whole = await run(method, [...flags(join(home, 'whole')), ...given]);
      expect(whole.code, whole.text).toBe(0);
      const at = 4 + Math.floor(Math.random() * (steps - 4));
      let looking: NodeJS.Timeout | undefined;
      const latest = join(home, 'broken', method, 'latest');
      const killed = await run(method, [...flags(join(home, 'broken')), ...given], (child) => {
        looking = setInterval(() => {
          const metrics = join(latest, 'metrics.jsonl');
          if (existsSync(metrics) && readFileSync(metrics, 'utf8').split('\n').length > at) child.kill('SIGKILL');
        }, 2);
      });
      clearInterval(looking);
      expect(killed.signal, killed.text).toBe('SIGKILL');
      const resumed = await run(method, ['--out', join(home, 'broken'), '--resume']);
      expect(resumed.code, resumed.text).toBe(0);
      expect(resumed.text).toMatch(/resuming at step \d+/);
      const [one, other] = [await remains(join(home, 'whole', method)), await remains(join(home, 'broken', method))];
      expect(Object.keys(one)).toContain(join('checkpoints', `checkpoint-${steps}`, 'manifest.json'));
      expect(other).toEqual(one);

      const photos = join(home, 'photos');
      await mkdir(photos);
      await writeFile(join(photos, 'bad.png'), 'no image');
      await sharp({ create: { width: 51, height: 37, channels: 3, background: '#c64' } }).jpeg().toFile(join(photos, 'odd.jpg'));
      const used = await run('infer', ['--run', latest, '--in', photos, '--out', join(home, 'out'), '--batch', '2']);
      expect(used.code, used.text).toBe(1);
      expect(used.text).toContain('bad.png: expected an image');
      const { width, height } = await sharp(join(home, 'out', 'odd.png')).metadata();
      expect([width, height]).toEqual([51, 37]);
      expect((await readdir(join(home, 'out'))).includes('bad.png')).toBe(false);
      expect(await follow(latest)).not.toBe(latest);
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  }, 900_000);
});
