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

/** E4M3 has no infinities: its highest exponent holds numbers, and only all ones is NaN. */
const decodeE4M3 = (pattern: number): number => {
  if ((pattern & 0x7f) === 0x7f) return NaN;
  const exponent = (pattern >>> 3) & 15;
  const mantissa = (pattern & 7) / 8;
  return (pattern >>> 7 ? -1 : 1) * (exponent === 0 ? mantissa * 2 ** -6 : (1 + mantissa) * 2 ** (exponent - 7));
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
    case 'F16': target.set(new Float16Array(buffer, byteOffset, count)); return;
    // E5M2 is the upper half of a half-precision number.
    case 'F8_E5M2': target.set(new Float16Array(Uint16Array.from(bytes, (code) => code << 8).buffer)); return;
    case 'F8_E4M3': for (let i = 0; i < count; i++) target[i] = decodeE4M3(bytes[i] as number); return;
  }
};

/** Nearest bfloat16, ties to even. */
const encodeBF16 = (value: number): number => {
  single[0] = value;
  const word = bits[0] as number;
  if (Number.isNaN(value)) return (word >>> 16) | 0x40;
  return ((word + 0x7fff + ((word >>> 16) & 1)) >>> 16) & 0xffff;
};

/** Encodes float32 values as raw little-endian bytes; float32 itself is viewed, not copied. */
export const encode = (dtype: FloatDtype, values: Float32Array): Uint8Array => {
  if (dtype === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  if (dtype === 'F64') return new Uint8Array(Float64Array.from(values).buffer);
  if (dtype === 'F16') return new Uint8Array(Float16Array.from(values).buffer);
  const codes = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) codes[i] = encodeBF16(values[i] as number);
  return new Uint8Array(codes.buffer);
};
