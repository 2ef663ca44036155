/** Reading images at computed places: crops, affine and projective transforms, rotation. */
import * as tf from '../../../tf.ts';
import { type Graph, type Ref, range } from '../graph.ts';
import { type Kernel, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';

type Sizes = [number, number, number, number];

/** Short names for arithmetic on references and numbers. */
const calculus = (graph: Graph) => {
  const ref = (x: Ref | number): Ref => (typeof x === 'number' ? graph.scalar(x) : x);
  const binary = (op: string) => (a: Ref | number, b: Ref | number): Ref => graph.elementwise(op, [ref(a), ref(b)]);
  const test = (op: string) => (a: Ref | number, b: Ref | number): Ref => graph.elementwise(op, [ref(a), ref(b)], { type: 'bool' });
  const [add, sub, mul, div, min, max] = ['Add', 'Sub', 'Mul', 'Div', 'Min', 'Max'].map(binary) as [ReturnType<typeof binary>, ReturnType<typeof binary>, ReturnType<typeof binary>, ReturnType<typeof binary>, ReturnType<typeof binary>, ReturnType<typeof binary>];
  return {
    add, sub, mul, div, min, max, less: test('Less'), greater: test('Greater'),
    floor: (x: Ref): Ref => graph.unary('Floor', x),
    round: (x: Ref): Ref => graph.unary('Floor', add(x, 0.5)),
    pick: (condition: Ref, a: Ref | number, b: Ref | number): Ref => graph.elementwise('Where', [condition, ref(a), ref(b)]),
    both: (a: Ref, b: Ref): Ref => graph.elementwise('And', [a, b]),
  };
};

/**
 * Pixels [N, rows, columns, C] at places of images [B, H, W, C]; what lies outside is `fill`.
 * @param image which image, int32 [N, 1, 1] @param y, x places, whole numbers as float32, broadcast to [N, rows, columns]
 */
const pixels = (graph: Graph, images: Ref, image: Ref, y: Ref, x: Ref, fill: number): Ref => {
  const [batch, height, width, channels] = images.shape as Sizes;
  const { min, max, less, greater, both } = calculus(graph);
  const index = (place: Ref, size: number): Ref => graph.cast(max(min(place, size - 1), 0), 'int32');
  const within = (place: Ref, size: number): Ref => both(greater(place, -0.5), less(place, size - 0.5));
  const row = graph.elementwise('Add', [graph.elementwise('Mul', [image, graph.scalar(height, 'int32')]), index(y, height)]);
  const at = graph.elementwise('Add', [graph.elementwise('Mul', [row, graph.scalar(width, 'int32')]), index(x, width)]);
  const values = graph.op('Gather', [graph.reshape(graph.cast(images, 'float32'), [batch * height * width, channels]), at], { attributes: { axis: 0 }, shape: [...at.shape, channels] });
  const seen = both(within(y, height), within(x, width));
  return graph.elementwise('Where', [graph.reshape(seen, [...seen.shape, 1]), values, graph.scalar(fill)]);
};

/** Pixels at any places, from the nearest one or the four around. */
const sampled = (graph: Graph, images: Ref, image: Ref, y: Ref, x: Ref, bilinear: boolean, fill: number): Ref => {
  const { add, sub, mul, floor, round } = calculus(graph);
  if (!bilinear) return pixels(graph, images, image, round(y), round(x), fill);
  const [top, left] = [floor(y), floor(x)];
  const share = (s: Ref): Ref => graph.reshape(s, [...s.shape, 1]);
  const mixed = (a: Ref, b: Ref, s: Ref): Ref => add(mul(a, sub(1, share(s))), mul(b, share(s)));
  const row = (v: Ref): Ref => mixed(pixels(graph, images, image, v, left, fill), pixels(graph, images, image, v, add(left, 1), fill), sub(x, left));
  return mixed(row(top), row(add(top, 1)), sub(y, top));
};

/** Column `i` of [N, k], as [N, 1, 1]. */
const column = (graph: Graph, x: Ref, i: number): Ref => graph.reshape(graph.slice(x, [0, i], [x.shape[0] as number, 1]), [x.shape[0] as number, 1, 1]);

/** A place beyond the border, brought back as the mode says. */
const mapped = (graph: Graph, at: Ref, size: number, mode: 'constant' | 'reflect' | 'wrap' | 'nearest'): Ref => {
  const { add, sub, mul, div, min, max, less, greater, floor, pick } = calculus(graph);
  const clamped = (x: Ref): Ref => max(min(x, size - 1), 0);
  if (mode === 'constant') return at;
  if (mode === 'nearest' || size <= 1) return clamped(at);
  const [low, high] = [less(at, 0), greater(at, size - 1)];
  if (mode === 'wrap') {
    const below = add(at, mul(add(floor(div(at, 1 - size)), 1), size));
    const above = sub(at, mul(floor(div(at, size - 1)), size));
    return clamped(pick(low, below, pick(high, above, at)));
  }
  const period = 2 * size;
  const below = add(at, mul(floor(div(at, -period)), period));
  const above = sub(at, mul(floor(div(at, period)), period));
  return clamped(pick(low, pick(less(below, -size), add(below, period), sub(-1, below)), pick(high, pick(less(above, size), above, sub(period - 1, above)), at)));
};

export const warps: readonly Kernel[] = [
  kernel<{ cropSize: [number, number]; method: 'bilinear' | 'nearest'; extrapolationValue: number }>({
    name: 'CropAndResize', inputs: ['image', 'boxes', 'boxInd'],
    infer: ([image, boxes], { cropSize }) => ({ shape: [(boxes as Spec).shape[0] as number, ...cropSize, (image as Spec).shape[3] as number], dtype: 'float32' }),
    emit: (graph, [image, boxes, boxInd], { cropSize: [rows, columns], method, extrapolationValue }) => {
      const { add, sub, mul, less, greater, both } = calculus(graph);
      const [, height, width] = (image as Ref).shape as Sizes;
      const along = (first: Ref, last: Ref, count: number, size: number, shape: readonly number[]): Ref => (count > 1
        ? add(mul(first, size - 1), mul(graph.constant(Float32Array.from(range(count)), shape, 'float32'), mul(sub(last, first), (size - 1) / (count - 1))))
        : mul(add(first, last), 0.5 * (size - 1)));
      const [y1, x1, y2, x2] = range(4).map((i) => column(graph, boxes as Ref, i)) as [Ref, Ref, Ref, Ref];
      const [y, x] = [along(y1, y2, rows, height, [1, rows, 1]), along(x1, x2, columns, width, [1, 1, columns])];
      const which = graph.reshape(graph.cast(boxInd as Ref, 'int32'), [(boxInd as Ref).shape[0] as number, 1, 1]);
      const inside = (at: Ref, size: number): Ref => both(graph.unary('Not', less(at, 0)), graph.unary('Not', greater(at, size - 1)));
      const seen = both(inside(y, height), inside(x, width));
      return graph.elementwise('Where', [graph.reshape(seen, [...seen.shape, 1]), sampled(graph, image as Ref, which, y, x, method === 'bilinear', 0), graph.scalar(extrapolationValue)]);
    },
  }),
  kernel<{ interpolation: 'nearest' | 'bilinear'; fillMode: 'constant' | 'reflect' | 'wrap' | 'nearest'; fillValue: number; outputShape?: [number, number] }>({
    name: 'Transform', inputs: ['image', 'transforms'],
    infer: ([image], { outputShape }) => { const [b, h, w, c] = (image as Spec).shape as Sizes; return { shape: [b, ...(outputShape ?? [h, w]), c], dtype: 'float32' }; },
    emit: (graph, [image, transforms], { interpolation, fillMode, fillValue }, [out]) => {
      const { add, mul, div } = calculus(graph);
      const [, height, width] = (image as Ref).shape as Sizes;
      const [batch, rows, columns] = (out as Spec).shape as Sizes;
      const [y, x] = [graph.constant(Float32Array.from(range(rows)), [1, rows, 1], 'float32'), graph.constant(Float32Array.from(range(columns)), [1, 1, columns], 'float32')];
      const t = range(8).map((i) => column(graph, transforms as Ref, i)) as [Ref, Ref, Ref, Ref, Ref, Ref, Ref, Ref];
      const depth = add(add(mul(t[6], x), mul(t[7], y)), 1);
      const at = (a: Ref, b: Ref, c: Ref): Ref => div(add(add(mul(a, x), mul(b, y)), c), depth);
      const which = graph.constant(Int32Array.from(range(batch)), [batch, 1, 1], 'int32');
      return sampled(graph, image as Ref, which, mapped(graph, at(t[3], t[4], t[5]), height, fillMode), mapped(graph, at(t[0], t[1], t[2]), width, fillMode), interpolation === 'bilinear', fillValue);
    },
  }),
  kernel<{ radians: number; fillValue: number | [number, number, number]; center: number | [number, number] }>({
    name: 'RotateWithOffset', inputs: ['image'],
    infer: ([image]) => ({ shape: (image as Spec).shape, dtype: (image as Spec).dtype }),
    emit: (graph, [image], { radians, fillValue, center }) => {
      const source = image as Ref;
      const [batch, height, width, channels] = source.shape as Sizes;
      const [centerX, centerY] = tf.backend_util.getImageCenter(center, height, width);
      const [sin, cos] = [Math.sin(radians), Math.cos(radians)];
      // The angle is an attribute, so places are known: a row beyond the last holds the fill.
      const places = range(height * width).map((i) => {
        const [x, y] = [(i % width) - centerX, Math.floor(i / width) - centerY];
        const [column, row] = [Math.round(x * cos - y * sin + centerX), Math.round(x * sin + y * cos + centerY)];
        return column >= 0 && column < width && row >= 0 && row < height ? row * width + column : height * width;
      });
      const fill = range(channels).map((c) => (typeof fillValue === 'number' ? fillValue : c === 3 ? 255 : fillValue[c] as number));
      const border = graph.broadcast(graph.constant(fill, [1, 1, channels], source.physical.type), [batch, 1, channels]);
      const all = graph.concat([graph.reshape(source, [batch, height * width, channels]), border], 1);
      const turned = graph.op('Gather', [all, graph.constant(Int32Array.from(places), [places.length], 'int32')], { attributes: { axis: 1 }, shape: [batch, height * width, channels] });
      return graph.reshape(turned, source.shape);
    },
  }),
];
