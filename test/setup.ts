import { beforeAll } from 'vitest';
import { startEngine } from '../src/tf.ts';

beforeAll(async () => { await startEngine(); });
