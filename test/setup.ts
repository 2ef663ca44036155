import { beforeAll } from 'vitest';
import { startEngine } from '../src/tf.ts';

// Tests compute little and run side by side: more threads would only wait for each other.
process.env['MILLRACE_THREADS'] ??= '1';

beforeAll(async () => { await startEngine(); });
