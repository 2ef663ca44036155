/**
 * Uses a trained model on photographs of any size. The result has the size of the photograph.
 * Run: node pipelines/infer.ts --run runs/turbo/latest --in photos/ --out out/ [--steps 4] [--set flow.sampler=heun] [--tile 512] [--checkpoint latest]
 */
import * as E from 'fp-ts/lib/Either.js';
import { takeOptions } from '../src/run/config.ts';
import { helpText } from '../src/run/help.ts';
import { inferOptions } from '../src/run/inferOptions.ts';
import { checkSteps, findImages, translateFiles } from '../src/run/inference.ts';
import { orThrow, unwrap } from '../src/run/orThrow.ts';
import { errorText, shownPath } from '../src/run/outcome.ts';
import { duration } from '../src/run/progress.ts';
import { terminal } from '../src/run/terminal.ts';
import { findTrained, withTrained } from '../src/run/trainedRun.ts';
import { startEngine } from '../src/tf.ts';

/** @returns the exit status */
export const infer = async (argv: readonly string[], { line, bar, end } = terminal()): Promise<number> => {
  const { options, rest } = orThrow(takeOptions(inferOptions, argv));
  if (options.help) { line(helpText({ usage: 'node pipelines/infer.ts', summary: 'infer: uses a trained model on images of any size', schema: inferOptions })); return 0; }
  const trained = await findTrained(options.run, { checkpoint: options.checkpoint, words: rest, others: Object.keys(inferOptions.shape) });
  const { method, config, checkpoint } = trained;
  const jobs = await unwrap(findImages(options.in, options.out, options.keep));
  for (const { message } of checkpoint.broken) line(`passed over: ${message}`);
  const engine = await startEngine();
  return withTrained(trained, async (nets) => {
    line(`${method.name} at step ${checkpoint.state.step} (${shownPath(checkpoint.path)}), engine ${engine.name}, ${jobs.length} images`);
    const [translate, multiple] = [method.translate(nets, config), method.multipleOf(config)];
    const said = options.steps === undefined ? undefined : orThrow(checkSteps(translate, options.steps, multiple));
    if (said !== undefined) line(said);
    const begun = performance.now();
    let done = 0;
    const failed = await translateFiles(translate, jobs, { ...options, multiple, seed: config.seed }, ({ from, to }, result) => {
      const seconds = (performance.now() - begun) / 1000;
      if (E.isLeft(result)) line(`failed: ${result.left.message.includes(from) ? '' : `${from}: `}${result.left.message}`);
      bar(`${++done}/${jobs.length} images  ETA ${duration(seconds / done * (jobs.length - done))}  ${shownPath(to)}`);
    });
    end();
    line(`${jobs.length - failed} images written to ${shownPath(options.out)} in ${duration((performance.now() - begun) / 1000)}${failed > 0 ? `, ${failed} failed` : ''}`);
    return failed > 0 ? 1 : 0;
  });
};

if (import.meta.main) {
  process.exitCode = await infer(process.argv.slice(2)).catch((cause: unknown) => { process.stderr.write(`${errorText(cause)}\n`); return 1; });
  setTimeout(() => { process.exit(); }, 2000).unref();
}
