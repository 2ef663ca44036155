/** The way down, the middle and the way up of a UNet, once its embeddings are made; and the half of it that a ControlNet copies. */
import * as tf from '../../tf.ts';
import type { Params, Scope } from '../network.ts';
import { type DownType, type Given, type UnetLevel, type UnetStyle, type UpType, downBlock, upBlock } from './unetBlocks.ts';
import { type MidOptions, midBlock } from './unetMid.ts';

type Image = tf.Tensor4D;

export type TrunkOptions = Readonly<{
  widths: readonly number[];
  down: readonly DownType[];
  levels: readonly UnetLevel[];
  mid: MidOptions | undefined;
  style: UnetStyle;
}>;

/** What is added to the way down from outside; all in the order in which it is met. */
export type Added = Readonly<{
  /** One for each residual. */
  downResiduals?: readonly Image[] | undefined;
  midResidual?: Image | undefined;
  /** One for each level, and perhaps one for the middle. */
  adapters?: readonly Image[] | undefined;
}>;

export type Descent = Readonly<{ x: Image; residuals: readonly Image[] }>;

/**
 * From the first convolution's output to the middle's.
 * @returns a layer whose `residuals` are the first convolution's output and every level's, shallow to deep
 */
export const descent = (scope: Scope, { widths, down, levels, mid, style }: TrunkOptions): ((params: Params, x: Image, given: Given, image: Image, added?: Added) => Descent) => {
  const blocks = down.map((type, i) => {
    const sizes = { from: widths[Math.max(0, i - 1)] as number, to: widths[i] as number };
    return downBlock(scope.at('down_blocks').at(i), type, sizes, i < down.length - 1, levels[i] as UnetLevel, style);
  });
  const middle = mid ? midBlock(scope.at('mid_block'), mid, levels.at(-1) as UnetLevel, style) : undefined;
  return (params, entry, given, image, { downResiduals, midResidual, adapters = [] } = {}) => {
    let x = entry;
    let skipImage = image;
    let residuals: readonly Image[] = [entry];
    for (const [i, block] of blocks.entries()) {
      const adapter = adapters[i];
      const inside = down[i] === 'CrossAttnDownBlock2D' || down[i] === 'SimpleCrossAttnDownBlock2D';
      const out = block(params, x, given, skipImage, inside ? adapter : undefined);
      skipImage = out.skipImage;
      x = adapter && !inside ? tf.add(out.x, adapter) : out.x;
      residuals = [...residuals, ...(adapter && !inside ? [...out.residuals.slice(0, -1), x] : out.residuals)];
    }
    if (downResiduals && downResiduals.length !== residuals.length) throw new RangeError(`unet: expected ${residuals.length} downResiduals but received ${downResiduals.length}`);
    if (downResiduals) residuals = residuals.map((residual, i) => tf.add(residual, downResiduals[i] as Image));
    if (middle) x = middle(params, x, given);
    const last = adapters[blocks.length];
    if (last && last.shape.every((size, i) => size === x.shape[i])) x = tf.add(x, last);
    return { x: midResidual ? tf.add(x, midResidual) : x, residuals };
  };
};

/** The way up. @returns a layer of the middle's output and the residuals to `[x, what the Skip... blocks made of the image]` */
export const ascent = (scope: Scope, { widths, up, levels, style }: Readonly<{ widths: readonly number[]; up: readonly UpType[]; levels: readonly UnetLevel[]; style: UnetStyle }>):
((params: Params, from: Descent, given: Given) => readonly [Image, Image | undefined]) => {
  const reversed = widths.toReversed();
  const last = reversed.length - 1;
  const blocks = up.map((type, i) => {
    const sizes = { from: reversed[Math.min(i + 1, last)] as number, to: reversed[i] as number };
    return upBlock(scope.at('up_blocks').at(i), type, sizes, reversed[Math.max(0, i - 1)] as number, i < last, levels[i] as UnetLevel, style);
  });
  return (params, { x, residuals }, given) => {
    let h = x;
    let skipImage: Image | undefined;
    let left = residuals;
    for (const { takes, apply } of blocks) {
      const taken = left.slice(-takes);
      left = left.slice(0, -takes);
      const next = left.at(-1);
      const out = apply(params, h, taken, given, skipImage, next && [next.shape[1], next.shape[2]]);
      h = out.x;
      skipImage = out.skipImage;
    }
    return [h, skipImage];
  };
};

