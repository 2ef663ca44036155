/** Number formats of safetensors files, to and from float32. Little-endian throughout, as the format and every machine Node runs on are. */

/** Bytes per element by dtype name. */
export const dtypeBytes = {
  F64: 8, I64: 8, U64: 8, F32: 4, I32: 4, U32: 4, F16: 2, BF16: 2, I16: 2, U16: 2, I8: 1, U8: 1, BOOL: 1, F8_E4M3: 1, F8_E5M2: 1,
} as const;

export type Dtype = keyof typeof dtypeBytes;

/** Formats that float32 values can be saved in. */
export type FloatDtype = 'F64' | 'F32' | 'F16' | 'BF16';

export const isDtype = (name: unknown): name is Dtype => typeof name === 'string' && Object.hasOwn(dtypeBytes, name);

const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);

/** The float with `exponentBits` and `mantissaBits` whose bit pattern is `pattern`, IEEE style: subnormals, infinities and NaN. */
const decodeSmall = (pattern: number, exponentBits: number, mantissaBits: number): number => {
  const sign = pattern >>> (exponentBits + mantissaBits) ? -1 : 1;
  const exponent = (pattern >>> mantissaBits) & (2 ** exponentBits - 1);
  const mantissa = (pattern & (2 ** mantissaBits - 1)) / 2 ** mantissaBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === 2 ** exponentBits - 1) return mantissa === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? mantissa * 2 ** (1 - bias) : (1 + mantissa) * 2 ** (exponent - bias));
};

/** E4M3 has no infinities: its highest exponent holds numbers, and only all ones is NaN. */
const decodeE4M3 = (pattern: number): number => {
  if ((pattern & 0x7f) === 0x7f) return NaN;
  const exponent = (pattern >>> 3) & 15;
  const mantissa = (pattern & 7) / 8;
  return (pattern >>> 7 ? -1 : 1) * (exponent === 0 ? mantissa * 2 ** -6 : (1 + mantissa) * 2 ** (exponent - 7));
};

const tables = new Map<Dtype, Float32Array>();

/** Every value of a format of at most 16 bits, by bit pattern: a look-up is several times faster than the arithmetic. */
const tableOf = (dtype: Dtype, patterns: number, decode: (pattern: number) => number): Float32Array => {
  let table = tables.get(dtype);
  if (!table) tables.set(dtype, table = Float32Array.from({ length: patterns }, (_, pattern) => decode(pattern)));
  return table;
};

const lookUp = (codes: Uint16Array | Uint8Array, table: Float32Array, target: Float32Array): void => {
  for (let i = 0; i < codes.length; i++) target[i] = table[codes[i] as number] as number;
};

/**
 * Decodes raw bytes to float32. 64-bit values are rounded.
 * @param bytes little-endian values, aligned to their size
 * @param target receives one number per element
 */
export const decodeInto = (dtype: Dtype, bytes: Uint8Array<ArrayBuffer>, target: Float32Array): void => {
  const { buffer, byteOffset } = bytes;
  const count = bytes.byteLength / dtypeBytes[dtype];
  switch (dtype) {
    case 'F32': target.set(new Float32Array(buffer, byteOffset, count)); return;
    case 'F64': target.set(new Float64Array(buffer, byteOffset, count)); return;
    case 'I32': target.set(new Int32Array(buffer, byteOffset, count)); return;
    case 'U32': target.set(new Uint32Array(buffer, byteOffset, count)); return;
    case 'I16': target.set(new Int16Array(buffer, byteOffset, count)); return;
    case 'U16': target.set(new Uint16Array(buffer, byteOffset, count)); return;
    case 'I8': target.set(new Int8Array(buffer, byteOffset, count)); return;
    case 'U8': case 'BOOL': target.set(bytes); return;
    case 'I64': case 'U64': {
      const wide = dtype === 'I64' ? new BigInt64Array(buffer, byteOffset, count) : new BigUint64Array(buffer, byteOffset, count);
      for (let i = 0; i < count; i++) target[i] = Number(wide[i]);
      return;
    }
    case 'BF16': {
      const codes = new Uint16Array(buffer, byteOffset, count);
      const words = new Uint32Array(target.buffer, target.byteOffset, count);
      for (let i = 0; i < count; i++) words[i] = (codes[i] as number) << 16;
      return;
    }
    case 'F16': return lookUp(new Uint16Array(buffer, byteOffset, count), tableOf(dtype, 65_536, (pattern) => decodeSmall(pattern, 5, 10)), target);
    case 'F8_E5M2': return lookUp(bytes, tableOf(dtype, 256, (pattern) => decodeSmall(pattern, 5, 2)), target);
    case 'F8_E4M3': return lookUp(bytes, tableOf(dtype, 256, decodeE4M3), target);
  }
};

/** Adding and taking away this rounds a small number to the nearest integer, ties to even. */
const rounder = 2 ** 52 + 2 ** 51;

/** Nearest half-precision number to the float32 of bits `word`, ties to even; infinity from 65520 on. */
const encodeF16 = (word: number): number => {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fff_ffff;
  if (magnitude > 0x7f80_0000) return sign | 0x7e00;
  if (magnitude >= 0x477f_f000) return sign | 0x7c00;
  // The exponent's bias goes from 127 to 15; a carry out of the mantissa moves into the exponent by itself.
  if (magnitude >= 0x3880_0000) return sign | (((magnitude + 0xfff + ((magnitude >>> 13) & 1)) >>> 13) - (112 << 10));
  bits[0] = magnitude;
  return sign | ((single[0] as number) * 2 ** 24 + rounder - rounder);
};

/** Nearest bfloat16, ties to even. */
const encodeBF16 = (word: number): number =>
  ((word & 0x7fff_ffff) > 0x7f80_0000 ? (word >>> 16) | 0x40 : ((word + 0x7fff + ((word >>> 16) & 1)) >>> 16) & 0xffff);

/** Encodes float32 values as raw little-endian bytes; float32 itself is viewed, not copied. */
export const encode = (dtype: FloatDtype, values: Float32Array): Uint8Array => {
  if (dtype === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  if (dtype === 'F64') return new Uint8Array(Float64Array.from(values).buffer);
  // Signed words stay small integers of the engine, which makes this several times faster, as does a loop per format.
  const words = new Int32Array(values.buffer, values.byteOffset, values.length);
  const codes = new Uint16Array(values.length);
  if (dtype === 'F16') for (let i = 0; i < words.length; i++) codes[i] = encodeF16(words[i] as number);
  else for (let i = 0; i < words.length; i++) codes[i] = encodeBF16(words[i] as number);
  return new Uint8Array(codes.buffer);
};
