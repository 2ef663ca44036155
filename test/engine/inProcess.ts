/** Scripts in a process of their own. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** A file of the project as a module name that a script can import. @param path from the root */
export const moduleAt = (path: string): string => JSON.stringify(new URL(`../../${path}`, import.meta.url).href);

const node = fileURLToPath(new URL('../../node_modules/node/bin/node', import.meta.url));

/**
 * Runs a script on onnx-cpu with `tf` in scope and the engine started.
 * @param body calls `report(value)` last
 * @param environment added to this process's
 * @param flags for Node
 * @returns what was reported, by way of JSON. Rejects when the process does not end by itself
 */
export const inProcess = async (body: string, environment: Readonly<Record<string, string>> = {}, flags: readonly string[] = []): Promise<unknown> => {
  const script = `
    import * as tf from ${moduleAt('src/tf.ts')};
    await tf.startEngine();
    const report = (value) => console.log(JSON.stringify(value));
    ${body}`;
  const { stdout } = await promisify(execFile)(node, [...flags, '--input-type=module', '-e', script], { env: { ...process.env, MILLRACE_BACKEND: 'onnx-cpu', MILLRACE_THREADS: '2', ...environment }, timeout: 45_000 });
  return JSON.parse(stdout.trim().split('\n').at(-1) as string);
};
