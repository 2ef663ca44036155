/** Autoencoders, UNets, ControlNet and LoRA against the reference's. */
import { autoencoderDc } from '../../src/models/autoencoderDc.ts';
import { autoencoderKl, klDivergence, posteriorOf, samplePosterior } from '../../src/models/autoencoderKl.ts';
import { autoencoderTiny, quantiseLatent } from '../../src/models/autoencoderTiny.ts';
import * as tf from '../../src/tf.ts';
import { compareNetwork } from './compare.ts';
import { type Comparison, type Golden, type Handler, initOf } from './golden.ts';

type Image = tf.Tensor4D;
type Inputs = Readonly<Record<string, tf.Tensor>>;

const input = <T extends tf.Tensor = Image>(inputs: Inputs, name: string): T => {
  const value = inputs[name];
  if (value === undefined) throw new TypeError(`the golden has no input.${name}`);
  return value as T;
};

const tiny = (golden: Golden): Promise<Comparison[]> => {
  const network = autoencoderTiny(initOf(golden));
  return compareNetwork(golden, network, (params, inputs) => {
    const latents = network.encode(params, input(inputs, 'sample'));
    const roundtrip = network.decode(params, latents);
    const decoded: Record<string, tf.Tensor> = 'latents' in inputs ? { decoded: network.decode(params, input(inputs, 'latents')) } : {};
    return { roundtrip, latents, ...decoded, forward_quantised: network.decode(params, quantiseLatent(latents, network.config)) };
  }, { limits: { 'output.forward_quantised': 2e-2 } });
};

const kl = (golden: Golden): Promise<Comparison[]> => {
  const network = autoencoderKl(initOf(golden));
  return compareNetwork(golden, network, (params, inputs) => {
    const moments = network.moments(params, input(inputs, 'sample'));
    const posterior = posteriorOf(moments);
    const z = 'noise' in inputs ? samplePosterior(posterior, input(inputs, 'noise')) : posterior.mean;
    return { decoded: network.decode(params, z), moments, ...posterior, z, kl: klDivergence(posterior) };
  });
};

const dc = (golden: Golden): Promise<Comparison[]> => {
  const network = autoencoderDc(initOf(golden));
  return compareNetwork(golden, network, (params, inputs) => {
    const latent = network.encode(params, input(inputs, 'sample'));
    return { decoded: network.decode(params, latent), latent };
  });
};

const classes: Readonly<Record<string, (golden: Golden) => Promise<Comparison[]>>> = {
  AutoencoderTiny: tiny, AutoencoderKL: kl, AutoencoderDC: dc,
};

const classOf = ({ manifest }: Pick<Golden, 'manifest'>): string => String(manifest.config['class'] ?? manifest.source?.['class']);

export const handlers: readonly Handler[] = Object.entries(classes).map(([name, run]) => ({ kind: name, matches: (golden) => classOf(golden) === name, run }));
