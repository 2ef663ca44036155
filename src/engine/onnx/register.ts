/** Makes the kernels of the lazy backend known to TensorFlow.js. */
import * as tf from '../../tf.ts';
import { EngineError } from '../../errors.ts';
import { engineStatistics as stats } from '../stats.ts';
import type { OnnxBackend } from './backend.ts';
import type { Kernel, Shortcut } from './registry.ts';
import { type RecordedNode, Value } from './value.ts';

/** Registers kernels under a backend's name; those that TensorFlow.js knows and we have not say so when they are called. */
export const registerKernels = (backendName: string, kernels: readonly Kernel[], shortcuts: readonly Shortcut[]): void => {
  type Given = Readonly<Record<string, tf.TensorInfo | undefined>>;
  const take = (backend: OnnxBackend, names: readonly string[] | 'all', given: Given): (Value | undefined)[] => {
    const infos = names === 'all' ? Object.values(given) : names.map((name) => given[name.endsWith('?') ? name.slice(0, -1) : name]);
    return infos.map((info) => (info === undefined || info === null ? undefined : backend.held(info.dataId)));
  };
  const info = (value: Value): tf.TensorInfo => ({ dataId: value, shape: value.spec.shape as number[], dtype: value.spec.dtype });
  for (const kernel of kernels) {
    tf.registerKernel({
      kernelName: kernel.name,
      backendName,
      kernelFunc: ({ inputs, attrs, backend }) => {
        const started = performance.now();
        const lazy = backend as OnnxBackend;
        const values = lazy.record(kernel, take(lazy, kernel.inputs, inputs as Given), attrs as Readonly<Record<string, unknown>> | undefined);
        const first = values[0] as Value;
        const out = first.maker?.signature.list ?? kernel.list ? values.map(info) : info(first);
        stats.tracing += (performance.now() - started) / 1e3;
        return out;
      },
    });
  }
  for (const { name, inputs: names, run } of shortcuts) {
    tf.registerKernel({
      kernelName: name,
      backendName,
      kernelFunc: ({ inputs, attrs, backend }) => {
        const lazy = backend as OnnxBackend;
        const out = run(lazy, take(lazy, names, inputs as Given) as Value[], attrs as Readonly<Record<string, unknown>>);
        return out instanceof Value ? info(out) : (out as readonly Value[]).map(info);
      },
    });
  }
  const own = new Set([...kernels, ...shortcuts].map(({ name }) => name));
  for (const { kernelName } of tf.getKernelsForBackend('cpu')) {
    if (own.has(kernelName)) continue;
    tf.registerKernel({ kernelName, backendName, kernelFunc: () => { throw missingKernel(kernelName, backendName); } });
  }
};

/** What a call of a kernel that is not there is told; which operation wanted it is read off the call stack. */
const missingKernel = (kernelName: string, backendName: string): EngineError => {
  const wanting = [...(new Error().stack ?? '').matchAll(/\b(\w+?)__op\b/g)].at(-1)?.[1];
  return new EngineError(kernelName, `${backendName} has no kernel ${kernelName}${wanting ? `, which tf.${wanting} wants` : ''}; write it with other operations, or run on MILLRACE_BACKEND=cpu`);
};
