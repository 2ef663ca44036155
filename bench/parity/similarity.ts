/** Goldens of PSNR, SSIM and MS-SSIM. */
import { msSsim } from '../../src/losses/msSsim.ts';
import { mse } from '../../src/losses/mse.ts';
import { psnr } from '../../src/losses/psnr.ts';
import { type SsimOptions, ssim, ssimMaps } from '../../src/losses/ssim.ts';
import { gradientsOf } from '../../src/models/tape.ts';
import * as tf from '../../src/tf.ts';
import { compareTensor } from './compare.ts';
import { type Comparison, type Golden, type Handler, imageOf, toNchw, toleranceOf } from './golden.ts';

type Config = Readonly<Record<string, unknown>>;
const known: Readonly<Record<string, (value: never) => Partial<SsimOptions & { weights: readonly number[] }>>> = {
  data_range: (range: number) => ({ range }), win_size: (window: number) => ({ window }), win_sigma: (sigma: number) => ({ sigma }), sigma: (sigma: number) => ({ sigma }),
  K: ([k1, k2]: [number, number]) => ({ k1, k2 }), weights: (weights: readonly number[] | null) => (weights === null ? {} : { weights }),
  image: () => ({}), size_average: () => ({}), nonnegative_ssim: () => ({}),
};

/** pytorch-msssim's arguments as ours. @throws TypeError for one that is not known */
const optionsOf = (config: Config): SsimOptions & { weights?: readonly number[] } => Object.assign({}, ...Object.entries(config).map(([name, value]) => {
  const rename = known[name];
  if (!rename) throw new TypeError(`ssim: no option ${name}; known are ${Object.keys(known).join(', ')}`);
  return rename(value as never);
})) as SsimOptions;

/** A value for each image, and the gradient of their sum. */
const valueAndGradient = (f: (x: tf.Tensor4D) => tf.Tensor, x: tf.Tensor4D): { value: tf.Tensor; gradient: tf.Tensor } => {
  const { grads: [gradient], extra: value } = gradientsOf([x], () => { const value = f(x); return { loss: tf.sum(value) as tf.Scalar, extra: value }; });
  return { value, gradient: toNchw(gradient as tf.Tensor) };
};

/** What a name such as `ssim.uniform7` stands for. @throws TypeError for a name that is not known */
const variant = (name: string, options: SsimOptions): SsimOptions => {
  const found = /^ssim\.(uniform|gaussian|valid_gaussian)(\d+)$/.exec(name);
  if (!found) throw new TypeError(`ssim: no variant ${name}; known are ssim.uniform<n>, ssim.gaussian<n>, ssim.valid_gaussian<n>`);
  const [, kind, size] = found as unknown as [string, string, string];
  return { ...options, window: Number(size), ...(kind === 'uniform' ? { kind: 'uniform' as const, covariance: 'sample' as const } : {}) };
};

const run = async (golden: Golden): Promise<Comparison[]> => {
  const { io, manifest: { config } } = golden;
  const { weights, ...options } = optionsOf(config);
  /** Each channel's mean, below 0 cut off, then the mean over channels. */
  const nonNegative = (x: tf.Tensor4D, y: tf.Tensor4D): tf.Tensor => tf.mean(tf.relu(tf.mean(ssimMaps(x, y, options).similarity, [1, 2])), 1);
  const plain = config['nonnegative_ssim'] === true ? nonNegative : (x: tf.Tensor4D, y: tf.Tensor4D) => ssim(x, y, options);
  const reduce = (value: tf.Tensor, name: string): tf.Tensor => (io[name]?.data.length === 1 ? tf.mean(value) : value);
  const results: Record<string, tf.Tensor> = tf.tidy(() => {
    const [x, y] = [imageOf(golden, 'x'), imageOf(golden, 'y')];
    const out: Record<string, tf.Tensor> = {};
    for (const name of Object.keys(io)) {
      if (name === 'x' || name === 'y' || name in out) continue;
      if (name === 'mse') out[name] = mse(x, y);
      else if (name === 'psnr') out[name] = reduce(psnr(x, y, options), name);
      else if (name === 'ssim') out[name] = reduce(plain(x, y), name);
      else if (name === 'ms_ssim') out[name] = reduce(msSsim(x, y, { ...options, ...(weights && { weights }) }), name);
      else if (name === 'grad_x_of_sum') {
        const whole = 'ms_ssim' in io ? (z: tf.Tensor4D) => msSsim(z, y, { ...options, ...(weights && { weights }) }) : (z: tf.Tensor4D) => plain(z, y);
        out[name] = valueAndGradient(whole, x).gradient;
      } else if (name.endsWith('.map')) {
        out[name] = toNchw(ssimMaps(x, y, { ...variant(name.slice(0, -'.map'.length), options), borders: 'symmetric' }).similarity);
      } else if (name.endsWith('.grad_x')) {
        out[name] = valueAndGradient((z) => tf.mean(ssim(z, y, variant(name.slice(0, -'.grad_x'.length), options))), x).gradient;
      } else out[name] = reduce(ssim(x, y, variant(name, options)), name);
    }
    return out;
  });
  const comparisons = await Promise.all(Object.entries(results).map(([name, ours]) => compareTensor(golden, name, ours, toleranceOf(golden, name.includes('grad_x') ? 'gradient' : 'forward', 1e-4))));
  tf.dispose(results);
  return comparisons;
};

export const similarityHandlers: readonly Handler[] = [
  { kind: 'image similarity', matches: ({ manifest }) => /msssim/i.test(String(manifest.source?.['repo'])) || /scikit-image/.test(String(manifest.source?.['packages'])), run },
];
