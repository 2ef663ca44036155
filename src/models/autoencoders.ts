import { ConfigError } from '../errors.ts';
import type { Autoencoder } from './autoencoder.ts';
import { autoencoderDc } from './autoencoderDc.ts';
import { autoencoderKl } from './autoencoderKl.ts';
import { autoencoderTiny } from './autoencoderTiny.ts';
import { type TaesdConfig, taesd } from './taesd.ts';

type Config = Readonly<Record<string, unknown>>;

const builders: Readonly<Record<string, (config: Config) => Autoencoder>> = {
  AutoencoderKL: autoencoderKl, AutoencoderTiny: autoencoderTiny, AutoencoderDC: autoencoderDc,
  // No class of the reference: the original files, whose configuration follows from their shapes.
  TAESD: (config) => taesd(config as unknown as TaesdConfig),
};

/** The autoencoder that a `config.json` describes. @throws ConfigError for another class, an unknown field or a value that does not fit */
export const autoencoderOf = (config: Config): Autoencoder => {
  const { _class_name: name } = config;
  const build = typeof name === 'string' && Object.hasOwn(builders, name) ? builders[name] : undefined;
  if (!build) throw new ConfigError('_class_name', `expected the configuration of an autoencoder (${Object.keys(builders).join(', ')}) but received ${JSON.stringify(name)}`);
  return build(config);
};
