/**
 * CLIP's tokenizer: byte pairs of lower-case text.
 * @source Sennrich et al. 2016, arXiv 1508.07909, algorithm 1; Radford et al. 2021, arXiv 2103.00020, sec. 2.4; files as transformers' `CLIPTokenizer` has them
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { ConfigError } from '../errors.ts';
import * as tf from '../tf.ts';

/** A caption as ids: the start, its tokens, the end, and padding up to the length; a longer one is cut. */
export type Tokenizer = Readonly<{ length: number; encode: (text: string) => Int32Array }>;

const start = '<|startoftext|>';
const end = '<|endoftext|>';
/** Marks the last symbol of a word. */
const wordEnd = '</w>';

/** Words, single digits, runs of other signs, and what English writes after an apostrophe. */
const words = /<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/giu;

/** Every byte as a character that can be seen: itself where it can, else one from 256 on. */
export const visibleBytes: readonly string[] = (() => {
  const seen = (byte: number): boolean => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(seen(byte) ? byte : next++));
})();

/** Joins the pair of neighbours that comes first among the merges, wherever it stands, until none is left. */
const merged = (word: string, ranks: ReadonlyMap<string, number>): readonly string[] => {
  let symbols = [...new TextEncoder().encode(word)].map((byte) => visibleBytes[byte] as string);
  symbols.push(`${symbols.pop() as string}${wordEnd}`);
  for (;;) {
    let best: { pair: string; rank: number } | undefined;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const pair = `${symbols[i] as string} ${symbols[i + 1] as string}`;
      const rank = ranks.get(pair);
      if (rank !== undefined && (best === undefined || rank < best.rank)) best = { pair, rank };
    }
    if (best === undefined) return symbols;
    const joined: string[] = [];
    for (let i = 0; i < symbols.length; i++) {
      if (i + 1 < symbols.length && `${symbols[i] as string} ${symbols[i + 1] as string}` === best.pair) joined.push(`${symbols[i] as string}${symbols[++i] as string}`);
      else joined.push(symbols[i] as string);
    }
    symbols = joined;
  }
};

/**
 * Makes the tokenizer.
 * @param options.vocab ids by symbol @param options.merges pairs such as `t h`, in the order in which they are joined
 * @param options.length ids of every caption; 77 for all of CLIP's relatives @param options.pad what fills up short ones: the end token, or `!` in SD 2 and SD-Turbo
 * @throws ConfigError when the vocabulary lacks the start, the end or the padding
 */
export const clipTokenizer = ({ vocab, merges, length = 77, pad = end }: { vocab: Readonly<Record<string, number>>; merges: readonly string[]; length?: number; pad?: string }): Tokenizer => {
  const idOf = (symbol: string): number => {
    const id = Object.hasOwn(vocab, symbol) ? vocab[symbol] : undefined;
    if (id === undefined) throw new ConfigError('vocab', `clipTokenizer: expected the vocabulary to have ${symbol} but it has not`);
    return id;
  };
  const ranks = new Map(merges.map((pair, rank) => [pair, rank]));
  const [first, last, filling] = [idOf(start), idOf(end), idOf(pad)];
  const encode = (text: string): Int32Array => {
    const found = text.normalize('NFC').toLowerCase().match(words) ?? [];
    const ids = found.flatMap((word) => (word === start || word === end ? [idOf(word)] : merged(word, ranks).map((symbol) => (Object.hasOwn(vocab, symbol) ? vocab[symbol] as number : last))));
    return Int32Array.from({ length }, (_, i) => [first, ...ids.slice(0, length - 2), last][i] ?? filling);
  };
  return { length, encode };
};

/** Ids of several captions: int32 [B, length]. Call inside a tidy. */
export const idsOf = ({ length, encode }: Tokenizer, captions: readonly string[]): tf.Tensor2D =>
  tf.tensor2d(Int32Array.from(captions.flatMap((caption) => [...encode(caption)])), [captions.length, length], 'int32');

const vocabSchema = z.record(z.string(), z.int().min(0));
/** The padding is a bare name, or a record of it and how it is stripped. */
const settingsSchema = z.object({ model_max_length: z.number().default(77), pad_token: z.union([z.string(), z.object({ content: z.string() })]).default(end) });

const read = <T>(path: string, parse: (text: string) => T): T => {
  try {
    return parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'found nothing' : cause instanceof z.ZodError ? cause.issues[0]?.message : (cause as Error).message;
    throw new ConfigError(path, `${path}: expected a file of CLIP's tokenizer but ${why}`, cause);
  }
};

/**
 * Reads a tokenizer folder: `vocab.json`, `merges.txt` and `tokenizer_config.json`.
 * @throws ConfigError naming the file
 */
export const readTokenizer = (folder: string): Tokenizer => {
  const vocab = read(join(folder, 'vocab.json'), (text) => vocabSchema.parse(JSON.parse(text)));
  const merges = read(join(folder, 'merges.txt'), (text) => text.split(/\r?\n/).filter((line) => line !== '' && !line.startsWith('#version')));
  const { model_max_length: length, pad_token: pad } = read(join(folder, 'tokenizer_config.json'), (text) => settingsSchema.parse(JSON.parse(text)));
  return clipTokenizer({ vocab, merges, length: Math.min(length, 77), pad: typeof pad === 'string' ? pad : pad.content });
};
