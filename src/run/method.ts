/**
 * The contract of a pipeline file: a method is its numbers (a schema with defaults), its nets, how a step trains them, and how the result is used.
 * `runPipeline` gives it everything else: flags, dataset, run folder, resuming, control, watch mode.
 */
import type { Observable } from 'rxjs';
import type { z } from 'zod';
import type { StateDict } from '../models/net.ts';
import type { Key } from '../random.ts';
import type { CreditGate } from '../streams/creditGate.ts';
import type { Settled } from '../streams/frames.ts';
import type { Resource } from '../streams/scoped.ts';
import type { Tensor4D } from '../tf.ts';
import type { Dataset } from '../data/dataset.ts';
import type { KeptPools } from '../data/keptPools.ts';
import type { ImageSide } from '../data/reconstruction.ts';
import type { Control } from './control.ts';
import type { GivenFiles } from './given.ts';
import type { RunFolder } from './runFolder.ts';

/** What every method's configuration has, so that one command line serves all. Methods add their own groups. */
export type BaseConfig = Readonly<{
  data: Readonly<{ root: string; size: number; batch: number }>;
  /** Training steps of the whole run; a resumed run goes on to the same number. */
  steps: number;
  seed: number;
}>;

/** Bad images that were passed over: counted, and told once per file. */
export type SkippedFiles = Readonly<{
  readonly count: number;
  /** @param path the file @param why expected and received, in words */
  add: (path: string, why: string) => void;
}>;

/** Where a run speaks: whole lines, and one line that is redrawn (the progress bar). */
export type ReportSink = Readonly<{
  /** Prints a line; a bar on the screen is moved out of its way. */
  line: (text: string) => void;
  /** Redraws the bar in place on a terminal; elsewhere a plain line every few seconds. */
  bar: (text: string) => void;
}>;

/** What a run gives to the method it trains. */
export type RunContext = Readonly<{
  folder: RunFolder;
  dataset: Dataset;
  /** Step to begin at: 0, or the restored checkpoint's number of completed steps. */
  start: number;
  /** Steps of the whole run: the last one is `steps - 1`. */
  steps: number;
  seed: number;
  /** Makes this run's credit gate: it pauses and stops with `control`, and what it counts is what `report` and the summary say. */
  gate: (credits: number) => CreditGate;
  control: Control;
  skippedFiles: SkippedFiles;
  /** Where decoders come from that keep what they have decoded from run to run; each run has its own without. */
  decoders?: KeptPools['open'];
  /** True when a bad file ends the run instead of being passed over. */
  strict: boolean;
  report: ReportSink;
}>;

/**
 * Draws one output per source image: float32 [B, H, W, C] to the same, in [-1, 1]. Call inside a tidy.
 * `keys` has one key per image, so that what becomes of an image does not depend on the batch it came in; `steps` is for samplers that take several; `prompts`, one per
 * image where the dataset says something about one, is for models that are told.
 */
export type Translate = (source: Tensor4D, options: Readonly<{ keys: readonly Key[]; steps?: number; prompts?: readonly (string | undefined)[] }>) => Tensor4D;

/** A piece of a trained model that can be used by itself. */
export type Part = Readonly<{
  /** float32 [B, H / factor, W / factor, channels] to another, for an image of H x W; with the averaged weights. Called inside a tidy. */
  run: (x: Tensor4D) => Tensor4D;
  channels: number;
  factor: number;
}>;

/** What nets are made for: training needs what they learn from (a teacher, perceptual networks), use does not. */
export type Purpose = 'training' | 'use';

/**
 * One way to train an image-to-image model.
 * @typeParam C its resolved configuration @typeParam N its nets and other resources, by name
 */
export type Method<C extends BaseConfig, N extends Readonly<Record<string, Resource>>> = Readonly<{
  /** What run folders and the command line call it. */
  name: string;
  /** One line for `--help`. */
  summary: string;
  /**
   * Every number of the method, with `.default()` and `.describe()` on each. A leaf's `.meta({ flag: 'size' })` declares its short flag.
   * Groups need no defaults of their own: a missing group is read as an empty one.
   */
  schema: z.ZodType<C>;
  /** Makes the nets. @param given parameters to start from instead of fresh draws, by net name */
  nets: (config: C, given?: Readonly<Record<string, StateDict>>) => N;
  /** Weights that nets are made from, by net name: read before `nets` is called, when the engine has started, and `given` to it. */
  files?: (config: C, purpose: Purpose) => GivenFiles | Promise<GivenFiles>;
  /** Trains from `run.start` to `config.steps`; emits once per step, when it has run. */
  train: (config: C, run: RunContext, nets: N) => Observable<Settled>;
  /** The trained model as a function, with the EMA weights. */
  translate: (nets: N, config: C) => Translate;
  /** Height and width of what `translate` takes must be multiples of this many pixels. */
  multipleOf: (config: C) => number;
  /** Pieces that can be exported apart, by name, such as an encoder; latents are as the network makes them, before scaling. */
  parts?: (nets: N, config: C) => Readonly<Record<string, Part>>;
  /**
   * For methods that reconstruct images rather than translate pairs: which images of the pairs they see. A frame's source and target are then the same
   * image, and so are those of held-out pairs; copying the source is no baseline.
   */
  reconstructs?: (config: C) => ImageSide;
  /** For methods that `--init` may give another architecture: the configuration with that of a diffusers folder, whose `config.json` is `model`. */
  adopt?: (config: C, model: Readonly<Record<string, unknown>>) => C;
}>;
