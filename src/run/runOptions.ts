import { z } from 'zod';
import { leavesOf } from './schemaTree.ts';

/** What the command line of every pipeline takes beside its configuration: it says where a run begins and what it does around training. */
export const runOptions = z.object({
  help: z.boolean().default(false).describe('print this and end').meta({ flag: 'help' }),
  config: z.string().optional().describe('lay a JSON file over the defaults; flags go over it').meta({ flag: 'config', value: 'FILE' }),
  resume: z.string().optional().describe('continue a run from its newest checkpoint that verifies, or from the checkpoint that is named; the newest run when alone').meta({ flag: 'resume', value: 'PATH', bare: 'latest' }),
  init: z.string().optional().describe('start from the weights of a run, a checkpoint or a weights file').meta({ flag: 'init', value: 'PATH' }),
  watch: z.enum(['off', 'warm', 'cold']).default('off').describe('stay, and retrain when the dataset changes: from the weights at hand, or cold from scratch').meta({ flag: 'watch', value: 'cold', bare: 'warm' }),
  strict: z.boolean().default(false).describe('end the run at the first bad file instead of passing it over').meta({ flag: 'strict' }),
  out: z.string().default('runs').describe('folder of all runs').meta({ flag: 'out', value: 'DIR' }),
});
export type RunOptions = z.output<typeof runOptions>;

/** The options of a method's pipeline. A method whose configuration has a flag `init` of its own is told there, and a run of it remembers. */
export const optionsFor = (schema: z.ZodType): z.ZodType<RunOptions> => (leavesOf(schema).some(({ flag }) => flag === 'init') ? runOptions.omit({ init: true }) : runOptions);
