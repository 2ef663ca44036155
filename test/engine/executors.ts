/** The executors of ours that this machine can run, for suites that hold all of them to the same. */
import { startEngine } from '../../src/tf.ts';

export type Tested = Readonly<{
  name: string;
  start: () => Promise<unknown>;
  /** Why it cannot be tested here. */
  missing?: string;
}>;

export const executors: readonly Tested[] = [{ name: 'onnx-cpu', start: startEngine }];
