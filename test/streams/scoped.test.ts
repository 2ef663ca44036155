import { NEVER, concat, defer, of, take, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { scoped } from '../../src/streams/scoped.ts';
import * as tf from '../../src/tf.ts';
import { leakFree, marbles } from '../support.ts';

const makeNets = (): { net: { variables: Record<string, tf.Variable> } } => ({
  net: { variables: { weights: tf.tidy(() => tf.variable(tf.ones([4]))), count: tf.tidy(() => tf.variable(tf.scalar(0))) } },
});

describe('scoped', () => {
  it('makes nothing before it is subscribed', leakFree(() => { scoped(makeNets, () => of(1)); }));

  it('frees what it made when the stream completes, fails or is empty', leakFree(marbles(({ cold, expectObservable, expectSubscriptions }) => {
    const source = cold('         -a-b-|');
    expectObservable(scoped(makeNets, () => source)).toBe('-a-b-|');
    expectSubscriptions(source.subscriptions).toBe('^----!');
    expectObservable(scoped(makeNets, () => cold('-#'))).toBe('-#');
    expectObservable(scoped(makeNets, () => cold('|'))).toBe('|');
  })));

  it('frees on early unsubscription of a stream that never ends', leakFree(marbles(({ expectObservable }) => {
    expectObservable(scoped(makeNets, () => NEVER), '^---!').toBe('-----');
  })));

  it('frees after the last notification was delivered', leakFree(() => {
    const disposed: boolean[] = [];
    scoped(makeNets, ({ net }) => of(net)).subscribe({ next: ({ variables }) => { disposed.push(variables.weights?.isDisposed ?? true); } });
    expect(disposed).toEqual([false]);
  }));

  it('makes anew for each subscription', leakFree(() => {
    let made = 0;
    const nets = defer(() => scoped(() => { made++; return makeNets(); }, () => of(made)));
    concat(nets, nets).pipe(take(2)).subscribe();
    expect(made).toBe(2);
  }));

  it('frees what was made when making fails half-way', leakFree(() => {
    let message = '';
    scoped(() => { makeNets(); throw new Error('no memory'); }, () => of(1)).subscribe({ error: (cause: Error) => { message = cause.message; } });
    expect(message).toBe('no memory');
  }));

  it('frees when the stream cannot be made', leakFree(() => {
    let message = '';
    scoped(makeNets, () => { throw new Error('bad options'); }).subscribe({ error: (cause: Error) => { message = cause.message; } });
    scoped(makeNets, () => throwError(() => new Error('late'))).subscribe({ error: (cause: Error) => { message += `, ${cause.message}`; } });
    expect(message).toBe('bad options, late');
  }));

  it('is cut by take over a synchronous stream', leakFree(() => {
    const seen: number[] = [];
    scoped(makeNets, () => of(1, 2, 3)).pipe(take(2)).subscribe((value) => { seen.push(value); });
    expect(seen).toEqual([1, 2]);
  }));
});
