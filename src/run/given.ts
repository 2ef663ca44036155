import * as E from 'fp-ts/lib/Either.js';
import type { StateDict } from '../models/net.ts';
import { openStateDict } from '../models/weights/openWeights.ts';

/**
 * Opens the weights files a method names; several files of one net are one state dict, the later ones on top.
 * @param files by net name @throws WeightsError
 */
export const readGiven = async (files: Readonly<Record<string, readonly string[]>>): Promise<Readonly<Record<string, StateDict>>> => {
  const given: Record<string, StateDict> = {};
  for (const [name, paths] of Object.entries(files)) {
    for (const path of paths) {
      const opened = await openStateDict(path)();
      if (E.isLeft(opened)) throw opened.left;
      // Keeps entries lazy: values are read when the net takes them.
      given[name] = Object.defineProperties({}, { ...Object.getOwnPropertyDescriptors(given[name] ?? {}), ...Object.getOwnPropertyDescriptors(opened.right) }) as StateDict;
    }
  }
  return given;
};
