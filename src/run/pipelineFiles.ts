import { readdir } from 'node:fs/promises';
import { ConfigError } from '../errors.ts';
import type { Resource } from '../streams/scoped.ts';
import type { BaseConfig, Method } from './method.ts';
import { nearest } from './nearest.ts';

/** A method whose own configuration nobody needs to know. */
export type AnyMethod = Method<BaseConfig, Readonly<Record<string, Resource>>>;

const folder = new URL('../../pipelines/', import.meta.url);

/**
 * The method that a file of `pipelines/` exports.
 * @param name of method and file, such as `flow`
 * @throws ConfigError where there is no such file, it cannot be loaded, or it exports no method of its name
 */
export const methodOf = async (name: string): Promise<AnyMethod> => {
  if (!/^\w+$/.test(name)) throw new ConfigError('method', `expected the name of a pipeline file such as flow but received ${JSON.stringify(name)}`);
  const names = (await readdir(folder)).filter((file) => file.endsWith('.ts')).map((file) => file.slice(0, -3));
  if (!names.includes(name)) throw new ConfigError('method', `pipelines/${name}.ts: expected the file of a method but found nothing; did you mean ${nearest(name, names)}?`);
  const module = await import(/* @vite-ignore */ new URL(`${name}.ts`, folder).href).catch((cause: unknown) => {
    throw new ConfigError('method', `pipelines/${name}.ts: expected the file of a method but it cannot be loaded: ${(cause as Error).message}`, cause);
  }) as Record<string, Partial<AnyMethod> | undefined>;
  const method = Object.values(module).find((value) => value?.name === name && typeof value.translate === 'function');
  if (!method) throw new ConfigError('method', `pipelines/${name}.ts: expected it to export the method ${name} but it does not`);
  return method as AnyMethod;
};
