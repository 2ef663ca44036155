const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', '\'': '&#39;' };

/** Text as HTML, safe between tags and in quoted attributes. */
export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (letter) => entities[letter] as string);

/** Markup that is as it should be: `html` lets it through. */
export type Html = Readonly<{ html: string }>;
type Part = Html | readonly Html[] | string | number | undefined;

const partOf = (part: Part): string => {
  if (part === undefined) return '';
  if (typeof part === 'string' || typeof part === 'number') return escapeHtml(`${part}`);
  return 'html' in part ? part.html : part.map(({ html: text }) => text).join('');
};

/** Markup with values in it. What is not markup itself is escaped. */
export const html = (strings: TemplateStringsArray, ...parts: readonly Part[]): Html => ({ html: strings.map((text, i) => text + partOf(parts[i])).join('') });

/** Text that is markup already. */
export const raw = (text: string): Html => ({ html: text });
