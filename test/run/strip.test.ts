import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { errorMap, heatColour, renderStrip, toBytes } from '../../src/run/strip.ts';
import { type Canvas, drawText, lineHeight, textWidth } from '../../src/run/stripText.ts';

const flat = (size: number, value: number): Float32Array => new Float32Array(size * size * 3).fill(value);
const decode = async (png: Buffer) => {
  const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
  return { ...info, at: (x: number, y: number) => [...data.subarray((y * info.width + x) * 3, (y * info.width + x) * 3 + 3)] };
};

describe('toBytes and errorMap', () => {
  it('map [-1, 1] to bytes, clamped', () => {
    expect([...toBytes(Float32Array.of(-2, -1, 0, 1, 3))]).toEqual([0, 0, 128, 255, 255]);
  });

  it('colour errors by their share of the range, brightest at a quarter', () => {
    expect(heatColour(0)).toEqual([0, 0, 4]);
    expect(heatColour(0.5)).toEqual([188, 55, 84]);
    expect(heatColour(1)).toEqual([252, 255, 164]);
    expect(heatColour(7)).toEqual([252, 255, 164]);
    expect([...errorMap(flat(1, 0.25), flat(1, 0))]).toEqual([188, 55, 84]);
    expect([...errorMap(flat(1, 0.3), flat(1, 0.3))]).toEqual([0, 0, 4]);
    // What is beyond white is shown as white, so it is no error beside white.
    expect([...errorMap(flat(1, 2), flat(1, 1))]).toEqual([0, 0, 4]);
  });
});

describe('renderStrip', () => {
  it.each([[16, 96], [96, 96], [100, 100], [520, 512]])('puts source, output, target and error of %d px side by side', async (size, cell) => {
    const rows = [{ source: flat(size, -1), output: flat(size, 0), target: flat(size, 0.25) }, { source: flat(size, 1), output: flat(size, 1), target: flat(size, 1) }];
    const image = await decode(await renderStrip(rows, [size, size], 'step 1'));
    expect(image.width).toBe(8 + 4 * (cell + 8));
    const header = lineHeight(cell >= 192 ? 2 : 1) + 12;
    const centre = (row: number, column: number): [number, number] => [8 + column * (cell + 8) + cell / 2, header + row * (cell + 8) + cell / 2];
    expect(image.at(...centre(0, 0))).toEqual([0, 0, 0]);
    expect(image.at(...centre(0, 1))).toEqual([128, 128, 128]);
    expect(image.at(...centre(0, 2))).toEqual([159, 159, 159]);
    expect(image.at(...centre(0, 3))).toEqual([...heatColour(0.5)]);
    expect(image.at(...centre(1, 0))).toEqual([255, 255, 255]);
    expect(image.at(...centre(1, 3))).toEqual([0, 0, 4]);
    // Edges are sharp: the margin is white right beside the first cell.
    expect(image.at(7, header + 1)).toEqual([255, 255, 255]);
    expect(image.at(8, header + 1)).toEqual([0, 0, 0]);
  });

  it('keeps the shape of images that are not square', async () => {
    const row = { source: new Float32Array(40 * 80 * 3), output: new Float32Array(40 * 80 * 3), target: new Float32Array(40 * 80 * 3) };
    const { width, height } = await decode(await renderStrip([row], [40, 80], ''));
    expect([width, height]).toEqual([8 + 4 * 88, 9 + 12 + 48 + 9 + 4]);
  });
});

describe('drawText', () => {
  const draw = (text: string, scale = 1): string[] => {
    const [width, height] = [textWidth(text, scale), lineHeight(scale)];
    const canvas: Canvas = { data: new Uint8Array(width * height * 3).fill(255), width, height };
    drawText(canvas, 0, 0, text, scale);
    return Array.from({ length: height }, (_, y) => Array.from({ length: width }, (_, x) => (canvas.data[(y * width + x) * 3] === 64 ? '#' : '.')).join(''));
  };

  it('draws glyphs and what hangs below the line', () => {
    expect(draw('p1')).toEqual(['........#..', '.......##..', '#.##....#..', '##..#...#..', '#...#...#..', '#...#...#..', '####...###.', '#..........', '#..........']);
    expect(draw('l', 2)).toEqual(draw('l').flatMap((line) => [1, 2].map(() => [...line].map((sign) => sign + sign).join(''))));
  });

  it('writes every sign it may be asked for, each unlike the others', () => {
    const signs = 'abcdefghijklmnopqrstuvwxyz0123456789ABDEMNPRS.,%()-/:+=_';
    expect(new Set([...signs].map((sign) => draw(sign).join())).size).toBe(signs.length);
    expect(draw('Q')).toEqual(draw('q'));
    expect(draw('é')).toEqual(draw('ß'));
  });

  it('cuts off what lies outside', () => {
    const canvas: Canvas = { data: new Uint8Array(4 * 4 * 3).fill(255), width: 4, height: 4 };
    drawText(canvas, -3, -3, 'step 400', 2);
    drawText(canvas, 2, 2, 'step', 2);
    expect(canvas.data).toHaveLength(48);
  });
});
