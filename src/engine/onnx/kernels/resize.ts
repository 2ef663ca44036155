/** Resizing of images. */
import { type Graph, type Ref, range } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';
import { channelsFirst, channelsLast } from './windows.ts';

type ResizeAttrs = Readonly<{ alignCorners: boolean; halfPixelCenters: boolean; size: [number, number] }>;

const outline = ([x]: readonly Spec[], { size: [height, width] }: ResizeAttrs) => {
  const [batch, , , channels] = (x as Spec).shape as [number, number, number, number];
  return { shape: [batch, height, width, channels], dtype: 'float32' as const };
};

/** Which place of the input each place of the output shows, counted in double precision: ONNX's own operator counts in single and errs at exact multiples. */
const nearest = (from: number, to: number, { alignCorners, halfPixelCenters }: ResizeAttrs): number[] => {
  const scale = alignCorners && to > 1 ? (from - 1) / (to - 1) : from / to;
  return range(to).map((i) => {
    const at = scale * (halfPixelCenters ? i + 0.5 : i);
    return Math.max(0, Math.min(from - 1, alignCorners ? Math.round(at) : Math.floor(at)));
  });
};

/** Picks places along one axis; whole multiples repeat each place instead. */
const pick = (graph: Graph, x: Ref, axis: number, places: readonly number[]): Ref => {
  const from = x.shape[axis] as number;
  if (places.length === from && places.every((place, i) => place === i)) return x;
  const times = places.length / from;
  const shape = x.shape.map((n, i) => (i === axis ? places.length : n));
  if (Number.isInteger(times) && places.every((place, i) => place === Math.floor(i / times))) {
    const apart = graph.reshape(x, [...x.shape.slice(0, axis + 1), 1, ...x.shape.slice(axis + 1)]);
    return graph.reshape(graph.broadcast(apart, apart.shape.map((n, i) => (i === axis + 1 ? times : n))), shape);
  }
  return graph.op('Gather', [x, graph.constant(places, [places.length], 'int64')], { attributes: { axis }, shape });
};

export const resizes: readonly Kernel[] = [
  kernel<ResizeAttrs>({
    name: 'ResizeNearestNeighbor', inputs: ['images'],
    infer: outline,
    emit: (graph, [x], attrs) => {
      const source = channelsFirst(graph, graph.cast(x as Ref, 'float32'));
      return channelsLast(graph, attrs.size.reduce((image, to, i) => pick(graph, image, i + 2, nearest(image.shape[i + 2] as number, to, attrs)), source));
    },
  }),
  kernel<ResizeAttrs>({
    name: 'ResizeBilinear', inputs: ['images'],
    infer: outline,
    emit: (graph, [x], { alignCorners, halfPixelCenters, size }) => {
      const source = channelsFirst(graph, graph.cast(x as Ref, 'float32'));
      const shape = [...source.shape.slice(0, 2), ...size];
      return channelsLast(graph, graph.op('Resize', [source, undefined, undefined, graph.constant(shape, [4], 'int64')], {
        shape, attributes: { mode: 'linear', coordinate_transformation_mode: alignCorners ? 'align_corners' : halfPixelCenters ? 'half_pixel' : 'asymmetric' },
      }));
    },
  }),
];
