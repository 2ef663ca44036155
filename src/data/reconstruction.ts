import type { Dataset, PairFile } from './dataset.ts';

/** Which images of its pairs a dataset shows to a method that reconstructs. */
export const imageSides = ['targets', 'sources', 'both'] as const;
export type ImageSide = (typeof imageSides)[number];

const alone = (pair: PairFile, side: 'source' | 'target', id = pair.id): PairFile => ({ ...pair, id, source: pair[side], target: pair[side] });

/**
 * The images of a paired dataset, each as a pair of itself and itself: what an autoencoder is trained on. Held-out pairs stay held out.
 * @param sides with `both`, each pair becomes two, named `<id> source` and `<id> target`
 */
export const reconstructionOf = (dataset: Dataset, sides: ImageSide): Dataset => {
  const images = (pairs: readonly PairFile[]): PairFile[] => pairs.flatMap((pair) => (sides === 'both'
    ? (['source', 'target'] as const).map((side) => alone(pair, side, `${pair.id} ${side}`))
    : [alone(pair, sides === 'targets' ? 'target' : 'source')]));
  return { ...dataset, reconstructs: sides, train: images(dataset.train), validation: images(dataset.validation) };
};
