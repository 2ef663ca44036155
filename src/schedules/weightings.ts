/**
 * Loss weights per image, as plain numbers: they follow from the times drawn, and enter the graph as a tensor (see `perImage`).
 * Each multiplies the mean squared error of what the network predicts. snr = alpha^2 / sigma^2.
 */
import type { Prediction } from './paths.ts';

/** What a weight on the x0 error becomes for another prediction: |eps err|^2 = snr |x0 err|^2, |v err|^2 = (snr + 1) |x0 err|^2, |flow err|^2 = |x0 err|^2 / t^2 with snr = ((1 - t) / t)^2. */
const perPrediction = (onX0: number, snr: number, prediction: Prediction): number => {
  switch (prediction) {
    case 'sample': return onX0;
    case 'epsilon': return onX0 / snr;
    case 'v_prediction': return onX0 / (snr + 1);
    case 'flow': return onX0 / (1 + Math.sqrt(snr)) ** 2;
  }
};

/**
 * min(snr, gamma) on the x0 error. Where snr is 0 (zero terminal SNR) the limit is taken: 1 for eps, 0 otherwise.
 * @source Hang et al. 2023, arXiv 2303.09556, eq. 8 and section 3.4; the flow row follows from the same equality
 */
export const minSnr = (snr: number, prediction: Prediction, gamma = 5): number => {
  if (!(gamma > 0)) throw new RangeError(`minSnr: expected gamma to be positive but received ${gamma}`);
  if (prediction === 'epsilon') return snr === 0 ? 1 : Math.min(1, gamma / snr);
  if (snr === Infinity) return prediction === 'sample' ? gamma : 0;
  return perPrediction(Math.min(snr, gamma), snr, prediction);
};

/** 1 / (k + snr)^gamma on the eps error. @source Choi et al. 2022 (P2), arXiv 2204.00227, eq. 9 */
export const p2 = (snr: number, { k = 1, gamma = 1 }: { k?: number; gamma?: number } = {}): number => 1 / (k + snr) ** gamma;

/** max(snr, 1) on the x0 error. @source Salimans and Ho 2022, arXiv 2202.00512, section 4 */
export const truncatedSnr = (snr: number): number => Math.max(snr, 1);

/** (sigma sigmaData)^2 / (sigma^2 + sigmaData^2)^2, a smooth Min-SNR for EDM-preconditioned targets. @source crowsonkb/k-diffusion, layers.py; Crowson et al. 2024, arXiv 2401.11605 */
export const softMinSnr = (sigma: number, sigmaData = 0.5): number => (sigma * sigmaData) ** 2 / (sigma ** 2 + sigmaData ** 2) ** 2;

/** Weights of consistency models on the x0 error, at snr = sigma^-2. @source Song et al. 2023, arXiv 2303.01469; openai/consistency_models, get_weightings */
export const consistencyWeight = (kind: 'snr' | 'snr+1' | 'karras' | 'truncated-snr' | 'uniform', snr: number, sigmaData = 0.5): number => {
  switch (kind) {
    case 'snr': return snr;
    case 'snr+1': return snr + 1;
    case 'karras': return snr + 1 / sigmaData ** 2;
    case 'truncated-snr': return truncatedSnr(snr);
    case 'uniform': return 1;
  }
};

/** SD3's weights on the flow error, for uniformly drawn t (never together with a logit-normal draw). @source Esser et al. 2024, arXiv 2403.03206, section 3.1 */
export const flowWeight = (kind: 'sigma_sqrt' | 'cosmap' | 'none', t: number): number => {
  switch (kind) {
    case 'sigma_sqrt': return t ** -2;
    case 'cosmap': return 2 / (Math.PI * (1 - 2 * t + 2 * t ** 2));
    case 'none': return 1;
  }
};
