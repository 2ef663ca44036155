import type { Count, Inspection } from './inspect.ts';

const plural = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;

/** The first rows of a long list, and how many more there are. */
const rows = (counts: readonly Count[], most: number): string[] => {
  const widest = Math.max(0, ...counts.map(({ images }) => images));
  const shown = counts.slice(0, most).map(({ what, images }) => `  ${what.padEnd(28)}${`${images}`.padStart(7)}  ${'#'.repeat(Math.max(1, Math.round(24 * images / widest)))}`);
  const rest = counts.slice(most);
  return rest.length === 0 ? shown : [...shown, `  ${`${rest.length} others`.padEnd(28)}${`${rest.reduce((sum, { images }) => sum + images, 0)}`.padStart(7)}`];
};
const section = (title: string, lines: readonly string[]): string[] => (lines.length === 0 ? [] : ['', title, ...lines]);
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 0)} MB`;
const groups = (paths: readonly (readonly string[])[], most: number): string[] =>
  [...paths.slice(0, most).map((group) => `  ${group.join(' = ')}`), ...(paths.length > most ? [`  and ${paths.length - most} more`] : [])];

/** An inspection as a text of some lines. @param most entries of the lists that may be long */
export const inspectTable = ({ root, usable, error, layout, pairs, images, bytes, sizes, kinds, formats, bad, leaks, repeats, hints }: Inspection, most = 12): string => [
  `dataset  ${root}`,
  ...(layout === undefined ? [] : [
    `layout   ${layout}`,
    `pairs    ${pairs.train} to train on, ${pairs.heldOut} held out${pairs.heldOut === 0 ? '' : pairs.heldOutBy === 'split' ? ' (a split of the folder)' : ' (chosen by content hash)'}`,
    ...(pairs.prompts + pairs.heldOutPrompts > 0 ? [`prompts  ${pairs.prompts} of ${plural(pairs.train, 'pair')} to train on${pairs.heldOut > 0 ? `, ${pairs.heldOutPrompts} of those held out` : ''}`] : []),
    `images   ${images} files, ${megabytes(bytes)}`,
  ]),
  ...section('size', rows(sizes, most)), ...section('kind', rows(kinds, most)), ...section('format', rows(formats, most)),
  ...section(`not used: ${plural(bad.length, 'file')}`, bad.map(({ path, why }) => `  ${path}: ${why}`)),
  ...section('in training and held out, byte by byte', groups(leaks, most)),
  ...section('more than once in training, byte by byte', groups(repeats, most)),
  ...section('worth a look', hints.map((hint) => `  ${hint}`)),
  '',
  usable ? `usable${bad.length > 0 ? `, without ${plural(bad.length, 'file')}` : ''}${leaks.length > 0 ? `; scores on held-out pairs will be flattered by ${plural(leaks.length, 'image')} that training sees too` : ''}` : `not usable: ${error}`,
].join('\n');
