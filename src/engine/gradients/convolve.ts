/** Gradients of convolutions, and of their gradients. Each is bilinear, so the derivatives of the three kernels are one another. */
import * as tf from '../../tf.ts';
import { dilate, every } from './layout.ts';
import { gradient, kernel } from './support.ts';

type T = tf.Tensor;
type Attributes = Readonly<{ strides: unknown; pad: unknown; dataFormat?: string; dilations?: number | readonly number[]; dimRoundingMode?: string; inputShape?: readonly number[]; filterShape?: readonly number[] }>;

/** The three kernels of one sort of convolution. */
type Kernels = Readonly<{ forward: string; toInput: string; toFilter: string }>;

const pair = (value: number | readonly number[] | null | undefined): [number, number] => {
  const [a = 1, b = a] = typeof value === 'object' && value !== null ? value : [value ?? 1];
  return [a, b];
};

/**
 * The gradients of a convolution and of both its gradients. The backprop kernels of TensorFlow.js's executors know no dilation: a dilated filter is written
 * out with its zeros for them, and the gradient of one is read at the places that are not.
 */
const convolution = ({ forward, toInput, toFilter }: Kernels): tf.GradConfig[] => {
  const plain = ({ strides, pad, dataFormat, dimRoundingMode }: Attributes) => ({ strides, pad, dataFormat, dimRoundingMode, dilations: [1, 1] });
  const backInput = (dy: T, filter: T, inputShape: readonly number[], attributes: Attributes): T => kernel(toInput, { dy, filter }, { ...plain(attributes), inputShape });
  const backFilter = (x: T, dy: T, filterShape: readonly number[], attributes: Attributes): T => kernel(toFilter, { x, dy }, { ...plain(attributes), filterShape });
  return [
    gradient<Attributes>(forward, ['x', 'filter'], (dy, saved, attributes) => {
      const [x, filter] = saved as [T, T];
      const [dy0, dy1] = pair(attributes.dilations);
      const [height = 1, width = 1, ...channels] = filter.shape;
      return {
        x: () => backInput(dy, dilate(dilate(filter, 0, dy0), 1, dy1), x.shape, attributes),
        filter: () => every(every(backFilter(x, dy, [(height - 1) * dy0 + 1, (width - 1) * dy1 + 1, ...channels], attributes), 0, dy0), 1, dy1),
      };
    }),
    gradient<Attributes>(toInput, ['dy', 'filter'], (ddx, saved, attributes) => {
      const [dy, filter] = saved as [T, T];
      return { dy: () => kernel(forward, { x: ddx, filter }, plain(attributes)), filter: () => backFilter(ddx, dy, filter.shape, attributes) };
    }),
    gradient<Attributes>(toFilter, ['x', 'dy'], (ddFilter, saved, attributes) => {
      const [x, dy] = saved as [T, T];
      return { x: () => backInput(dy, ddFilter, x.shape, attributes), dy: () => kernel(forward, { x, filter: ddFilter }, plain(attributes)) };
    }),
  ];
};

export const convolve: readonly tf.GradConfig[] = [
  ...convolution({ forward: 'Conv2D', toInput: 'Conv2DBackpropInput', toFilter: 'Conv2DBackpropFilter' }),
  ...convolution({ forward: 'DepthwiseConv2dNative', toInput: 'DepthwiseConv2dNativeBackpropInput', toFilter: 'DepthwiseConv2dNativeBackpropFilter' }),
];
