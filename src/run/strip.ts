/** Sample strips: rows of source | output | target | error as one PNG. */
import sharp from 'sharp';
import { type Canvas, drawText, lineHeight, textWidth } from './stripText.ts';

/** One held-out pair and what the network made of it: float32, row-major [H, W, 3], in [-1, 1]. */
export type StripRow = Readonly<{ source: Float32Array; output: Float32Array; target: Float32Array }>;

/** The error that the heat map shows as its brightest, as a share of the whole range. */
const brightest = 0.25;

/** From no error to `brightest` and beyond: black, purple, red, orange, pale yellow. */
const heat = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]] as const;

/** The colour of an error in 0..1: the heat scale, linear between its stops. */
export const heatColour = (error: number): readonly [number, number, number] => {
  const at = Math.min(1, Math.max(0, error)) * (heat.length - 1);
  const i = Math.min(heat.length - 2, Math.floor(at));
  const [low, high] = [heat[i] as readonly number[], heat[i + 1] as readonly number[]];
  return [0, 1, 2].map((c) => Math.round((low[c] as number) + (at - i) * ((high[c] as number) - (low[c] as number)))) as unknown as [number, number, number];
};

/** [-1, 1] to bytes, clamped. */
export const toBytes = (image: Float32Array): Uint8Array => {
  const bytes = new Uint8ClampedArray(image.length); // rounds and clamps
  for (let i = 0; i < image.length; i++) bytes[i] = (image[i] as number) * 127.5 + 127.5;
  return new Uint8Array(bytes.buffer);
};

const shades = 1024;
const heatTable = Array.from({ length: shades + 1 }, (_, i) => heatColour(i / shades));
const clamp = (x: number): number => (x < -1 ? -1 : x > 1 ? 1 : x);

/** Mean absolute difference over the channels of each pixel, as a share of the range, in heat colours: bytes [H, W, 3]. */
export const errorMap = (output: Float32Array, target: Float32Array): Uint8Array => {
  const map = new Uint8Array(output.length);
  for (let i = 0; i < output.length; i += 3) {
    let sum = 0;
    for (let c = 0; c < 3; c++) sum += Math.abs(clamp(output[i + c] as number) - (target[i + c] as number));
    const [red, green, blue] = heatTable[Math.min(shades, Math.round(sum / 6 / brightest * shades))] as readonly [number, number, number];
    map[i] = red;
    map[i + 1] = green;
    map[i + 2] = blue;
  }
  return map;
};

const columns = ['source', 'output', 'target', `error 0-${brightest * 100}%`];
const margin = 8;

const blit = ({ data, width }: Canvas, left: number, top: number, cell: Uint8Array, cellWidth: number): void => {
  for (let row = 0; row * cellWidth * 3 < cell.length; row++) data.set(cell.subarray(row * cellWidth * 3, (row + 1) * cellWidth * 3), ((top + row) * width + left) * 3);
};

/**
 * Draws a strip. Small images are enlarged to about 96 pixels without smoothing, large ones reduced to 512.
 * @param size height and width of the images, in pixels
 * @param title a line below the rows @param options.first what the first column shows, where it is not the source
 * @returns a PNG
 */
export const renderStrip = async (rows: readonly StripRow[], [height, width]: readonly [number, number], title: string, { first = 'source' }: { first?: string } = {}): Promise<Buffer> => {
  const scale = Math.max(width, height) > 512 ? 512 / Math.max(width, height) : Math.max(1, Math.floor(96 / Math.max(width, height)));
  const [cellWidth, cellHeight] = [Math.round(width * scale), Math.round(height * scale)];
  const resized = (bytes: Uint8Array): Promise<Uint8Array> => (scale === 1 ? Promise.resolve(bytes)
    : sharp(bytes, { raw: { width, height, channels: 3 } }).resize(cellWidth, cellHeight, { kernel: scale > 1 ? 'nearest' : 'lanczos3' }).raw().toBuffer());
  const size = cellWidth >= 192 ? 2 : 1;
  const header = lineHeight(size) + margin + margin / 2;
  const total = { width: margin + columns.length * (cellWidth + margin), height: header + rows.length * (cellHeight + margin) + lineHeight(size) + margin / 2 };
  const canvas: Canvas = { ...total, data: new Uint8Array(total.width * total.height * 3).fill(255) };
  const left = (column: number): number => margin + column * (cellWidth + margin);
  [first, ...columns.slice(1)].forEach((name, i) => { drawText(canvas, left(i) + Math.round((cellWidth - textWidth(name, size)) / 2), margin, name, size); });
  for (const [y, { source, output, target }] of rows.entries()) {
    for (const [x, bytes] of [toBytes(source), toBytes(output), toBytes(target), errorMap(output, target)].entries()) {
      blit(canvas, left(x), header + y * (cellHeight + margin), await resized(bytes), cellWidth);
    }
  }
  drawText(canvas, margin, total.height - lineHeight(size) - margin / 2, title, size);
  return sharp(canvas.data, { raw: { ...total, channels: 3 } }).png({ compressionLevel: 6 }).toBuffer();
};
