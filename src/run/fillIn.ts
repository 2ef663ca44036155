/** Completing a configuration with what follows from files that it names, so that the recorded one says all of it. */
import { z } from 'zod';
import type { BaseConfig } from './method.ts';
import { fieldsOf } from './schemaTree.ts';

/** What a group of options may carry, in `.meta({ fillIn })`: its values completed; for values completed before, a check that the files are still the same. */
export type FillIn<T> = (values: T) => Promise<T>;

/** The group with a way to complete it. */
export const filledInBy = <S extends z.ZodType>(group: S, fillIn: FillIn<z.output<S>>): S => group.meta({ fillIn }) as S;

/**
 * Completes the groups of a configuration that say how.
 * @throws MillraceErrors: files that are missing, no weights, or not those the values were completed from
 */
export const filledIn = async <C extends BaseConfig>(schema: z.ZodType<C>, config: C): Promise<C> => {
  const next: Record<string, unknown> = { ...config };
  for (const [name, group] of Object.entries(fieldsOf(schema) ?? {})) {
    const { fillIn } = (z.globalRegistry.get(group) ?? {}) as { fillIn?: FillIn<unknown> };
    if (fillIn) next[name] = await fillIn(next[name]);
  }
  return next as C;
};
