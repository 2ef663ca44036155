import { expect, it } from 'vitest';
import { methodOf } from '../../src/run/pipelineFiles.ts';

it('finds the method of a file', async () => expect((await methodOf('regression')).name).toBe('regression'));

it.each([
  ['../secrets', /name of a pipeline file such as flow but received "\.\.\/secrets"/],
  ['flaw', /pipelines\/flaw\.ts: expected the file of a method but found nothing; did you mean flow\?/],
  ['check', /pipelines\/check\.ts: expected it to export the method check but it does not/],
])('refuses %s', async (name, message) => { await expect(methodOf(name)).rejects.toThrow(message); });
