/** Goldens of losses, critics and image metrics. */
import type { Handler } from './golden.ts';
import { criticHandlers } from './critics.ts';
import { lpipsHandlers } from './lpips.ts';
import { seraenaHandlers } from './seraena.ts';
import { similarityHandlers } from './similarity.ts';

export const handlers: readonly Handler[] = [...criticHandlers, ...similarityHandlers, ...seraenaHandlers, ...lpipsHandlers];
