/** Edits between two words: insertions, deletions, replacements and swaps of neighbours, one each. */
export const editDistance = (a: string, b: string): number => {
  let [before, row] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      next.push(Math.min(
        (row[j] as number) + 1,
        (next[j - 1] as number) + 1,
        (row[j - 1] as number) + (same ? 0 : 1),
        swapped ? (before[j - 2] as number) + 1 : Infinity,
      ));
    }
    [before, row] = [row, next];
  }
  return row[b.length] as number;
};

/** What somebody who wrote `name` most likely meant: the candidate at the least distance, as a whole or in its last part; the first of equals. */
export const nearest = (name: string, candidates: readonly string[]): string | undefined => {
  const last = (path: string): string => path.slice(path.lastIndexOf('.') + 1);
  const distance = (candidate: string): number => Math.min(
    editDistance(name.toLowerCase(), candidate.toLowerCase()),
    // A right leaf under a wrong group counts as one mistake.
    editDistance(last(name).toLowerCase(), last(candidate).toLowerCase()) + (last(name) === name && last(candidate) === candidate ? 0 : 1),
  );
  const [best] = candidates.map((candidate) => ({ candidate, at: distance(candidate) })).toSorted((a, b) => a.at - b.at);
  return best?.candidate;
};
