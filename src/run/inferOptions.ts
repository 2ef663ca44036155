import { z } from 'zod';

/** What the command line of `pipelines/infer.ts` takes. */
export const inferOptions = z.object({
  help: z.boolean().default(false).describe('print this and end').meta({ flag: 'help' }),
  run: z.string().default('runs/turbo/latest').describe('run folder, or a checkpoint in one').meta({ flag: 'run' }),
  in: z.string().default('photos').describe('an image, or a folder with all below it').meta({ flag: 'in' }),
  out: z.string().default('out').describe('folder of the results, under the names of the images').meta({ flag: 'out' }),
  checkpoint: z.string().default('best').describe('best, latest, or the path of one; where there is no best, the latest').meta({ flag: 'checkpoint' }),
  steps: z.number().int().min(1).optional().describe('sampler steps, for models that take several').meta({ flag: 'steps' }),
  batch: z.number().int().min(1).optional().describe('images, or pieces of large ones, at a time; without it, as many as have the pixels of one tile').meta({ flag: 'batch' }),
  tile: z.number().int().min(64).default(256).describe('images with a longer side are done in overlapping pieces of this size, in pixels; memory grows with its square').meta({ flag: 'tile' }),
  overlap: z.number().int().min(0).default(32).describe('pixels by which pieces overlap').meta({ flag: 'overlap' }),
  keep: z.boolean().default(false).describe('keep the format of each image instead of writing PNG').meta({ flag: 'keep' }),
});
