/** The closed set of errors that cross the rim. Each names what was at fault, and carries its cause. */

class TaggedError<Tag extends string> extends Error {
  readonly _tag: Tag;
  /** The path, key or name at fault. */
  readonly subject: string;
  constructor(tag: Tag, subject: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this._tag = tag;
    this.name = tag;
    this.subject = subject;
  }
}

/** A configuration key or value that does not fit the schema. */
export class ConfigError extends TaggedError<'ConfigError'> {
  constructor(key: string, message: string, cause?: unknown) { super('ConfigError', key, message, cause); }
}

/** A dataset folder that cannot be used: missing, empty, or of no known layout. */
export class DatasetError extends TaggedError<'DatasetError'> {
  constructor(path: string, message: string, cause?: unknown) { super('DatasetError', path, message, cause); }
}

/** One image file that cannot become a tensor. */
export class DecodeError extends TaggedError<'DecodeError'> {
  constructor(path: string, message: string, cause?: unknown) { super('DecodeError', path, message, cause); }
}

/** A checkpoint or run folder that cannot be written, read or believed. */
export class CheckpointError extends TaggedError<'CheckpointError'> {
  constructor(path: string, message: string, cause?: unknown) { super('CheckpointError', path, message, cause); }
}

/** A weights file or model folder that cannot be read, or does not fit the network. */
export class WeightsError extends TaggedError<'WeightsError'> {
  constructor(path: string, message: string, cause?: unknown) { super('WeightsError', path, message, cause); }
}

/** An executor that cannot start, or cannot do what was asked of it. */
export class EngineError extends TaggedError<'EngineError'> {
  constructor(subject: string, message: string, cause?: unknown) { super('EngineError', subject, message, cause); }
}

/** A loss or gradient norm that is not a finite number, too often in a row to go on. */
export class NonFiniteLossError extends TaggedError<'NonFiniteLossError'> {
  readonly step: number;
  constructor(step: number, message: string) {
    super('NonFiniteLossError', `step ${step}`, message);
    this.step = step;
  }
}

export type MillraceError = ConfigError | DatasetError | DecodeError | CheckpointError | WeightsError | EngineError | NonFiniteLossError;
