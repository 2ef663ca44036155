import { describe, expect, it } from 'vitest';
import { nameTeacher, teacherOptions, teacherShape } from '../../src/run/teacher.ts';
import { filledIn } from '../../src/run/fillIn.ts';
import { z } from 'zod';

const schema = z.object({ teacher: teacherOptions(), data: z.object({ root: z.string(), size: z.number(), batch: z.number() }), steps: z.number(), seed: z.number() });
const base = { data: { root: '', size: 16, batch: 1 }, steps: 1, seed: 0 };
const linesOf = (teacher: Parameters<typeof nameTeacher>[1]): string[] => {
  const lines: string[] = [];
  nameTeacher({ report: { line: (text) => { lines.push(text); }, bar: () => {} } }, teacher);
  return lines;
};

describe('the teacher', () => {
  it('is a small one of the fixtures where none is named, and says so', async () => {
    const { teacher } = await filledIn(schema, schema.parse({ ...base, teacher: {} }));
    expect(teacher.model).toMatchObject({ _class_name: 'AutoencoderKL' });
    expect(teacherShape(teacher)).toMatchObject({ factor: teacher.factor, channels: 4 });
    expect(linesOf(teacher)[0]).toMatch(/^teacher fixtures\/teacher: 4 channels, \d px a cell; a small one of this project's fixtures: node pipelines\/vae\.ts trains one/);
  });

  it('may be gone once it has been learned from, but not before', async () => {
    const parse = (teacher: object) => filledIn(schema, schema.parse({ ...base, teacher }));
    const { teacher } = await parse({});
    const gone = { ...teacher, autoencoder: 'somewhere/else' };
    expect((await parse(gone)).teacher).toEqual(gone);
    await expect(parse({ autoencoder: 'somewhere/else' })).rejects.toThrow('somewhere/else: expected an autoencoder');
    await expect(parse({ ...teacher, checksum: 'another' })).rejects.toThrow('expected the autoencoder that this run was trained with');
  });

  it('is known by its configuration alone, and not asked for what it does not say', () => {
    const model = { _class_name: 'TAESD', variant: 'f8Pool', channels: 32 };
    expect(linesOf({ autoencoder: '', encoder: 'taef2_encoder.safetensors', model })).toEqual(['teacher taef2_encoder.safetensors: 32 channels, 8 px a cell']);
    expect(() => teacherShape({ autoencoder: '', encoder: '', model: {} })).toThrow('teacher: expected an autoencoder to learn from');
  });
});
