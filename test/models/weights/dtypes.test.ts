import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Dtype, decodeInto, dtypeBytes, encode } from '../../../src/models/weights/dtypes.ts';

const decode = (dtype: Dtype, bytes: ArrayBuffer): Float32Array => {
  const target = new Float32Array(bytes.byteLength / dtypeBytes[dtype]);
  decodeInto(dtype, new Uint8Array(bytes), target);
  return target;
};

const bits = (...codes: number[]): ArrayBuffer => Uint16Array.from(codes).buffer;

describe('decodeInto', () => {
  it('reads integers and booleans of every width', () => {
    expect([...decode('I64', BigInt64Array.of(-1n, 999n).buffer)]).toEqual([-1, 999]);
    expect([...decode('U64', BigUint64Array.of(7n).buffer)]).toEqual([7]);
    expect([...decode('I32', Int32Array.of(-5, 6).buffer)]).toEqual([-5, 6]);
    expect([...decode('U32', Uint32Array.of(4_000_000_000).buffer)]).toEqual([4_000_000_000]);
    expect([...decode('I16', Int16Array.of(-300).buffer)]).toEqual([-300]);
    expect([...decode('U16', Uint16Array.of(60_000).buffer)]).toEqual([60_000]);
    expect([...decode('I8', Int8Array.of(-128, 127).buffer)]).toEqual([-128, 127]);
    expect([...decode('U8', Uint8Array.of(0, 255).buffer)]).toEqual([0, 255]);
    expect([...decode('BOOL', Uint8Array.of(0, 1).buffer)]).toEqual([0, 1]);
  });

  it('reads floats of 64 and 32 bits', () => {
    expect([...decode('F64', Float64Array.of(0.1, -2).buffer)]).toEqual([Math.fround(0.1), -2]);
    expect([...decode('F32', Float32Array.of(1.5, -0).buffer)]).toEqual([1.5, -0]);
  });

  it('reads half precision: one, largest, smallest, smallest normal, infinity', () => {
    expect([...decode('F16', bits(0x3c00, 0x7bff, 0x0001, 0x0400, 0xfc00, 0x3555))]).toEqual([1, 65_504, 2 ** -24, 2 ** -14, -Infinity, 0.333251953125]);
  });

  it('reads bfloat16 as the upper half of a float32', () => {
    expect([...decode('BF16', bits(0x3f80, 0xc040, 0x3eab, 0x7f80))]).toEqual([1, -3, 0.333984375, Infinity]);
  });

  it('reads both kinds of eight bits', () => {
    expect([...decode('F8_E4M3', Uint8Array.of(0x38, 0x7e, 0x01, 0x80, 0xb8).buffer)]).toEqual([1, 448, 2 ** -9, -0, -1]);
    expect([...decode('F8_E5M2', Uint8Array.of(0x3c, 0x7b, 0x01, 0x7c).buffer)]).toEqual([1, 57_344, 2 ** -16, Infinity]);
    expect(decode('F8_E4M3', Uint8Array.of(0x7f).buffer)[0]).toBeNaN();
    expect(decode('F8_E5M2', Uint8Array.of(0x7e).buffer)[0]).toBeNaN();
  });
});

describe('encode', () => {
  const values = fc.float32Array({ minLength: 1, maxLength: 20, noNaN: true });

  it('keeps float32 and float64 exactly', () => {
    fc.assert(fc.property(values, (x) => {
      for (const dtype of ['F32', 'F64'] as const) expect(decode(dtype, encode(dtype, x).slice().buffer)).toEqual(x);
    }));
  });

  it('rounds to the nearest, and a second time changes nothing', () => {
    fc.assert(fc.property(fc.float32Array({ min: -60_000, max: 60_000, minLength: 1, maxLength: 20, noNaN: true }), (x) => {
      for (const [dtype, relative, absolute] of [['F16', 2 ** -11, 2 ** -25], ['BF16', 2 ** -8, 2 ** -134]] as const) {
        const once = decode(dtype, encode(dtype, x).slice().buffer);
        once.forEach((y, i) => { expect(Math.abs(y - (x[i] as number))).toBeLessThanOrEqual(Math.max(absolute, relative * Math.abs(x[i] as number))); });
        expect(decode(dtype, encode(dtype, once).slice().buffer)).toEqual(once);
      }
    }));
  });

  it('rounds ties of bfloat16 to even, and keeps NaN and infinity', () => {
    const x = new Float32Array(Uint32Array.of(0x3f80_8000, 0x3f81_8000, 0x7f80_0000, 0x7fc0_0001).buffer);
    expect([...new Uint16Array(encode('BF16', x).slice().buffer)]).toEqual([0x3f80, 0x3f82, 0x7f80, 0x7fc0]);
  });
});
