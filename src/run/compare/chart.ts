/** Line charts as inline SVG. Colours come from the page's `--c0` ... `--c7`. */
import { type Html, html } from './html.ts';

export type Series = Readonly<{ label: string; points: readonly (readonly [x: number, y: number])[] }>;
/** A level that is drawn across. */
export type Guide = Readonly<{ label: string; y: number }>;
export type Chart = Readonly<{ title: string; xLabel: string; yLabel: string; series: readonly Series[]; guides?: readonly Guide[]; /** Ticks of a base-2 axis; a linear one from 0 where they are missing. */ powers?: readonly number[] }>;

const [width, height, left, right, top, bottom] = [560, 300, 52, 14, 12, 40];

/** Round numbers that cover a range: steps of 1, 2 or 5 times a power of ten, about `count` of them. */
export const niceTicks = (low: number, high: number, count = 5): number[] => {
  const span = high - low;
  if (!(span > 0)) return [low];
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9)) as number) * power;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
};

export const colourOf = (index: number): string => `var(--c${index % 8})`;
/** Beyond eight series colours come again, dashed. */
const dashOf = (index: number): string => (index < 8 ? 'none' : '2 3');

/** Draws series over a common x axis; points that are not finite are left out. */
export const lineChart = ({ title, xLabel, yLabel, series, guides = [], powers }: Chart): Html => {
  const finite = series.map(({ label, points }) => ({ label, points: points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y)) }));
  const levels = guides.filter(({ y }) => Number.isFinite(y));
  const xs = finite.flatMap(({ points }) => points.map(([x]) => x));
  const ys = [...finite.flatMap(({ points }) => points.map(([, y]) => y)), ...levels.map(({ y }) => y)];
  if (xs.length === 0) return html`<p class="quiet">${title}: nothing to draw.</p>`;
  const along = powers ? Math.log2 : (x: number): number => x;
  const [xLow, xHigh] = powers ? [along(Math.min(...powers)), along(Math.max(...powers))] : [0, Math.max(...xs)];
  const room = (Math.max(...ys) - Math.min(...ys)) * 0.06 || 0.5;
  const [yLow, yHigh] = [Math.min(...ys) - room, Math.max(...ys) + room];
  const place = (x: number): number => left + (xHigh > xLow ? (along(x) - xLow) / (xHigh - xLow) : 0.5) * (width - left - right);
  const level = (y: number): number => height - bottom - (y - yLow) / (yHigh - yLow) * (height - top - bottom);
  const at = (value: number): string => value.toFixed(1);
  const grid = niceTicks(yLow, yHigh).map((y) => html`<line class="rule" x1="${left}" x2="${width - right}" y1="${at(level(y))}" y2="${at(level(y))}"/><text x="${left - 7}" y="${at(level(y) + 4)}" text-anchor="end">${y}</text>`);
  const ticks = (powers ?? niceTicks(xLow, xHigh)).map((x) => html`<text x="${at(place(x))}" y="${height - bottom + 18}" text-anchor="middle">${x}</text>`);
  const dashed = levels.map(({ label, y }) => html`<line class="guide" x1="${left}" x2="${width - right}" y1="${at(level(y))}" y2="${at(level(y))}"/><text class="name" x="${width - right}" y="${at(level(y) - 5)}" text-anchor="end">${label}</text>`);
  const lines = finite.map(({ label, points }, i) => html`<g style="color:${colourOf(i)}"><polyline points="${points.map(([x, y]) => `${at(place(x))},${at(level(y))}`).join(' ')}" stroke-dasharray="${dashOf(i)}"/>${
    points.map(([x, y]) => html`<circle cx="${at(place(x))}" cy="${at(level(y))}" r="3.2"><title>${label}: ${Number(y.toPrecision(5))} at ${Number(x.toPrecision(5))}</title></circle>`)}</g>`);
  return html`<figure><figcaption>${title}</figcaption><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">${grid}${ticks}${dashed}${lines}<text class="name" x="${(left + width - right) / 2}" y="${height - 5}" text-anchor="middle">${xLabel}</text><text class="name" transform="translate(13 ${(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">${yLabel}</text></svg></figure>`;
};
