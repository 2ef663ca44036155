/** Runs one bench: `npm run bench -- <name> [options]` runs bench/<name>.ts with the options left; what it exports as `main` is called with them. */
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const [name = '', ...options] = process.argv.slice(2);
const file = new URL(`./${name}.ts`, import.meta.url);
const names = readdirSync(new URL('.', import.meta.url)).filter((entry) => entry.endsWith('.ts') && entry !== 'main.ts').map((entry) => entry.slice(0, -3));
if (!/^\w+$/.test(name) || !existsSync(file)) {
  console.error(`bench: expected one of ${names.join(', ')} but received ${name === '' ? 'nothing' : name}`);
  process.exitCode = 1;
} else {
  process.argv = [process.argv[0] as string, fileURLToPath(file), ...options];
  const { main } = await import(file.href) as { main?: (options: readonly string[]) => unknown };
  const status = await main?.(options);
  if (typeof status === 'number') process.exitCode = status;
}
