/** EDM2's network: magnitude-preserving UNet inside EDM's preconditioning. @source Karras et al. 2024, arXiv 2312.02696; NVlabs/edm2, training/networks_edm2.py */
import { z } from 'zod';
import { edmScalings } from '../schedules/scalings.ts';
import * as tf from '../tf.ts';
import { gain, mpCat, mpConv, mpFourier, mpLinear, mpSilu, mpSum, normalise, resample } from './magnitude.ts';
import { parseModelConfig } from './modelConfig.ts';
import { type Layer, type Network, type Scope, buildNetwork, param } from './network.ts';
import { attend } from './nn.ts';

type Image = tf.Tensor4D;

const schema = z.strictObject({
  img_resolution: z.int().positive(),
  img_channels: z.int().positive(),
  label_dim: z.int().min(0).default(0),
  /** Half precision on a GPU in the reference; here everything is float32. */
  use_fp16: z.boolean().default(true),
  sigma_data: z.number().positive().default(0.5),
  logvar_channels: z.int().positive().default(128),
  model_channels: z.int().positive().default(192),
  channel_mult: z.array(z.int().positive()).min(1).default([1, 2, 3, 4]),
  channel_mult_noise: z.number().positive().nullable().default(null),
  channel_mult_emb: z.number().positive().nullable().default(null),
  num_blocks: z.int().positive().default(3),
  attn_resolutions: z.array(z.int()).default([16, 8]),
  label_balance: z.number().default(0.5),
  concat_balance: z.number().default(0.5),
  resample_filter: z.array(z.number()).min(2).default([1, 1]),
  channels_per_head: z.int().positive().default(64),
  /** Applies in training only; this network is the one of evaluation and has none. */
  dropout: z.number().min(0).max(1).default(0),
  res_balance: z.number().default(0.3),
  attn_balance: z.number().default(0.3),
  clip_act: z.number().positive().nullable().default(256),
});

export type Edm2Config = z.infer<typeof schema>;

/** Checks a configuration in the reference's names and fills in its defaults. @throws ConfigError naming the first option at fault */
export const edm2Config = (config: Readonly<Record<string, unknown>>): Edm2Config => parseModelConfig('Precond', schema, config);

type BlockOptions = Readonly<{ from: number; to: number; emb: number; flavor: 'enc' | 'dec'; mode?: 'keep' | 'down' | 'up'; attention?: boolean }>;

/** Cosine attention over pixels: q, k and v have unit RMS per head. */
const selfAttention = (scope: Scope, channels: number, heads: number): Layer<[Image], Image> => {
  const qkv = mpConv(scope.at('attn_qkv'), { from: channels, to: channels * 3, kernel: 1 });
  const project = mpConv(scope.at('attn_proj'), { from: channels, to: channels, kernel: 1 });
  return (params, x) => {
    const [b, h, w] = x.shape;
    const split = tf.reshape(qkv(params, x), [b, h * w, channels, 3]);
    const [q, k, v] = tf.split(split, 3, 3).map((part) => normalise(tf.transpose(tf.reshape(part, [b, h * w, heads, channels / heads]), [0, 2, 1, 3]), [3])) as [tf.Tensor, tf.Tensor, tf.Tensor];
    return project(params, tf.reshape(tf.transpose(attend(q, k, v), [0, 2, 1, 3]), [b, h, w, channels]));
  };
};

const makeBlock = (scope: Scope, config: Edm2Config, { from, to, emb, flavor, mode = 'keep', attention = false }: BlockOptions): Layer<[Image, tf.Tensor2D], Image> => {
  const heads = attention ? Math.floor(to / config.channels_per_head) : 0;
  const embGain = gain(scope, 'emb_gain');
  const conv0 = mpConv(scope.at('conv_res0'), { from: flavor === 'enc' ? to : from, to, kernel: 3 });
  const embLinear = mpLinear(scope.at('emb_linear'), { from: emb, to });
  const conv1 = mpConv(scope.at('conv_res1'), { from: to, to, kernel: 3 });
  const skip = from === to ? undefined : mpConv(scope.at('conv_skip'), { from, to, kernel: 1 });
  const attended = heads === 0 ? undefined : selfAttention(scope, to, heads);
  return scope.tapped((params, input, embedding) => {
    const resized = resample(input, mode, config.resample_filter);
    const x = flavor === 'enc' ? normalise(skip ? skip(params, resized) : resized, [3]) : resized;
    const modulation = tf.add(embLinear(params, embedding, param(params, embGain)), 1);
    const y = conv1(params, mpSilu(tf.mul<Image>(conv0(params, mpSilu(x)), tf.reshape(modulation, [-1, 1, 1, to]))));
    const main = flavor === 'dec' && skip ? skip(params, x) : x;
    const sum = mpSum(main, y, config.res_balance);
    const out = attended ? mpSum(sum, attended(params, sum), config.attn_balance) : sum;
    return config.clip_act === null ? out : tf.clipByValue(out, -config.clip_act, config.clip_act);
  });
};

type Part = Readonly<{ run: Layer<[Image, tf.Tensor2D], Image>; joins: boolean }>;

const unet = (root: Scope, config: Edm2Config): Layer<[Image, tf.Tensor1D, tf.Tensor2D | undefined], Image> => {
  const { img_resolution: resolution, img_channels: channels, label_dim, model_channels: base, channel_mult, num_blocks, attn_resolutions } = config;
  const widths = channel_mult.map((mult) => base * mult);
  const last = widths.length - 1;
  const noiseWidth = config.channel_mult_noise === null ? widths[0] as number : base * config.channel_mult_noise;
  const emb = config.channel_mult_emb === null ? Math.max(...widths) : base * config.channel_mult_emb;
  const outGain = gain(root, 'out_gain');
  const fourier = mpFourier(root.at('emb_fourier'), noiseWidth);
  const embNoise = mpLinear(root.at('emb_noise'), { from: noiseWidth, to: emb });
  const embLabel = label_dim === 0 ? undefined : mpLinear(root.at('emb_label'), { from: label_dim, to: emb });
  const encoder: Part[] = [];
  const skips: number[] = [];
  let width = channels + 1;
  widths.forEach((to, level) => {
    const size = resolution >> level;
    if (level === 0) {
      const conv = mpConv(root.at('enc').at(`${size}x${size}_conv`), { from: width, to, kernel: 3 });
      encoder.push({ run: (params, x) => conv(params, x), joins: false });
      width = to;
    } else encoder.push({ run: makeBlock(root.at('enc').at(`${size}x${size}_down`), config, { from: width, to: width, emb, flavor: 'enc', mode: 'down' }), joins: false });
    skips.push(width);
    for (let i = 0; i < num_blocks; i++) {
      encoder.push({ run: makeBlock(root.at('enc').at(`${size}x${size}_block${i}`), config, { from: width, to, emb, flavor: 'enc', attention: attn_resolutions.includes(size) }), joins: false });
      width = to;
      skips.push(width);
    }
  });
  const decoder: Part[] = [];
  for (let level = last; level >= 0; level--) {
    const size = resolution >> level;
    const at = (name: string): Scope => root.at('dec').at(`${size}x${size}_${name}`);
    if (level === last) {
      decoder.push({ run: makeBlock(at('in0'), config, { from: width, to: width, emb, flavor: 'dec', attention: true }), joins: false });
      decoder.push({ run: makeBlock(at('in1'), config, { from: width, to: width, emb, flavor: 'dec' }), joins: false });
    } else decoder.push({ run: makeBlock(at('up'), config, { from: width, to: width, emb, flavor: 'dec', mode: 'up' }), joins: false });
    for (let i = 0; i <= num_blocks; i++) {
      const to = widths[level] as number;
      decoder.push({ run: makeBlock(at(`block${i}`), config, { from: width + (skips.pop() as number), to, emb, flavor: 'dec', attention: attn_resolutions.includes(size) }), joins: true });
      width = to;
    }
  }
  const outConv = mpConv(root.at('out_conv'), { from: width, to: channels, kernel: 3 });
  return root.tapped((params, x, noise, labels) => {
    const noiseEmbedding = embNoise(params, fourier(params, noise));
    const mixed = embLabel && labels ? mpSum(noiseEmbedding, embLabel(params, tf.mul(labels, Math.sqrt(label_dim))), config.label_balance) : noiseEmbedding;
    const embedding = mpSilu(mixed);
    // A constant channel stands in for all biases.
    let h = tf.concat([x, tf.onesLike(tf.slice4d(x, [0, 0, 0, 0], [-1, -1, -1, 1]))], 3) as Image;
    const kept = encoder.map(({ run }) => (h = run(params, h, embedding)));
    for (const { run, joins } of decoder) h = run(params, joins ? mpCat(h, kept.pop() as Image, config.concat_balance) : h, embedding);
    return outConv(params, h, param(params, outGain));
  });
};

/** The denoised image, and the learned log variance of its error, [B, 1, 1, 1] (training only). */
export type Edm2Output = Readonly<{ denoised: Image; logvar: Image }>;

/**
 * Builds the denoiser: `(x, sigma, labels) -> { denoised, logvar }`.
 *   x       float32 [B, H, W, C] = clean + sigma n, H = W = img_resolution or a multiple that halves as often
 *   sigma   float32 [B]
 *   labels  float32 [B, label_dim], one-hot or zeros for none; left out when label_dim is 0
 * In training the weights are to be replaced by `normalise(weight)` after each update (forced weight normalisation).
 */
export const edm2 = (options: Readonly<Record<string, unknown>>): Network<[x: Image, sigma: tf.Tensor1D, labels?: tf.Tensor2D], Edm2Output> => {
  const config = edm2Config(options);
  return buildNetwork('edm2', config, (root) => {
    const inner = unet(root.at('unet'), config);
    const fourier = mpFourier(root.at('logvar_fourier'), config.logvar_channels);
    const logvarLinear = mpLinear(root.at('logvar_linear'), { from: config.logvar_channels, to: 1 });
    return (params, x, sigma, labels) => {
      const [batch] = x.shape;
      const given = config.label_dim === 0 ? undefined : labels ?? tf.zeros<tf.Rank.R2>([batch, config.label_dim]);
      const { cSkip, cOut, cIn, cNoise } = edmScalings(tf.reshape(sigma, [batch, 1, 1, 1]) as Image, config.sigma_data);
      const noise = tf.reshape(cNoise, [batch]) as tf.Tensor1D;
      const f = inner(params, tf.mul<Image>(cIn, x), noise, given);
      return {
        denoised: tf.add(tf.mul(cSkip, x), tf.mul(cOut, f)),
        logvar: tf.reshape(logvarLinear(params, fourier(params, noise)), [batch, 1, 1, 1]),
      };
    };
  });
};
