import { type Key, fold } from '../../random.ts';
import { type ColourMatrix, composeColour } from '../colour.ts';
import { type Affine, compose, identityAffine } from '../geometry.ts';

/** What is done to one pair: the same geometry for both images, and a colour matrix for each. */
export type Plan = Readonly<{
  /** From the output to the image at rest. */
  affine: Affine;
  /** Which square of an image that is not square is at rest in the output: 0 the left or top one, 1/2 the middle, 1 the right or bottom one. */
  place: number;
  source?: ColourMatrix;
  target?: ColourMatrix;
}>;

/** One kind of variation. `draw` is a pure function of a key; what it leaves out stays as it is. */
export type Augmentation = Readonly<{
  name: string;
  /** How many times larger a detail may become, at most: the decoder keeps that much more of the image. */
  magnifies: number;
  draw: (key: Key) => Partial<Plan>;
}>;

/** Which images of a pair a colour change is for: both, where the task is the same in any colour, or the source alone, where the target's colours are fixed. */
export type ColourOf = 'both' | 'source';

/** The image at rest. */
export const restPlan: Plan = { affine: identityAffine, place: 0.5 };

/** A colour change as part of a plan. */
export const colourPlan = (matrix: ColourMatrix, on: ColourOf): Partial<Plan> => ({ source: matrix, ...(on === 'both' && { target: matrix }) });

/** @throws RangeError when a value lies outside low..high */
export const checkRange = (name: string, what: string, value: number, low: number, high: number): void => {
  if (!(value >= low && value <= high)) throw new RangeError(`${name}: expected ${what} in ${low}..${high} but received ${value}`);
};

/** @throws RangeError when `on` is neither 'both' nor 'source' */
export const checkColourOf = (name: string, on: ColourOf): void => {
  if (on !== 'both' && on !== 'source') throw new RangeError(`${name}: expected on to be 'both' or 'source' but received ${String(on)}`);
};

const both = (after: ColourMatrix | undefined, before: ColourMatrix | undefined): ColourMatrix | undefined =>
  (after && before ? composeColour(after, before) : after ?? before);

/**
 * Draws one plan: the augmentations in order, as one map and one matrix. Each draws from a key of its own name (and of how often that name came before), so
 * that adding one does not change what the others draw.
 */
export const drawPlan = (augmentations: readonly Augmentation[], key: Key): Plan => augmentations.reduce<Plan>((plan, { name, draw }, i) => {
  const earlier = augmentations.slice(0, i).filter((other) => other.name === name).length;
  const { affine = identityAffine, place = plan.place, source, target } = draw(fold(key, name, earlier));
  const [sourceColour, targetColour] = [both(source, plan.source), both(target, plan.target)];
  // Maps look back from the output, so what is done first is the outermost.
  return { affine: compose(plan.affine, affine), place, ...(sourceColour && { source: sourceColour }), ...(targetColour && { target: targetColour }) };
}, restPlan);
