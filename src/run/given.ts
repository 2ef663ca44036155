import * as E from 'fp-ts/lib/Either.js';
import type { StateDict } from '../models/net.ts';
import { openStateDict } from '../models/weights/openWeights.ts';

/** What nets are made from, by net name: weights files (`.safetensors`, or folders of them), or weights that are at hand. */
export type GivenFiles = Readonly<Record<string, readonly (string | StateDict)[]>>;

/**
 * Opens the weights files a method names; several files of one net are one state dict, the later ones on top.
 * @param files by net name @throws WeightsError
 */
export const readGiven = async (files: GivenFiles | Promise<GivenFiles>): Promise<Readonly<Record<string, StateDict>>> => {
  const given: Record<string, StateDict> = {};
  for (const [name, paths] of Object.entries(await files)) {
    for (const path of paths) {
      const opened = typeof path === 'string' ? await openStateDict(path)() : E.right(path);
      if (E.isLeft(opened)) throw opened.left;
      // Keeps entries lazy: values are read when the net takes them.
      given[name] = Object.defineProperties({}, { ...Object.getOwnPropertyDescriptors(given[name] ?? {}), ...Object.getOwnPropertyDescriptors(opened.right) }) as StateDict;
    }
  }
  return given;
};
