/** Goldens of training-side formulas. */
import { type Handler } from './golden.ts';
import { edm2Handlers } from './trainingEdm2.ts';
import { objectiveHandlers } from './trainingObjectives.ts';
import { samplingHandlers } from './trainingSampling.ts';
import { weightingHandlers } from './trainingWeightings.ts';

export const handlers: readonly Handler[] = [...edm2Handlers, ...objectiveHandlers, ...samplingHandlers, ...weightingHandlers];
