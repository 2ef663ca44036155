import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as tf from '../../src/tf.ts';
import { makeNet } from '../../src/models/net.ts';
import { seeded } from '../../src/random.ts';
import { pointAt } from '../../src/run/atomic.ts';
import { type CheckpointState, saveCheckpoint } from '../../src/run/checkpoint.ts';
import { findCheckpoint, newestCheckpoint, readWeights, restoreRun, restoreVariables, runOf } from '../../src/run/restore.ts';
import { leakFree } from '../support.ts';
import { left, momentum, right, tinyNets, tinyNetwork, valuesOf, withNets, withRun } from './support.ts';

const state = (step: number): CheckpointState => ({ method: 'tiny', step, epoch: 0, seed: 7 });

describe('restoreRun', () => {
  it('gives every variable its bytes back', leakFree(withRun(async (run) => {
    const saved = await withNets(tinyNets(7), async (nets) => {
      tf.tidy(() => {
        nets.generator.shadow?.assign(tf.mul(nets.generator.weights, 0.75));
        nets.generator.slots.velocity?.assign(tf.mul(nets.generator.weights, -2));
        nets.generator.count.assign(tf.scalar(41));
      });
      await right(saveCheckpoint(run, nets, state(42)));
      return valuesOf(nets);
    });
    await withNets(tinyNets(8), async (nets) => {
      expect(await valuesOf(nets)).not.toEqual(saved);
      const { generator, replay } = nets;
      const restored = await right(restoreRun(run, { generator, replay }));
      expect(restored).toMatchObject({ state: { step: 42 }, broken: [] });
      expect(await valuesOf(nets)).toEqual(saved);
      expect(nets.replay.variables.filled?.dtype).toBe('int32');
    });
  })));

  it('passes over broken checkpoints and says what is wrong with each', withRun((run) => withNets(tinyNets(), async (nets) => {
    for (const step of [1, 2, 3]) await right(saveCheckpoint(run, nets, state(step)));
    await rm(join(run.checkpoints, 'checkpoint-3', 'manifest.json'));
    await writeFile(join(run.checkpoints, 'checkpoint-2', 'generator.safetensors'), 'not what it was');
    const restored = await right(restoreRun(run, nets));
    expect(restored?.state.step).toBe(1);
    expect(restored?.broken.map(({ message }) => message)).toEqual([expect.stringContaining('checkpoint-3: manifest.json is missing'), expect.stringContaining('checkpoint-2: generator.safetensors: expected')]);
    await rm(join(run.checkpoints, 'checkpoint-1', 'state.json'));
    const error = await left(restoreRun(run, nets));
    for (const step of [1, 2, 3]) expect(error.message).toContain(`checkpoint-${step}`);
  })));

  it('says undefined and changes nothing when there is no checkpoint', withRun((run) => withNets(tinyNets(), async (nets) => {
    const before = await valuesOf(nets);
    expect(await right(restoreRun(run, nets))).toBeUndefined();
    expect(await valuesOf(nets)).toEqual(before);
  })));
});

describe('restoreVariables', () => {
  it('changes nothing when the run has other variables', leakFree(withRun(async (run) => {
    const path = await withNets(tinyNets(7), (nets) => right(saveCheckpoint(run, nets, state(1))));
    const other = { generator: makeNet({ ...tinyNetwork, specs: new Map([...tinyNetwork.specs].map(([name, spec]) => [name === 'gain' ? 'scale' : name, name === 'first.bias' ? { ...spec, shape: [4] } : spec])) }, { key: seeded(1), optimizer: momentum, shadow: true }) };
    try {
      const before = await valuesOf(other);
      const { message } = await left(restoreVariables(path, other));
      expect(message).toContain('generator.safetensors: first.bias: expected shape [4] but found [2]');
      expect(message).toContain('generator.safetensors: scale [1] is missing');
      expect(message).toContain('generator.safetensors: gain is not a parameter of this run');
      expect(await valuesOf(other)).toEqual(before);
    } finally {
      for (const variable of Object.values(other.generator.variables)) variable.dispose();
    }
  })));
});

describe('findCheckpoint, runOf and readWeights', () => {
  it('find latest, best, a path, and the weights inside', withRun((run) => withNets(tinyNets(), async (nets) => {
    expect((await left(findCheckpoint(run, 'latest'))).message).toContain('the run saved none');
    expect((await left(findCheckpoint(run, 'best'))).message).toContain('never validated');
    const one = await right(saveCheckpoint(run, nets, state(1)));
    tf.tidy(() => nets.generator.shadow?.assign(tf.zerosLike(nets.generator.weights)));
    const two = await right(saveCheckpoint(run, nets, state(2)));
    await pointAt(join(run.checkpoints, 'best'), one);
    expect((await right(findCheckpoint(run, 'latest'))).path).toBe(two);
    expect((await right(findCheckpoint(run, 'best'))).path).toBe(one);
    expect((await right(findCheckpoint(run, one))).path).toBe(one);
    expect((await left(findCheckpoint(run, join(run.checkpoints, 'checkpoint-9')))).message).toContain('checkpoint-9');
    expect((await right(newestCheckpoint(run)))?.path).toBe(two);
    for (const path of [run.path, join(run.path, '..', 'latest'), two]) expect((await right(runOf(path))).run.path).toBe(run.path);
    expect((await left(runOf(run.samples))).message).toContain('config.resolved.json');
    const ema = await right(readWeights(two));
    expect(Object.keys(ema)).toEqual(['generator']);
    expect([...ema.generator?.['first.bias']?.data ?? []]).toEqual([0, 0]);
    expect([...ema.generator?.gain?.data ?? []]).toEqual([0.5]);
    const weights = await right(readWeights(two, 'weights'));
    expect([...weights.generator?.['first.bias']?.data ?? []]).toEqual([...(await nets.generator.weights.data()).slice(54, 56)]);
    expect(await readdir(run.checkpoints)).toContain('best');
  })));
});
