/** Minibatch optimal transport: which noise goes with which image. Do not use it on pairs, where the coupling is given. */

/**
 * The permutation p that minimises sum cost[i][p[i]], by shortest augmenting paths, O(n^3).
 * @param cost square @throws RangeError when it is not
 * @source Jonker and Volgenant 1987
 */
export const assign = (cost: readonly (readonly number[])[]): number[] => {
  const n = cost.length;
  if (cost.some((row) => row.length !== n)) throw new RangeError(`assign: expected a square cost but received ${n} rows of ${cost.map((row) => row.length).join(', ')}`);
  const rowPrice = new Float64Array(n + 1);
  const columnPrice = new Float64Array(n + 1);
  const owner = new Int32Array(n + 1); // row of each column, counted from 1; column 0 stands for the row being placed
  for (let row = 1; row <= n; row++) {
    const least = new Float64Array(n + 1).fill(Infinity);
    const from = new Int32Array(n + 1);
    const done = new Uint8Array(n + 1);
    owner[0] = row;
    let column = 0;
    while (owner[column] !== 0) {
      done[column] = 1;
      const at = owner[column] as number;
      let next = 0;
      let step = Infinity;
      for (let j = 1; j <= n; j++) {
        if (done[j]) continue;
        const reduced = (cost[at - 1]?.[j - 1] as number) - (rowPrice[at] as number) - (columnPrice[j] as number);
        if (reduced < (least[j] as number)) [least[j], from[j]] = [reduced, column];
        if ((least[j] as number) < step) [step, next] = [least[j] as number, j];
      }
      for (let j = 0; j <= n; j++) {
        if (done[j]) {
          const held = owner[j] as number;
          rowPrice[held] = (rowPrice[held] as number) + step;
          columnPrice[j] = (columnPrice[j] as number) - step;
        } else least[j] = (least[j] as number) - step;
      }
      column = next;
    }
    while (column !== 0) {
      const before = from[column] as number;
      owner[column] = owner[before] as number;
      column = before;
    }
  }
  const permutation = new Array<number>(n).fill(0);
  for (let j = 1; j <= n; j++) permutation[(owner[j] as number) - 1] = j - 1;
  return permutation;
};

/** Squared distances between two sets of flattened images, [n][n]. @param rows values of each set, row after row */
export const squaredDistances = (a: Float32Array, b: Float32Array, n: number): number[][] => {
  const size = a.length / n;
  return Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => {
    let sum = 0;
    for (let k = 0; k < size; k++) sum += ((a[i * size + k] as number) - (b[j * size + k] as number)) ** 2;
    return sum;
  }));
};
