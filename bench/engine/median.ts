/** The middle value, or the mean of the two in the middle. @throws RangeError when there are none */
export const median = (values: readonly number[]): number => {
  if (values.length === 0) throw new RangeError('median: expected at least one value but received none');
  const sorted = values.toSorted((a, b) => a - b);
  const [low, high] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.ceil((sorted.length - 1) / 2)]] as [number, number];
  return (low + high) / 2;
};
