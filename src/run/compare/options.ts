import { z } from 'zod';

/** What the command line of `pipelines/compare.ts` takes beside the configuration of the methods. */
export const compareOptions = z.object({
  help: z.boolean().default(false).describe('print this and end').meta({ flag: 'help' }),
  methods: z.string().default('turbo,lbm,ddpm,flow,i2sb,residual,regression').describe('methods to compare, by the names of their pipeline files').meta({ flag: 'methods', value: 'A,B' }),
  swap: z.string().optional().describe('trains variants of each method that has the key, one per value: weighting=none,minSnr').meta({ flag: 'swap', value: 'KEY=A,B' }),
  budget: z.string().regex(/^\d+(\.\d+)?(s|m|h)$/).optional().describe('training time of each, such as 120s or 5m, instead of a number of steps').meta({ flag: 'budget', value: 'TIME' }),
  sweep: z.array(z.int().min(1)).min(1).default([1, 2, 4, 8]).describe('sampler steps at which each is scored, as far as it takes them').meta({ flag: 'sweep', value: 'LIST' }),
  points: z.int().min(1).default(6).describe('validations along each training, for the curves').meta({ flag: 'points' }),
  pictures: z.int().min(1).default(6).describe('held-out pairs that are shown').meta({ flag: 'pictures' }),
  lpips: z.string().optional().describe('weights of LPIPS (AlexNet), a safetensors file or folder; without it LPIPS is left out').meta({ flag: 'lpips', value: 'PATH' }),
  out: z.string().default('runs').describe('folder of all runs; the report goes to compare/ in it').meta({ flag: 'out', value: 'DIR' }),
});
export type CompareOptions = z.output<typeof compareOptions>;

/** Seconds of a text such as `120s`, `5m` or `1h`. */
export const secondsOf = (text: string): number => Number.parseFloat(text) * ({ s: 1, m: 60, h: 3600 }[text.at(-1) as 's' | 'm' | 'h']);
