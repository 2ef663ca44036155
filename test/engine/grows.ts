/**
 * What 2,000 training steps leave behind, in a process of its own: `node --max-semi-space-size=1 test/engine/grows.ts [result|session]` prints it as JSON.
 * An argument plants a leak, to show that it would be seen: a result of 512 bytes kept at every step, or one session every twenty. V8's nursery is kept small because it
 * grows with the work done, not with what is kept.
 */
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as runtime from 'onnxruntime-node';
import { Graph } from '../../src/engine/onnx/graph.ts';
import { normal, seeded } from '../../src/random.ts';
import * as tf from '../../src/tf.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes that JavaScript can still reach, and bytes that are not V8's: tensors, sessions, what the runtime keeps. */
const inUse = async () => {
  for (let i = 0; i < 3; i++) { collect(); await setTimeout(20); }
  const { heapUsed, heapTotal, rss } = process.memoryUsage();
  return { objects: heapUsed, native: rss - heapTotal };
};

const counts = () => ({ tensors: tf.memory().numTensors, bytes: tf.memory().numBytes, values: tf.engineStats().values, stored: tf.engineStats().bytes });

await tf.startEngine();
const variable = (shape: [number, number], name: number): tf.Variable => tf.tidy(() => tf.variable(tf.tensor2d(normal(seeded(name), shape[0] * shape[1]), shape)));
const [w1, w2, velocity] = [variable([8, 16], 1), variable([16, 4], 2), variable([8, 16], 3)];

/** One step of a tiny net: two layers, squared error, momentum. */
const step = async (): Promise<number> => {
  const [x, y] = [tf.tensor2d(normal(seeded(4), 64), [8, 8]), tf.tensor2d(normal(seeded(5), 32), [8, 4])];
  const loss = tf.tidy(() => {
    const { value, grads } = tf.variableGrads(() => tf.mean(tf.squaredDifference(tf.matMul(tf.tanh(tf.matMul(x, w1)), w2), y)) as tf.Scalar, [w1, w2]);
    const [g1, g2] = [grads[w1.name] as tf.Tensor, grads[w2.name] as tf.Tensor];
    velocity.assign(tf.add(tf.mul(velocity, 0.9), g1));
    w1.assign(tf.sub(w1, tf.mul(velocity, 0.01)));
    w2.assign(tf.sub(w2, tf.mul(g2, 0.01)));
    return value;
  });
  tf.dispose([x, y]);
  const flushed = tf.flush();
  const [number] = await loss.data();
  await flushed;
  loss.dispose();
  return number as number;
};

const kept: unknown[] = [];
const leaks: Readonly<Record<string, (i: number) => Promise<void>>> = {
  result: async () => { kept.push(await w1.data()); },
  session: async (i) => {
    if (i % 20 !== 0) return;
    const graph = new Graph();
    const x = graph.input([8, 8], 'float32');
    const y = Array.from({ length: 20 }).reduce<typeof x>((all) => graph.elementwise('Add', [graph.matMul(all, x), graph.unary('Tanh', all)]), x);
    kept.push(await runtime.InferenceSession.create(graph.encode('leak', [y]), { intraOpNumThreads: 1, logSeverityLevel: 4 }));
  },
};
const leak = leaks[process.argv[2] ?? ''] ?? (async () => {});

for (let i = 0; i < 1_000; i++) await step();
const [before, held] = [counts(), await inUse()];
let last = Number.NaN;
for (let i = 0; i < 2_000; i++) { last = await step(); await leak(i); }
const [after, holds] = [counts(), await inUse()];
process.stdout.write(JSON.stringify({ before, after, last, objects: holds.objects - held.objects, native: holds.native - held.native, kept: kept.length }));
