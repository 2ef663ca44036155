/** Captions without fonts: many machines that train have none, and a picture should not depend on which they have. */

/** A picture being drawn: bytes [height, width, 3]. */
export type Canvas = Readonly<{ data: Uint8Array; width: number; height: number }>;

/** Glyphs of 5 x 9 pixels: a base-32 digit a row, its highest bit on the left; the last two rows hang below the line. */
const glyphs: Readonly<Record<string, string>> = {
  a: '00e1fhf00', b: 'ggmphhu00', c: '00egghe00', d: '11djhhf00', e: '00ehvge00', f: '698s88800', g: '00fhhhf1e', h: 'ggmphhh00', i: '40c444e00',
  j: '2062222ic', k: 'ggikoki00', l: 'c44444e00', m: '00qllhh00', n: '00mphhh00', o: '00ehhhe00', p: '00mphhugg', q: '00djhhf11', r: '00mpggg00',
  s: '00ege1u00', t: '88s889600', u: '00hhhjd00', v: '00hhha400', w: '00hhlla00', x: '00ha4ah00', y: '00hhhhf1e', z: '00v248v00',
  0: 'ehjlphe00', 1: '4c4444e00', 2: 'eh1248v00', 3: 'v2421he00', 4: '26aiv2200', 5: 'vgu11he00', 6: '68guhhe00', 7: 'v12488800', 8: 'ehhehhe00', 9: 'ehhf12c00',
  A: 'ehhvhhh00', B: 'uhhuhhu00', D: 'uhhhhhu00', E: 'vgguggv00', M: 'hrllhhh00', N: 'hhpljhh00', P: 'uhhuggg00', R: 'uhhukih00', S: 'fgge11u00',
  '.': '00000cc00', ',': '00000c480', '%': 'op248j300', '(': '248884200', ')': '842224800', '-': '000v00000', '/': '01248g000', ':': '0cc0cc000',
  '+': '044v44000', '=': '00v0v0000', _: '0000000v0', ' ': '000000000',
};
const unknown = 'vhhhhhv00';

/** Width of a text in pixels. */
export const textWidth = (text: string, scale = 1): number => Math.max(0, text.length * 6 - 1) * scale;

/** Height of a line of text in pixels, with what hangs below. */
export const lineHeight = (scale = 1): number => 9 * scale;

/** Writes a text in dark grey, its upper left corner at (x, y); what lies outside the canvas is cut off. A capital without a glyph is written small. */
export const drawText = ({ data, width, height }: Canvas, x: number, y: number, text: string, scale = 1): void => {
  [...text].forEach((sign, i) => {
    const rows = glyphs[sign] ?? glyphs[sign.toLowerCase()] ?? unknown;
    for (let row = 0; row < 9 * scale; row++) {
      const bits = parseInt(rows.charAt(Math.floor(row / scale)), 32);
      for (let column = 0; column < 5 * scale; column++) {
        const [px, py] = [x + i * 6 * scale + column, y + row];
        if ((bits >> (4 - Math.floor(column / scale))) & 1 && px >= 0 && px < width && py >= 0 && py < height) data.fill(64, (py * width + px) * 3, (py * width + px) * 3 + 3);
      }
    }
  });
};
