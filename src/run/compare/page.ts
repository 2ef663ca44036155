/** The report of a comparison: one HTML file with everything in it. */
import sharp from 'sharp';
import { duration } from '../progress.ts';
import { toBytes } from '../strip.ts';
import { colourOf, lineChart } from './chart.ts';
import type { Comparison, Entry } from './comparison.ts';
import { type ConfigDifference, configDiff } from './configDiff.ts';
import { type Contender, bestResult, contenders, difference, isBetter, verdictOf } from './differences.ts';
import { type Html, html, raw } from './html.ts';
import { type ImageScores, meanOf } from '../metrics.ts';
import { script, style } from './pageStyle.ts';

type ShownMetric = Comparison['metrics'][number];

const fixed = (value: number, digits: number): string => (Number.isFinite(value) ? value.toFixed(digits).replace('-', '−') : Number.isNaN(value) ? 'n/a' : '∞');
const signed = (value: number, digits: number): string => `${value > 0 ? '+' : ''}${fixed(value, digits)}`;
const dot = (index: number): Html => html`<span class="dot" style="color:${colourOf(index)}"></span>`;
/** A count in thousands or millions. */
const short = (count: number): string => (count < 1e4 ? `${count}` : count < 1e6 ? `${(count / 1e3).toFixed(0)} k` : `${(count / 1e6).toFixed(1)} M`);
const stepsText = (steps: number | undefined): string => (steps === undefined ? 'own' : `${steps}`);
const called = ({ label, steps }: Contender): string => (steps === '' ? label : `${label} (${steps})`);

/** A difference with its interval, coloured where the interval leaves 0 out. */
const differenceCell = (metric: ShownMetric, a: readonly ImageScores[], b: readonly ImageScores[], seed: number): Html => {
  const interval = difference(a, b, metric.name, seed);
  if (!interval) return html`<td class="quiet">n/a</td>`;
  const verdict = verdictOf(metric, interval);
  return html`<td><span class="${verdict === 'better' ? 'up' : verdict === 'worse' ? 'down' : 'quiet'}">${signed(interval.mean, metric.digits)}</span> <span class="interval">[${signed(interval.low, metric.digits)}, ${signed(interval.high, metric.digits)}]</span></td>`;
};

/** What one may conclude, in a sentence or two. */
const verdict = (comparison: Comparison): string => {
  const metric = comparison.metrics[0] as ShownMetric;
  const [first, second] = contenders({ entries: comparison.entries, baselines: [] }, metric);
  if (!first) return 'Nothing was trained.';
  const value = `${fixed(meanOf(first.scores, metric.name), metric.digits)} ${metric.unit}`;
  const source = comparison.baselines[0];
  const over = (other: Contender): string => {
    const interval = difference(first.scores, other.scores, metric.name, comparison.seed);
    if (!interval) return `its difference to ${called(other)} is not a number`;
    const text = `${signed(interval.mean, metric.digits)} ${metric.unit} [${signed(interval.low, metric.digits)}, ${signed(interval.high, metric.digits)}]`;
    return verdictOf(metric, interval) === 'open' ? `${text} against ${called(other)}, which these pairs do not tell from it` : `${text} against ${called(other)}`;
  };
  return `${called(first)} has the best ${metric.name}, ${value}${second ? `: ${over(second)}` : ''}${source ? `; ${over({ ...source, steps: '' })}` : ''}.`;
};

const scoreTable = ({ metrics, entries, baselines, seed }: Comparison): Html => {
  const [main] = metrics as [ShownMetric];
  const source = baselines[0];
  const everything = entries.flatMap(({ results }) => results.map(({ scores }) => scores));
  const bests = metrics.map((metric) => everything.map((scores) => meanOf(scores, metric.name)).reduce((best, value) => (isBetter(metric, value, best) ? value : best), NaN));
  const cells = (scores: readonly ImageScores[]): Html[] => metrics.map((metric, m) => {
    const mean = meanOf(scores, metric.name);
    return html`<td class="${mean === bests[m] ? 'best' : ''}">${fixed(mean, metric.digits)}</td>`;
  });
  const parameters = (entry: Entry): Html => html`${Object.entries(entry.parameters).map(([name, count], i) => html`${i === 0 ? '' : raw('<br>')}<span title="${count}">${short(count)}</span> <span class="interval">${name}</span>`)}`;
  const rows = entries.flatMap((entry, i) => entry.results.map((result, r) => html`<tr class="${r < entry.results.length - 1 ? 'same' : ''}">
    <td>${r === 0 ? html`${dot(i)}${entry.label}` : ''}</td><td>${stepsText(result.steps)}</td>${cells(result.scores)}${source ? differenceCell(main, result.scores, source.scores, seed) : html`<td></td>`}<td>${result.msPerImage.toFixed(1)}</td>
    ${r === 0 ? html`<td>${(entry.secondsPerStep * 1000).toFixed(0)}</td><td>${entry.steps}</td><td>${duration(entry.seconds)}</td><td>${parameters(entry)}</td>` : raw('<td></td><td></td><td></td><td></td>')}</tr>`));
  return html`<div class="wide"><table id="scores"><thead><tr><th>Method</th><th>Sampler<br>steps</th>${metrics.map(({ name, unit, isHigherBetter }) => html`<th>${name}<br><span class="interval">${unit === '' ? '' : `${unit}, `}${isHigherBetter ? 'higher' : 'lower'} is better</span></th>`)}
    <th>${main.name} over<br>${source?.label ?? 'the baseline'}<br><span class="interval">95 % interval</span></th><th>ms per<br>image</th><th>ms per<br>training step</th><th>Training<br>steps</th><th>Training<br>time</th><th>Parameters</th></tr></thead><tbody>${rows}
    ${baselines.map(({ label, scores }) => html`<tr class="base"><td>${label}</td><td></td>${cells(scores)}${source && label !== source.label ? differenceCell(main, scores, source.scores, seed) : html`<td></td>`}<td></td><td></td><td></td><td></td><td></td></tr>`)}</tbody></table></div>`;
};

const differenceTable = (comparison: Comparison, metric: ShownMetric): Html => {
  const all = contenders(comparison, metric);
  return html`<div class="wide"><table class="differences"><thead><tr><th>row − column</th>${all.map((column) => html`<th>${column.label}<br><span class="interval">${column.steps}</span></th>`)}</tr></thead><tbody>${
    all.map((row, i) => html`<tr class="${row.steps === '' ? 'base' : ''}"><td>${called(row)}</td>${all.map((column, j) => (i === j ? html`<td class="quiet">·</td>` : differenceCell(metric, row.scores, column.scores, comparison.seed)))}</tr>`)}</tbody></table></div>`;
};

const differences = (comparison: Comparison): Html => html`<p>Mean over the held-out pairs of row minus column, with the 95 % interval of a paired bootstrap. Coloured where the interval leaves 0 out: green is better, red is worse. Every method stands at the number of sampler steps that suits it best by the metric, chosen on these same pairs.</p>
  ${comparison.metrics.map((metric, m) => (m === 0 ? html`<h3>${metric.name}</h3>${differenceTable(comparison, metric)}` : html`<details><summary>${metric.name}</summary>${differenceTable(comparison, metric)}</details>`))}`;

const curves = ({ entries, baselines, metrics }: Comparison): Html => {
  const [main] = metrics as [ShownMetric];
  const guides = baselines.map(({ label, scores }) => ({ label, y: meanOf(scores, main.name) }));
  const series = (of: (point: Entry['curve'][number]) => number) => entries.map(({ label, curve }) => ({ label, points: curve.map((point) => [of(point), point.psnr] as const) }));
  const sweep = entries.map(({ label, results }) => ({ label, points: results.flatMap(({ steps, scores }) => (steps === undefined ? [] : [[steps, meanOf(scores, main.name)] as const])) }));
  const powers = [...new Set(sweep.flatMap(({ points }) => points.map(([steps]) => steps)))].sort((a, b) => a - b);
  return html`<div class="legend">${entries.map(({ label }, i) => html`<span>${dot(i)}${label}</span>`)}</div><div class="charts">
    ${lineChart({ title: 'Held-out PSNR over images trained on', xLabel: 'images', yLabel: 'PSNR, dB', series: series(({ images }) => images), guides })}
    ${lineChart({ title: 'Held-out PSNR over seconds of training', xLabel: 'seconds', yLabel: 'PSNR, dB', series: series(({ seconds }) => seconds), guides })}
    ${lineChart({ title: `Final ${main.name} by sampler steps`, xLabel: 'sampler steps', yLabel: `${main.name}, ${main.unit}`, series: sweep, guides, powers: powers.length > 0 ? powers : [1] })}
  </div><p class="quiet">The curves are drawn with each method's configured number of sampler steps; averaged weights throughout.</p>`;
};

/** A picture as an image that needs no file. */
const dataUri = async (image: Float32Array, size: number): Promise<string> =>
  `data:image/png;base64,${(await sharp(toBytes(image), { raw: { width: size, height: size, channels: 3 } }).png().toBuffer()).toString('base64')}`;

type Column = Readonly<{ label: string; pictures: readonly Float32Array[]; scores?: readonly ImageScores[] }>;

const pictures = async ({ entries, baselines, shown, size, metrics, pairs }: Comparison): Promise<Html> => {
  const [main] = metrics as [ShownMetric];
  const copied = baselines.find(({ label }) => label === 'copy the source');
  const columns: Column[] = [
    { label: 'source', pictures: shown.map(({ source }) => source), ...(copied && { scores: copied.scores }) },
    ...entries.flatMap((entry) => entry.results.map(({ steps, pictures: made, scores }) => ({ label: entry.results.length > 1 ? `${entry.label}, ${stepsText(steps)}` : entry.label, pictures: made, scores }))),
    { label: 'target', pictures: shown.map(({ target }) => target) },
  ];
  const rows: Html[] = [];
  for (const [row, { id }] of shown.entries()) {
    const cells: Html[] = [];
    for (const [c, { label, pictures: made, scores }] of columns.entries()) {
      const score = scores?.[pairs.indexOf(id)]?.[main.name];
      cells.push(html`<td><img data-pair="${row}" data-column="${c}" tabindex="0" alt="${label} of ${id}" title="${id}: ${label}" src="${await dataUri(made[row] as Float32Array, size)}">${score === undefined ? '' : `${fixed(score, main.digits)} ${main.unit}`}</td>`);
    }
    rows.push(html`<tr>${cells}</tr>`);
  }
  const first = entries[0];
  const best = contenders({ entries, baselines: [] }, main)[0];
  const chosen = Math.max(0, columns.findIndex(({ scores }) => scores !== undefined && scores === best?.scores));
  const option = (selected: number) => ({ label }: Readonly<{ label: string }>, i: number): Html => html`<option value="${i}"${raw(i === selected ? ' selected' : '')}>${label}</option>`;
  return html`<div class="${size < 200 ? 'crisp' : ''}"><div class="viewer"><div class="stage" style="--cut:50%"><img class="under" alt="right picture"><img class="over" alt="left picture"><span class="tag left"></span><span class="tag right"></span></div>
    <div class="controls"><label for="pair">Pair</label><select id="pair" name="pair">${shown.map(({ id }, i) => html`<option value="${i}">${id}</option>`)}</select><label for="left">Left</label><select id="left" name="left">${columns.map(option(0))}</select>
    <label for="right">Right</label><select id="right" name="right">${columns.map(option(first ? chosen : columns.length - 1))}</select><label for="cut">Border</label><input id="cut" name="cut" type="range" min="0" max="100" step="0.5" value="50">
    <p class="quiet" style="grid-column:1/-1">Drag across the picture. A click on a picture below puts it on the left, with shift on the right.</p></div></div>
    <div class="wide"><table class="grid"><thead><tr>${columns.map(({ label }) => html`<th>${label}</th>`)}</tr></thead><tbody>${rows}</tbody></table></div></div>`;
};

const shownValue = (value: unknown): string => (value === undefined ? '–' : typeof value === 'string' ? value : JSON.stringify(value));

const configurations = (entries: readonly Entry[]): Html => {
  // The intervals of validation follow from the number of steps; they decide nothing.
  const found = configDiff(entries.map(({ config }) => config)).filter(({ path }) => !/^track\.(validate|sample|save)Every$/.test(path));
  const row = ({ path, values }: ConfigDifference): Html => html`<tr><td><code>${path}</code></td>${values.map((value) => html`<td class="${value === undefined ? 'quiet' : ''}">${shownValue(value)}</td>`)}</tr>`;
  return html`${found.length === 0 ? html`<p>The configurations are equal.</p>` : html`<div class="wide"><table class="words" id="config"><thead><tr><th>Key</th>${entries.map(({ label }, i) => html`<th style="text-align:left">${dot(i)}${label}</th>`)}</tr></thead><tbody>${found.map(row)}</tbody></table></div>`}
    ${entries.map(({ label, config, folder }) => html`<details><summary>${label}: whole configuration</summary><p class="quiet">run ${folder}</p><pre>${JSON.stringify(config, null, 2)}</pre></details>`)}`;
};

const notes = ({ entries, sameBatches, commonBatches, pairs, failures }: Comparison): Html => {
  const augmented = configDiff(entries.map(({ config }) => config)).some(({ path }) => path.startsWith('augment.'));
  const lines = [
    entries.length < 2 ? '' : sameBatches === commonBatches ? `Every run saw the same images in the same order: the ${commonBatches} batches that all of them have were compared by name. ${augmented ? 'Their augmentation differs (see the configuration).' : 'Augmentation follows from seed and step, so it was the same too.'}`
      : `The runs did not see the same images: their batches part after ${sameBatches} of ${commonBatches}, so differences are not due to the methods alone.`,
    'Noise in sampling follows from the seed and the pair alone: it is the same for every method and every number of steps.',
    'Training time is steps times the mean of the steps on which nothing else was done; the first step, which compiles graphs, and validations are left out. Each run was timed by itself, one after the other.',
    `Intervals say how far the result would move with other held-out pairs${pairs.length < 10 ? `; with ${pairs.length} pairs they are too narrow` : ''}. They do not say how far it would move with another seed: each method was trained once.`,
    `The first step took this much longer than the others: ${entries.map(({ label, startUp }) => `${label} ${startUp.toFixed(1)} s`).join(', ')}.`,
    ...entries.flatMap(({ label, refused }) => (refused.length === 0 ? [] : [`${label} does not sample in ${refused.map(({ steps }) => steps).join(', ')} steps (${refused[0]?.why}).`])),
    ...failures.map(({ label, why }) => `${label} failed and is left out: ${why}`),
    ...entries.flatMap(({ label, ignored }) => (ignored.length === 0 ? [] : [`${label} has no key for ${ignored.join(', ')} and went without.`])),
  ];
  return html`<ul>${lines.filter((line) => line !== '').map((line) => html`<li>${line}</li>`)}</ul>`;
};

/** The report as the text of one HTML file, which needs no other. */
export const reportPage = async (comparison: Comparison): Promise<string> => {
  const { command, made, engine, dataset, size, seed, budget, entries, pairs } = comparison;
  const [main] = comparison.metrics as [ShownMetric];
  const facts = [['dataset', dataset], ['images', `${size} x ${size}, ${pairs.length} held-out pairs`], ['trained for', budget], ['seed', `${seed}`], ['engine', engine], ['made', made], ['command', command]] as const;
  const best = entries.filter((entry) => bestResult(entry, main)).map(({ label }) => label);
  return `<!doctype html>\n${html`<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${best.join(', ')}</title><style>${raw(style)}</style></head><body>
<h1>${best.join(', ')}</h1><p class="lead">${verdict(comparison)}</p>
<dl class="facts">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${name === 'command' ? html`<code>${value}</code>` : value}</dd>`)}</dl>
<h2>Scores</h2>${scoreTable(comparison)}
<h2>Differences</h2>${differences(comparison)}
<h2>Curves</h2>${curves(comparison)}
<h2>Pictures</h2>${await pictures(comparison)}
<h2>Configuration</h2><p>What differs between the runs.</p>${configurations(entries)}
<h2>How it was measured</h2>${notes(comparison)}
<script>${raw(script)}</script></body></html>`.html}\n`;
};
