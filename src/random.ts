/**
 * Counter-based randomness: every draw is a pure function of a key and a position, so a run's place is one integer and resuming is exact.
 * The generator is Threefry-2x32 with 20 rounds.
 * @source Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"
 */

/** 64 bits that name a stream of random numbers. */
export type Key = readonly [number, number];

const rotations = [13, 15, 26, 6, 17, 29, 16, 24] as const;

/** One Threefry-2x32-20 block: 64 bits out for a 64-bit key and a 64-bit counter, all as unsigned 32-bit halves. */
export const threefry2x32 = (key: Key, c0: number, c1: number): [number, number] => {
  const ks = [key[0] | 0, key[1] | 0, (0x1bd11bda ^ key[0] ^ key[1]) | 0] as const;
  let x0 = (c0 + ks[0]) | 0;
  let x1 = (c1 + ks[1]) | 0;
  for (let round = 0; round < 20; round++) {
    const r = rotations[round % 8] as number;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << r) | (x1 >>> (32 - r))) ^ x0;
    if (round % 4 === 3) {
      const s = (round + 1) / 4;
      x0 = (x0 + (ks[s % 3] as number)) | 0;
      x1 = (x1 + (ks[(s + 1) % 3] as number) + s) | 0;
    }
  }
  return [x0 >>> 0, x1 >>> 0];
};

/** FNV-1a over UTF-16 units: names become 32-bit words. */
const hashName = (name: string): number => {
  let h = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
  return h >>> 0;
};

/**
 * Derives a key from a parent and a path of names and integers: `fold(seeded(7), 'noise', step)`. Distinct paths give independent streams.
 * @throws RangeError when a part is a number that is not an integer in 0..2^53-1
 */
export const fold = (key: Key, ...path: readonly (string | number)[]): Key => path.reduce<Key>((k, part) => {
  if (typeof part === 'string') return threefry2x32(k, hashName(part), part.length | 0x80000000);
  if (!Number.isSafeInteger(part) || part < 0) throw new RangeError(`fold: expected a non-negative integer but received ${part}`);
  return threefry2x32(k, part >>> 0, Math.floor(part / 2 ** 32));
}, key);

/** The root key of a seed (a non-negative integer). */
export const seeded = (seed: number): Key => fold([0x6d696c6c, 0x72616365], seed);

/** `count` uniform draws in [0, 1), with 24 random bits each. */
export const uniform = (key: Key, count: number): Float32Array => {
  const out = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const [a, b] = threefry2x32(key, i, 0);
    out[i] = (a >>> 8) / 2 ** 24;
    if (i + 1 < count) out[i + 1] = (b >>> 8) / 2 ** 24;
  }
  return out;
};

/** `count` unit-normal draws, by Box-Muller on pairs of uniforms. */
export const normal = (key: Key, count: number): Float32Array => {
  const out = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const [a, b] = threefry2x32(key, i, 0);
    const radius = Math.sqrt(-2 * Math.log((a + 1) / 2 ** 32));
    const angle = (2 * Math.PI * b) / 2 ** 32;
    out[i] = radius * Math.cos(angle);
    if (i + 1 < count) out[i + 1] = radius * Math.sin(angle);
  }
  return out;
};

/** `count` integers, each uniform in 0..below-1 (below at most 2^32; the bias is under below / 2^53). */
export const integers = (key: Key, count: number, below: number): Int32Array => {
  if (!Number.isInteger(below) || below < 1) throw new RangeError(`integers: expected a positive bound but received ${below}`);
  return Int32Array.from({ length: count }, (_, i) => {
    const [a, b] = threefry2x32(key, i, 0);
    return Math.floor(((a >>> 11) * 2 ** 32 + b) / 2 ** 53 * below);
  });
};

/**
 * Where position `index` goes under the keyed permutation of 0..length-1: a four-round Feistel network on the next even number of bits,
 * walked until it lands inside. Nothing is stored, so any place of a shuffle can be asked for at once.
 * @source Black and Rogaway 2002, "Ciphers with arbitrary finite domains" (cycle walking)
 */
export const permute = (key: Key, length: number, index: number): number => {
  if (!Number.isInteger(index) || index < 0 || index >= length) throw new RangeError(`permute: expected an index in 0..${length - 1} but received ${index}`);
  const half = Math.max(1, Math.ceil(Math.log2(Math.max(2, length)) / 2));
  const mask = 2 ** half - 1;
  let at = index;
  do {
    let left = Math.floor(at / 2 ** half);
    let right = at & mask;
    for (let round = 0; round < 4; round++) [left, right] = [right, left ^ (threefry2x32(key, right, round)[0] & mask)];
    at = left * 2 ** half + right;
  } while (at >= length);
  return at;
};
