/** How diffusers turns timesteps into sigmas, shared by its schedulers. */
import { ConfigError } from '../../errors.ts';
import { betaSpacedSigmas, exponentialSigmas, karrasSigmas, timestepOf } from '../sigmas.ts';

export type SigmaSpacing = Readonly<{ use_karras_sigmas: boolean | null; use_exponential_sigmas: boolean | null; use_beta_sigmas: boolean | null }>;

/** The respaced grid, or undefined when the configuration wants none. @throws ConfigError when it wants two */
export const respaced = (config: SigmaSpacing, n: number, range: Readonly<{ sigmaMin: number; sigmaMax: number }>): Float64Array | undefined => {
  const wanted = (['use_karras_sigmas', 'use_exponential_sigmas', 'use_beta_sigmas'] as const).filter((key) => config[key]);
  if (wanted.length > 1) throw new ConfigError(wanted.join(', '), `expected at most one of ${wanted.join(', ')} to be set`);
  if (config.use_karras_sigmas) return karrasSigmas(n, range);
  if (config.use_exponential_sigmas) return exponentialSigmas(n, range);
  if (config.use_beta_sigmas) return betaSpacedSigmas(n, range);
  return undefined;
};

export const timestepsOf = (sigmas: ArrayLike<number>, table: Float64Array): number[] => {
  const logs = table.map(Math.log);
  return Array.from(sigmas, (sigma) => timestepOf(sigma, logs));
};

/** Refuses custom timesteps together with a respaced grid. */
export const checkCustom = (config: SigmaSpacing & Readonly<{ use_lu_lambdas?: boolean | null }>): void => {
  for (const key of ['use_karras_sigmas', 'use_exponential_sigmas', 'use_beta_sigmas', 'use_lu_lambdas'] as const) {
    if (config[key]) throw new ConfigError('timesteps', `timesteps: custom timesteps cannot be combined with ${key}`);
  }
};
