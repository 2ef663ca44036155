import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ConfigError } from '../../src/errors.ts';
import { parseConfig, readLayer, takeOptions } from '../../src/run/config.ts';
import { helpText } from '../../src/run/help.ts';
import { editDistance, nearest } from '../../src/run/nearest.ts';
import { runOptions } from '../../src/run/runOptions.ts';

const schema = z.object({
  data: z.object({
    root: z.string().default('fixtures/splats').describe('folder of pairs').meta({ flag: 'data' }),
    size: z.int().min(8).max(512).default(64).describe('pixels').meta({ flag: 'size' }),
  }),
  optim: z.object({
    lr: z.number().positive().default(2e-4).describe('learning rate'),
    betas: z.tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)]).default([0.9, 0.999]).describe('decays'),
    amsgrad: z.boolean().default(false).describe('largest second moment'),
    clip: z.number().positive().nullable().default(1).describe('bound on the gradient norm'),
  }),
  noise: z.enum(['cosine', 'linear']).default('linear').describe('schedule'),
  cache: z.union([z.literal('disk'), z.int().positive()]).default('disk').describe('where decoded images are kept'),
  steps: z.array(z.int().positive()).default([1, 2, 4]).describe('sampling steps'),
  weights: z.record(z.string(), z.number()).default({ l2: 1 }).describe('of the loss'),
  seed: z.int().min(0).default(0).describe('seed').meta({ flag: 'seed' }),
});
type Config = z.output<typeof schema>;

const parse = (line: string, layers: Parameters<typeof parseConfig>[2] = {}): Config => {
  const result = parseConfig(schema, line.split(' ').filter((word) => word !== ''), layers);
  if (E.isLeft(result)) throw result.left;
  return result.right;
};
const refusal = (line: string, layers: Parameters<typeof parseConfig>[2] = {}): string => {
  const result = parseConfig(schema, line.split(' '), layers);
  if (E.isRight(result)) throw new Error(`accepted: ${line}`);
  expect(result.left).toBeInstanceOf(ConfigError);
  return result.left.message;
};

describe('parseConfig', () => {
  it('gives the defaults of groups that nobody mentions', () => {
    expect(parse('')).toEqual({
      data: { root: 'fixtures/splats', size: 64 }, optim: { lr: 2e-4, betas: [0.9, 0.999], amsgrad: false, clip: 1 },
      noise: 'linear', cache: 'disk', steps: [1, 2, 4], weights: { l2: 1 }, seed: 0,
    });
  });

  it.each([
    ['--size 128', { data: { size: 128 } }],
    ['--size=128', { data: { size: 128 } }],
    ['--data my/pairs --seed 7', { data: { root: 'my/pairs' }, seed: 7 }],
    ['--data.root=my=pairs', { data: { root: 'my=pairs' } }],
    ['--data.size 32', { data: { size: 32 } }],
    ['--set optim.lr=1e-4', { optim: { lr: 1e-4 } }],
    ['--set=optim.lr=1e-4 --set data.size=16', { optim: { lr: 1e-4 }, data: { size: 16 } }],
    ['--set size=16', { data: { size: 16 } }],
    ['--size 16 --size 32', { data: { size: 32 } }],
    ['--optim.betas=0.5,0.9', { optim: { betas: [0.5, 0.9] } }],
    ['--optim.betas=[0.5,0.9]', { optim: { betas: [0.5, 0.9] } }],
    ['--steps 1', { steps: [1] }],
    ['--optim.amsgrad', { optim: { amsgrad: true } }],
    ['--optim.amsgrad --seed 1', { optim: { amsgrad: true }, seed: 1 }],
    ['--optim.amsgrad=no', { optim: { amsgrad: false } }],
    ['--no-optim.amsgrad', { optim: { amsgrad: false } }],
    ['--optim.clip null', { optim: { clip: null } }],
    ['--noise cosine', { noise: 'cosine' }],
    ['--cache 512', { cache: 512 }],
    ['--set weights.lpips=5', { weights: { l2: 1, lpips: 5 } }],
    ['--weights {"gan":0.5}', { weights: { gan: 0.5 } }],
  ])('reads %s', (line, expected) => { expect(parse(line)).toMatchObject(expected); });

  it('does not let a record given whole keep old keys', () => { expect(parse('--weights {"gan":0.5}').weights).toEqual({ gan: 0.5 }); });

  it('lays files over defaults and flags over files', () => {
    const layers = { layers: [{ name: 'a.json', values: { data: { size: 16 }, seed: 3 } }, { name: 'b.json', values: { seed: 4 } }] };
    expect(parse('--size 24', layers)).toMatchObject({ data: { root: 'fixtures/splats', size: 24 }, seed: 4 });
  });

  it.each([
    ['--sizee 3', '--sizee: unknown option; did you mean --size? (--help lists all)'],
    ['--rsume', '--rsume: unknown option; did you mean --resume? (--help lists all)'],
    ['--set optim.rl=3', '--set optim.rl=3: unknown key optim.rl; did you mean optim.lr? (--help lists all)'],
    ['--set data.lr=3', '--set data.lr=3: unknown key data.lr; did you mean optim.lr? (--help lists all)'],
    ['--set lr=3', '--set lr=3: unknown key lr; did you mean optim.lr? (--help lists all)'],
    ['--optim.learningRate=3', '--optim.learningRate: unknown option; did you mean optim.lr? (--help lists all)'],
    ['--set optim=3', '--set optim=3: unknown key optim; did you mean optim.lr? (--help lists all)'],
    ['--size abc', 'data.size (--size): expected an integer in 8..512 but received "abc"'],
    ['--size 4', 'data.size (--size): expected an integer in 8..512 but received 4'],
    ['--size 9.5', 'data.size (--size): expected an integer in 8..512 but received 9.5'],
    ['--size', '--size: expected an integer in 8..512 but received nothing'],
    ['--size --seed 1', '--size: expected an integer in 8..512 but received nothing'],
    ['--seed -1', '--seed: expected an integer at least 0 but received -1'],
    ['--set optim.lr=0', 'optim.lr: expected a number above 0 but received 0'],
    ['--set optim.lr=NaN', 'optim.lr: expected a number above 0 but received "NaN"'],
    ['--optim.amsgrad=maybe', 'optim.amsgrad: expected true or false but received "maybe"'],
    ['--noise cos', 'noise: expected one of cosine, linear but received "cos"'],
    ['--cache ram', 'cache: expected "disk", or an integer above 0 but received "ram"'],
    ['--optim.betas 0.9', 'optim.betas: expected a list of 2: a number at least 0 and below 1, a number at least 0 and below 1 but received [0.9]'],
    ['--optim.betas 0.9,x', 'optim.betas.1: expected a list of 2: a number at least 0 and below 1, a number at least 0 and below 1 but received "x"'],
    ['--set lr', '--set lr: expected path=value, such as data.root="fixtures/splats"'],
    ['--set', '--set: expected path=value but received nothing'],
    ['photos/', 'photos/: expected an option such as --data (--help lists all)'],
  ])('refuses %s', (line, message) => { expect(refusal(line, { others: ['resume', 'watch'] })).toBe(message); });

  it('names every value that does not fit', () => {
    expect(refusal('--size 4 --set optim.lr=x').split('\n')).toEqual([
      'data.size (--size): expected an integer in 8..512 but received 4', 'optim.lr: expected a number above 0 but received "x"',
    ]);
  });

  it.each([
    [{ data: { sizee: 3 } }, 'a.json: unknown key data.sizee; did you mean data.size? (--help lists all)'],
    [{ data: 3 }, 'a.json: expected an object at data but received 3'],
    [[1], 'a.json: expected an object but received [1]'],
    [{ data: { size: '64' } }, 'data.size (--size): expected an integer in 8..512 but received "64"'],
  ])('refuses a file with %j', (values, message) => { expect(refusal('--seed 1', { layers: [{ name: 'a.json', values }] })).toBe(message); });

  it('reads back every configuration it gave, from flags', () => {
    fc.assert(fc.property(
      fc.integer({ min: 8, max: 512 }), fc.double({ min: 1e-9, max: 1e9, noNaN: true }), fc.boolean(), fc.constantFrom('cosine', 'linear'), fc.array(fc.integer({ min: 1, max: 99 }), { minLength: 1 }),
      (size, lr, amsgrad, noise, steps) => {
        const line = [`--size=${size}`, `--set=optim.lr=${lr}`, `--optim.amsgrad=${amsgrad}`, `--noise=${noise}`, `--steps=${steps.join(',')}`];
        const result = parseConfig(schema, line);
        expect(result).toMatchObject(E.right({ data: { size }, optim: { lr, amsgrad }, noise, steps }));
        if (E.isRight(result)) expect(parseConfig(schema, [], { layers: [{ name: 'config.resolved.json', values: JSON.parse(JSON.stringify(result.right)) as unknown }] })).toEqual(result);
      }));
  });
});

describe('takeOptions', () => {
  const take = (line: string): unknown => {
    const result = takeOptions(runOptions, line.split(' '));
    return E.isLeft(result) ? result.left.message : { ...result.right.options, rest: result.right.rest.join(' ') };
  };
  const none = { help: false, watch: 'off', strict: false, out: 'runs' };

  it.each([
    ['--size 3 --watch --seed 1', { ...none, watch: 'warm', rest: '--size 3 --seed 1' }],
    ['--watch=cold', { ...none, watch: 'cold', rest: '' }],
    ['--watch cold --data x', { ...none, watch: 'cold', rest: '--data x' }],
    ['--resume --strict', { ...none, resume: 'latest', strict: true, rest: '' }],
    ['--resume runs/turbo/7 --steps 9', { ...none, resume: 'runs/turbo/7', rest: '--steps 9' }],
    ['--config=a.json --out elsewhere --help', { ...none, config: 'a.json', out: 'elsewhere', help: true, rest: '' }],
    ['--watch=hot', '--watch: expected one of off, warm, cold but received "hot"'],
    ['--init', '--init: expected text but received nothing'],
  ])('takes its own from %s', (line, expected) => { expect(take(line)).toEqual(expected); });
});

describe('readLayer', () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-config-'));
  afterAll(() => { rmSync(folder, { recursive: true }); });
  const write = (name: string, text: string): string => { writeFileSync(join(folder, name), text); return join(folder, name); };

  it('reads a configuration, and that of a run', () => {
    expect(readLayer(write('a.json', '{"seed": 3}'))).toMatchObject(E.right({ values: { seed: 3 } }));
    expect(readLayer(write('b.json', '{"method": "turbo", "config": {"seed": 4}}'))).toMatchObject(E.right({ values: { seed: 4 } }));
  });

  it('says what is wrong with a file', () => {
    const message = (path: string): string => { const layer = readLayer(path); return E.isLeft(layer) ? layer.left.message : 'read'; };
    expect(message(join(folder, 'none.json'))).toBe(`${join(folder, 'none.json')}: expected a JSON file but found nothing`);
    expect(message(write('c.json', 'seed: 3'))).toMatch(/c\.json: expected JSON but /);
  });
});

describe('nearest', () => {
  it.each([['kitten', 'sitting', 3], ['', 'abc', 3], ['abc', 'abc', 0], ['rl', 'lr', 1], ['ca', 'abc', 3]])('%s and %s differ by %d edits', (a, b, edits) => {
    expect(editDistance(a, b)).toBe(edits);
    expect(editDistance(b, a)).toBe(edits);
  });
  it('has no candidate among none', () => { expect(nearest('a', [])).toBeUndefined(); });
});

describe('helpText', () => {
  const text = helpText({ usage: 'node pipelines/turbo.ts', summary: 'Trains something.', options: runOptions, schema });
  it('names every flag and key with default, meaning and range', () => {
    for (const path of ['data.root', 'data.size', 'optim.lr', 'optim.betas', 'noise', 'seed']) expect(text).toContain(`  ${path} `);
    expect(text).toMatch(/^ {2}data\.size +--size +64 +pixels; an integer in 8\.\.512$/m);
    expect(text).toMatch(/^ {2}--watch\[=cold\] +stay, and retrain/m);
    expect(text).toMatch(/^ {2}--strict +end the run/m);
  });
  it('gives an example that parses', () => {
    const [, line = ''] = /(--set \S+),/.exec(text) ?? [];
    expect(parse(line)).toEqual(parse(''));
  });
});
