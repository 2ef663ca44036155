import { describe, expect, it } from 'vitest';
import { taesd } from '../../pipelines/taesd.ts';
import { leastSquares, meanDistance } from '../../src/losses/adversarial.ts';
import { studentOf } from '../../src/models/student.ts';
import { gameOf, policyOf, taesdFiles, taesdNets, weightsOf } from '../../src/run/taesdNets.ts';
import { free } from '../../src/streams/scoped.ts';
import type { z } from 'zod';
import { leakFree } from '../support.ts';

type Config = z.output<typeof taesd.schema>;
const model = { _class_name: 'TAESD', variant: 'f8', channels: 4, width: 8, blocks: 1, halvings: 2 };
const config = (given: Readonly<Record<string, unknown>> = {}): Config => {
  const { gan = {}, student = {}, loss = {}, ...rest } = given as Record<string, Record<string, unknown>>;
  return taesd.schema.parse({
    data: { size: 16, batch: 2 }, feed: {}, augment: {}, teacher: { model, factor: 4 }, student: { width: 8, ...student }, loss, gan: { base: 8, history: 3, ...gan }, guard: {}, perceptual: {}, optim: {}, track: {}, ...rest,
  });
};
const made = (given?: Readonly<Record<string, unknown>>): string[] => {
  const nets = taesdNets(config(given));
  const names = Object.keys(nets).sort();
  free(nets);
  return names;
};

describe('what a configuration of taesd makes', () => {
  it('takes the recipe\'s weights, and its own over them', () => {
    expect(weightsOf(config({ recipe: 'v1.2', loss: { low: 0.25, mse: 0 } }))).toEqual({ gan: 0.1, mse: 0, lpips: 0, amplitude: 0, low: 0.25, latentGan: 0.01 });
    expect(weightsOf(config())).toMatchObject({ gan: 0.1, mse: 1 });
  });

  it('makes what it uses and nothing else', leakFree(() => {
    expect(made()).toEqual(['control', 'critic', 'decoder', 'encoder', 'history', 'teacher']);
    expect(made({ recipe: 'mse' })).toEqual(['decoder', 'encoder', 'teacher']);
    expect(made({ recipe: 'v1.2', guard: { on: false } })).toEqual(['critic', 'decoder', 'encoder', 'history', 'latentCritic', 'teacher']);
    expect(made({ recipe: 'v1.2', loss: { latent: 0 } })).not.toContain('latentCritic');
  }));

  it('begins from files of its own sizes only', leakFree(async () => {
    const { decoder } = studentOf({ factor: 4, channels: 4 }, { variant: 'f8', width: 8, blocks: 1 });
    const state = Object.fromEntries([...decoder.specs].map(([name, { shape }]) => [name, { shape, data: new Float32Array(shape.reduce((product, n) => product * n, 1)).fill(0.25) }]));
    const nets = taesdNets(config({ recipe: 'mse', student: { decoder: 'd.safetensors' } }), { decoder: state });
    expect(new Set(await nets.decoder.weights.data())).toEqual(new Set([0.25]));
    free(nets);
    expect(() => taesdNets(config({ student: { decoder: 'd.safetensors', blocks: 2 } }), { decoder: state })).toThrow('10.weight: expected [8, 8, 3, 3] but received [3, 8, 3, 3]');
  }));

  it('remembers fakes with their latents', leakFree(() => {
    const nets = taesdNets(config());
    expect(nets.history?.shapes).toEqual({ fake: [16, 16, 3], context: [4, 4, 4] });
    expect(Object.keys(nets.control?.variables ?? {})).toEqual(expect.arrayContaining(['weight', 'watch', 'kept.decoder.weights', 'kept.critic.slots.maxExpAvgSq']));
    free(nets);
  }));

  it('has the games and memories by name', () => {
    const of = (loss: string, distance = 'absolute') => gameOf(config({ gan: { loss, distance } }).gan);
    expect(of('leastSquares')).toBe(leastSquares);
    expect(of('seraena').critic).toBe(meanDistance().critic);
    expect(policyOf(config({ gan: { replay: 'none' } }).gan)).toBeUndefined();
    expect(policyOf(config().gan)).toBeTypeOf('function');
  });

  it('asks for the files that are named, to train with, and for none to use', () => {
    expect(taesdFiles(config({ student: { decoder: 'd.safetensors' }, teacher: { model, encoder: 'e', decoder: 'f' } }), 'training')).toMatchObject({ decoder: ['d.safetensors'], latentEncoder: ['e'], latentDecoder: ['f'] });
    expect(Object.keys(taesdFiles(config(), 'training'))).not.toContain('encoder');
    expect(taesdFiles(config({ student: { decoder: 'd.safetensors' }, teacher: { model, encoder: 'e', decoder: 'f' } }), 'use')).toEqual({});
  });
});
