/** Whether the straight line works, by criteria that were set before anything was trained. Plain numbers. */
import type { LineKind } from '../../models/lineAutoencoder.ts';
import type { ArmFindings } from './measureArm.ts';

type Seen = Pick<ArmFindings, 'scores' | 'line' | 'straightness' | 'crossing'>;

/** Findings on held-out pairs. */
export type Evidence = Readonly<{
  kind: LineKind;
  /** An autoencoder without the idea, with a flow between its latents. */
  plain: Seen;
  line: Seen;
  /** The idea on pairs that do not belong together. */
  shuffled: Seen;
  /** PSNR of a network that answers the target at once, in dB. */
  direct: number;
  /** Share of the variance of what the shift leaves over that a linear map of the source's latent explains. */
  explained: number;
}>;

export type Criterion = Readonly<{ holds: boolean; text: string }>;

export type Verdict = Readonly<{
  /** The idea does what it is meant to: the first three criteria. */
  works: boolean;
  /** And it is as good as doing without latents: the fourth. */
  worthKeeping: boolean;
  criteria: readonly Criterion[];
  /** What the residual says about the task. */
  reading: string;
}>;

const db = (value: number): string => `${value.toFixed(2)} dB`;
const share = (value: number): string => value.toFixed(3);

/** The idea's own translation: one step of the velocity where straight flows were asked for, else the shift. */
export const ownScore = (kind: LineKind, { scores }: Pick<Seen, 'scores'>): number => (kind === 'flow' ? scores.oneStep : scores.shift);

const readingOf = ({ explained, line: { line: { residual } } }: Evidence): string => {
  const found = `the shift leaves ${share(residual)} of the displacements' energy, of which a linear map of the source's latent explains ${share(explained)}`;
  if (explained > 0.5) return `${found}: the target follows from the source, and a deterministic map suffices`;
  if (residual <= 0.1) return `${found}: next to nothing is left to explain`;
  return explained < 0.1 ? `${found}: what is left has to be drawn, by a generative model of the residual` : `${found}: in part the target follows from the source, in part it has to be drawn`;
};

/**
 * Decides. The idea works when, on held-out pairs, its one step reaches that of twenty steps of a flow between plain latents less 0.5 dB, the autoencoder loses at
 * most 1 dB by it, and torn pairs do not show the same; it is worth keeping when it also reaches direct regression less 0.5 dB.
 */
export const decide = (evidence: Evidence): Verdict => {
  const { kind, plain, line, shuffled, direct } = evidence;
  const own = ownScore(kind, line);
  const drop = (arm: Seen): number => plain.scores.reconstruction - arm.scores.reconstruction;
  // Torn pairs show it when they, too, come to lie on a line without the autoencoder giving anything up for it.
  const isShown = shuffled.line.residual <= 1.5 * line.line.residual && drop(shuffled) <= 1;
  const criteria: readonly Criterion[] = [
    { holds: own >= plain.scores.manySteps - 0.5, text: `it translates at ${db(own)}; twenty steps of a flow between plain latents at ${db(plain.scores.manySteps)} (it may be 0.5 dB below)` },
    { holds: drop(line) <= 1, text: `it reconstructs at ${db(line.scores.reconstruction)}, the plain autoencoder at ${db(plain.scores.reconstruction)} (it may lose 1 dB)` },
    { holds: !isShown, text: `torn pairs leave ${share(shuffled.line.residual)} of their displacement and reconstruct at ${db(shuffled.scores.reconstruction)}; true pairs leave ${share(line.line.residual)} (torn ones must do worse)` },
    { holds: own >= direct - 0.5, text: `direct regression reaches ${db(direct)} (it may be 0.5 dB below)` },
  ];
  const works = criteria.slice(0, 3).every(({ holds }) => holds);
  return { works, worthKeeping: works && (criteria[3] as Criterion).holds, criteria, reading: readingOf(evidence) };
};

/** The verdict as lines to print. @param pairs held-out pairs it rests on */
export const verdictLines = ({ works, worthKeeping, criteria, reading }: Verdict, { kind, line, plain }: Evidence, pairs: number): readonly string[] => [
  `straight line (${kind}), on ${pairs} held-out pairs: ${works ? 'it works' : 'it does not work'}${works ? (worthKeeping ? ', and is worth keeping' : ', but is not worth keeping') : ''}`,
  ...criteria.map(({ holds, text }) => `  ${holds ? 'yes' : 'no '}  ${text}`),
  `  ${reading}`,
  `  latents of pairs: mean resultant ${share(line.line.resultant)} (plain ${share(plain.line.resultant)}), rank-one share ${share(line.line.rankOne)} (${share(plain.line.rankOne)}), shift over content ${share(line.line.swamping)}, effective rank ${
    line.line.effectiveRank.toFixed(1)} (${plain.line.effectiveRank.toFixed(1)}), paths ${share(line.straightness)} from straight (${share(plain.straightness)}), crossing ${share(line.crossing)} (${share(plain.crossing)})`,
  `  against the target: a + shift ${db(line.scores.shift)}, one step ${db(line.scores.oneStep)}, twenty ${db(line.scores.manySteps)}; the target's own latent ${db(line.scores.upper)}, the source's ${db(line.scores.identity)}`,
];
