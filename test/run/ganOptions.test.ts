import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ofTrunk, vggCritic } from '../../src/models/vggCritic.ts';
import { perceptualOptions } from '../../src/run/autoencoderOptions.ts';
import { criticOf, criticOptions, withoutTrunk } from '../../src/run/ganOptions.ts';
import { optimOptions } from '../../src/run/options.ts';
import { free } from '../../src/streams/scoped.ts';
import { leakFree } from '../support.ts';

const schema = z.object({
  critic: criticOptions({ base: 8, layers: 1 }), perceptual: perceptualOptions(), steps: z.number().default(10), seed: z.number().default(0),
  optim: optimOptions({ lr: 1e-3, beta1: 0.9, beta2: 0.999, weightDecay: 0, amsgrad: false, clip: 1, warmUp: 0, accumulate: 1 }),
});
const config = (critic: object, perceptual: object) => schema.parse({ critic, perceptual, optim: {} });
/** LPIPS's file, as far as a critic reads it. */
const lpips = Object.fromEntries([...vggCritic().specs].filter(([name]) => ofTrunk(name)).map(([name, { shape }]) => [name, { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) }]));

describe('criticOf', () => {
  it('is one of patches, unless one of VGG16 is asked for and its weights are given', leakFree(() => {
    const cases: readonly (readonly [critic: object, perceptual: object, given: Parameters<typeof criticOf>[1]])[] = [
      [{}, {}, { lpips }], [{ kind: 'vgg' }, {}, {}], [{ kind: 'vgg' }, { backbone: 'alex' }, { lpips }], [{ kind: 'vgg' }, {}, { lpips }],
    ];
    const kinds = cases.map(([critic, perceptual, given]) => {
      const wanted = config(critic, perceptual);
      const made = criticOf(wanted, given);
      const said = withoutTrunk(wanted.critic, made);
      free({ made });
      return [(made.network.config as { kind?: string }).kind ?? 'patch', said.length];
    });
    expect(kinds).toEqual([['patch', 0], ['patch', 1], ['patch', 1], ['vgg', 0]]);
  }));
});
