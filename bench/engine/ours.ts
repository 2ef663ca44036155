/** Our side of a workload: `node bench/engine/ours.ts <workload>` greets, then answers each line `<steps>` with a lap, as the twin does. */
import { createInterface } from 'node:readline';
import { lastValueFrom, of } from 'rxjs';
import * as tf from '../../src/tf.ts';
import { workloads } from '../workloads/all.ts';
import { stop } from '../workloads/workload.ts';

const name = process.argv[2] ?? '';
const workload = workloads[name];
if (workload === undefined) throw new RangeError(`ours: expected one of ${Object.keys(workloads).join(', ')} but received ${name}`);
const info = await tf.startEngine();
const live = workload.start();
const say = (line: unknown): void => { process.stdout.write(`${JSON.stringify(line)}\n`); };
say({ batch: workload.batch, parameters: Object.fromEntries(live.nets.map((net) => [net.name, net.weights.size])), version: info.name, device: info.device });

let step = 0;
for await (const request of createInterface({ input: process.stdin })) {
  const seconds: number[] = [];
  let loss = Number.NaN;
  tf.resetEngineStats();
  const before = process.cpuUsage();
  for (let i = 0; i < Number(request); i++) {
    const start = performance.now();
    const { metrics } = await lastValueFrom(of(live.frame(step++)).pipe(live.train));
    seconds.push((performance.now() - start) / 1_000);
    loss = metrics[workload.loss] as number;
  }
  const { user, system } = process.cpuUsage(before);
  const engine = tf.engineStats();
  say({ seconds, cpuSeconds: (user + system) / 1e6, loss, peakBytes: engine.peakResident, engine });
}
stop(live);
// Sessions write their profiles when they are freed.
tf.removeBackend(info.name);
