/** A process whose address space is bounded a little above what it takes to start. */
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { inProcess } from './inProcess.ts';

const why = process.platform !== 'linux' ? 'needs Linux' : spawnSync('prlimit', ['--version']).error ? 'needs prlimit, of util-linux' : '';

describe.skipIf(why !== '')(`out of memory ${why}`, () => {
  it.each(['1', '0'])('is an error that says what to do, and smaller steps still run (MILLRACE_WORKER=%s)', async (worker) => {
    const outcomes = await inProcess(`
      const { readFileSync } = await import('node:fs');
      const { execFileSync } = await import('node:child_process');
      // The gradient of a function of n x n numbers.
      const step = async (n) => {
        const y = tf.tidy(() => tf.mean(tf.grad((x) => { const z = tf.tanh(tf.mul(x, tf.transpose(x))); return tf.sum(tf.mul(tf.sin(z), tf.exp(z))); })(tf.tensor2d(Float32Array.from({ length: n }, (_, i) => i / n), [n, 1]))));
        try { return (await y.data()).length; } catch (error) { return error._tag + ': ' + error.message; } finally { y.dispose(); }
      };
      await step(64);
      const size = Number(/VmSize:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
      execFileSync('prlimit', ['--pid', String(process.pid), '--as=' + (size + 600 * 2 ** 20)]);
      const outcomes = [];
      for (const n of [1_000, 20_000, 1_200]) outcomes.push(await step(n));
      report(outcomes);`, { MILLRACE_WORKER: worker }) as unknown[];
    expect(outcomes[0]).toBe(1);
    expect(outcomes[1]).toMatch(/^EngineError: a graph of \d+ operations failed on onnx-cpu: .*; it ran out of memory with \d\.\d GiB in tensors: use a smaller batch or image size, or .*checkpointing\.ts/s);
    expect(outcomes[2]).toBe(1);
  });
});
