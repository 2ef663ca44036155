import { Observable, type ObservableInput, defer, using } from 'rxjs';
import * as tf from '../tf.ts';

/** Something that owns variables: a live net, a replay buffer. Their names are stable, so that what it owns can be saved and restored. */
export type Resource = Readonly<{
  variables: Readonly<Record<string, tf.Variable>>;
  /** Variables that it owns too but that never change, such as given weights: freed with it, not saved. */
  constants?: Readonly<Record<string, tf.Variable>>;
}>;

/** Frees every variable of every resource. */
export const free = (resources: Readonly<Record<string, Resource>>): void => {
  for (const { variables, constants = {} } of Object.values(resources)) for (const variable of [...Object.values(variables), ...Object.values(constants)]) variable.dispose();
};

/**
 * A stream with nets of its own: made when it is subscribed, freed when it completes, fails or is unsubscribed.
 *
 * Timing that of the stream `use` returns; the nets are freed after its last notification was delivered.
 * @param make makes the resources; when it throws half-way, the variables made so far are freed
 * @param use makes the stream from them
 */
export function scoped<R extends Readonly<Record<string, Resource>>, T>(make: () => R, use: (resources: R) => ObservableInput<T>): Observable<T> {
  return defer(() => {
    const before = new Set(Object.keys(tf.engine().state.registeredVariables));
    let resources: R;
    try {
      resources = make();
    } catch (cause) {
      for (const [name, variable] of Object.entries(tf.engine().state.registeredVariables)) if (!before.has(name)) variable.dispose();
      throw cause;
    }
    return using(() => ({ unsubscribe: () => { free(resources); } }), () => defer(() => use(resources)));
  });
}
