import { type ObservableInput, type OperatorFunction, concatMap, defer, from, map, of } from 'rxjs';
import * as tf from '../tf.ts';
import { NonFiniteLossError } from '../errors.ts';
import { type DivergenceRules, type Verdict, type Watch, checkRules, divergenceRules, freshWatch, judgeStep } from '../optim/divergence.ts';
import { failAs } from '../streams/failAs.ts';
import type { Settled } from '../streams/frames.ts';
import type { Resource } from '../streams/scoped.ts';

const order = ['running', 'best', 'beyond', 'age', 'returns', 'weight'] as const satisfies readonly (keyof Watch)[];

/** What it takes to go back: the weight of the adversarial term, what the rule remembers, and a copy of every variable of the nets. */
export type DivergenceControl = Readonly<{
  nets: Readonly<Record<string, Resource>>;
  /** Multiplies the adversarial term: `tf.mul(loss, control.weight)`. */
  weight: tf.Variable<tf.Rank.R0>;
  variables: Readonly<Record<string, tf.Variable>>;
}>;

/** Makes a control over some nets; its copies start equal to them. It belongs to the caller (see `scoped`), the nets do not become its. */
export const divergenceControl = (nets: Readonly<Record<string, Resource>>): DivergenceControl => {
  const variables: Record<string, tf.Variable> = {};
  tf.tidy(() => {
    variables['weight'] = tf.variable(tf.scalar(1), false);
    variables['watch'] = tf.variable(tf.tensor1d(order.map((name) => freshWatch[name])), false);
    for (const [net, { variables: own }] of Object.entries(nets)) for (const [name, variable] of Object.entries(own)) variables[`kept.${net}.${name}`] = tf.variable(tf.clone(variable), false);
  });
  return { nets, weight: variables['weight'] as tf.Variable<tf.Rank.R0>, variables };
};

/**
 * Notices that an adversarial run diverges and undoes it: puts the nets back to the last good weights, lowers the adversarial weight, and says so.
 *
 * Reads  metrics, as numbers: the reconstruction loss `loss`
 * Adds   metrics `adversarialWeight`
 * Timing one frame out for each frame in, synchronously but for the first, which waits until what the control remembers has been read; ends and fails with its source.
 * @param control made beside the nets, so that checkpoints save it
 * @param options.loss name of the metric that is watched, such as `decoder.l2`
 * @param options.say is told of every return
 * @param options.read what the control remembers of the steps before, asked for once, with the first frame
 * @throws RangeError when a rule is out of range; NonFiniteLossError (as the stream's error) when the run gives up
 */
export function undoDivergence<F extends Settled>(control: DivergenceControl, { loss, say = () => {}, read = () => (control.variables['watch'] as tf.Variable).data(), ...given }: {
  loss: string; say?: (line: string) => void; read?: () => ObservableInput<ArrayLike<number>>;
} & Partial<DivergenceRules>): OperatorFunction<F, F> {
  const rules = { ...divergenceRules, ...given };
  checkRules(rules);
  const act = (verdict: Verdict, watch: Watch): void => tf.tidy(() => {
    for (const [net, { variables }] of Object.entries(control.nets)) {
      for (const [name, variable] of Object.entries(variables)) {
        const kept = control.variables[`kept.${net}.${name}`] as tf.Variable;
        if (verdict === 'keep') kept.assign(tf.clone(variable));
        if (verdict === 'go back') variable.assign(tf.clone(kept));
      }
    }
    control.weight.assign(tf.scalar(watch.weight));
    (control.variables['watch'] as tf.Variable).assign(tf.tensor1d(order.map((name) => watch[name])));
  });
  return (source) => defer(() => {
    let watch: Watch | undefined;
    const remembered = (): ObservableInput<Watch> => (watch ? of(watch) : from(read()).pipe(map((values) => Object.fromEntries(order.map((name, i) => [name, values[i]])) as Watch)));
    const judge = (frame: F, before: Watch): F => {
      const value = frame.metrics[loss];
      if (value === undefined) throw new TypeError(`expected a metric ${loss} but received ${Object.keys(frame.metrics).join(', ')}`);
      const { verdict, watch: after } = judgeStep(rules, before, value);
      watch = after;
      const words = `step ${frame.step}: ${loss} has been above ${rules.tolerance} times its best (${after.best.toPrecision(3)}) for ${rules.patience} steps`;
      if (verdict === 'give up') throw new NonFiniteLossError(frame.step, `${words}, after ${after.returns} returns: the run diverges`);
      if (verdict === 'go back') say(`${words}; back to the last good weights, adversarial weight now ${after.weight}`);
      act(verdict, after);
      return { ...frame, metrics: { ...frame.metrics, adversarialWeight: after.weight } };
    };
    return source.pipe(concatMap((frame) => defer(remembered).pipe(map((before) => judge(frame, before)), failAs('undoDivergence', frame))));
  });
}
