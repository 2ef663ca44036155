/** Repositories of a model hub, kept in a folder: each file is fetched once, resumed where it broke off, and held to its checksum. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { WeightsError } from '../../errors.ts';
import { writeAtomically } from './saveSafetensors.ts';

/** One file of a repository. */
type Listed = Readonly<{ path: string; size: number; oid: string; sha256: string | undefined }>;

export type HubOptions = Readonly<{
  /** Branch, tag or commit. */
  revision?: string;
  /** Folders of a pipeline to fetch, such as `unet`; all by default. The files beside `model_index.json` always come along. */
  parts?: readonly string[];
  /** `fp16` and the like: fetches weights of that variant only; those without a variant by default. */
  variant?: string;
  /** Where repositories are kept; `MILLRACE_CACHE`, or `.cache/millrace/hub` in the home folder. */
  cache?: string;
  /** `HF_ENDPOINT`, or https://huggingface.co. */
  endpoint?: string;
  /** For repositories that want one; `HF_TOKEN` by default. */
  token?: string | undefined;
  onProgress?: (file: string, bytes: number, size: number) => void;
}>;

type Settings = Readonly<{ repo: string; revision: string; endpoint: string; folder: string; headers: Record<string, string>; onProgress: NonNullable<HubOptions['onProgress']> }>;

const wayOut = 'fetch it on another machine (huggingface-cli download, or git lfs clone) and give its folder instead';

/** A failed request in words: what could not be reached, and what to do about it. */
const unreachable = ({ repo, endpoint }: Settings, cause: unknown): WeightsError => {
  const { message, cause: inner } = cause as Error & { cause?: Error };
  return new WeightsError(repo, `${repo}: ${new URL(endpoint).host} cannot be reached (${inner?.message ?? message}): ${wayOut}`, cause);
};

const refused = ({ repo, endpoint }: Settings, status: number): WeightsError => {
  const reasons: Readonly<Record<number, string>> = { 401: 'access is not granted; set HF_TOKEN to a token of an account that accepted its terms', 404: 'there is no such repository, revision or file' };
  const why = reasons[status === 403 ? 401 : status] ?? wayOut;
  return new WeightsError(repo, `${repo}: ${new URL(endpoint).host} answered ${status}: ${why}`);
};

const isRecord = (value: unknown): value is Record<string, unknown> => value !== null && typeof value === 'object' && !Array.isArray(value);

/** An entry of the hub's listing. @throws WeightsError for one that would leave the folder */
const parseListed = ({ repo }: Settings, value: unknown): Listed[] => {
  if (!isRecord(value) || value['type'] !== 'file' || typeof value['path'] !== 'string' || typeof value['size'] !== 'number') return [];
  const path = normalize(value['path']);
  if (path.startsWith('..') || path.startsWith('/') || path.includes('\\')) throw new WeightsError(repo, `${repo}: the listing has a file outside of it, ${value['path']}`);
  const lfs = isRecord(value['lfs']) ? value['lfs'] : undefined;
  return [{ path, size: value['size'], oid: String(value['oid'] ?? ''), sha256: typeof lfs?.['oid'] === 'string' ? lfs['oid'] : undefined }];
};

const list = async (settings: Settings): Promise<Listed[]> => {
  const files: Listed[] = [];
  let url: string | undefined = `${settings.endpoint}/api/models/${settings.repo}/tree/${encodeURIComponent(settings.revision)}?recursive=true`;
  while (url !== undefined) {
    const answer: Response = await fetch(url, { headers: settings.headers }).catch((cause: unknown) => { throw unreachable(settings, cause); });
    if (!answer.ok) throw refused(settings, answer.status);
    const entries: unknown = await answer.json();
    if (!Array.isArray(entries)) throw new WeightsError(settings.repo, `${settings.repo}: expected a list of files from ${settings.endpoint}`);
    files.push(...entries.flatMap((entry) => parseListed(settings, entry)));
    url = /<([^>]+)>;\s*rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
  }
  return files;
};

/** Configurations and safetensors of the parts and the variant wanted. */
const wanted = (files: readonly Listed[], { parts, variant }: Pick<HubOptions, 'parts' | 'variant'>): Listed[] => files.filter(({ path }) => {
  const [part, ...rest] = path.split('/');
  if (rest.length > 0 && parts && !parts.includes(part as string)) return false;
  if (path.endsWith('.json')) return true;
  const own = /\.(fp16|fp32|bf16|non_ema|ema)(-\d{5}-of-\d{5})?\.safetensors$/.exec(path)?.[1];
  return path.endsWith('.safetensors') && (variant === undefined ? own === undefined : own === variant);
});

const digestOf = async (path: string, { size, sha256 }: Listed): Promise<string> => {
  const hash = createHash(sha256 === undefined ? 'sha1' : 'sha256');
  if (sha256 === undefined) hash.update(`blob ${size}\0`);
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
};

const sizeOn = async (path: string): Promise<number> => stat(path).then(({ size }) => size, () => 0);

/** Fetches one file beside its final place, going on where an earlier try ended. */
const fetchFile = async (settings: Settings, file: Listed): Promise<void> => {
  const { repo, endpoint, revision, folder, headers, onProgress } = settings;
  const [path, partial] = [join(folder, file.path), join(folder, `${file.path}.part`)];
  if (await sizeOn(path) === file.size) return;
  await mkdir(dirname(path), { recursive: true });
  let at = await sizeOn(partial);
  if (at > file.size) at = 0;
  if (at < file.size || file.size === 0) {
    const url = `${endpoint}/${repo}/resolve/${encodeURIComponent(revision)}/${file.path.split('/').map(encodeURIComponent).join('/')}`;
    const answer = await fetch(url, { headers: at > 0 ? { ...headers, range: `bytes=${at}-` } : headers }).catch((cause: unknown) => { throw unreachable(settings, cause); });
    if (!answer.ok) throw refused(settings, answer.status);
    if (answer.status !== 206) at = 0;
    const out = await open(partial, at > 0 ? 'r+' : 'w');
    try {
      for await (const chunk of answer.body ?? []) {
        await out.write(chunk as Uint8Array, 0, (chunk as Uint8Array).length, at);
        at += (chunk as Uint8Array).length;
        onProgress(file.path, at, file.size);
      }
      await out.truncate(at);
      await out.sync();
    } catch (cause) {
      throw new WeightsError(repo, `${repo}: ${file.path} broke off at ${at} of ${file.size} bytes; ask again to go on from there`, cause);
    } finally {
      await out.close();
    }
  }
  if (at !== file.size) throw new WeightsError(repo, `${repo}: ${file.path} ended at ${at} of ${file.size} bytes; ask again to go on from there`);
  const [digest, expected] = [await digestOf(partial, file), file.sha256 ?? file.oid];
  if (expected !== '' && digest !== expected) {
    await rm(partial, { force: true });
    throw new WeightsError(repo, `${repo}: ${file.path} has checksum ${digest} but ${expected} was expected: it was damaged on the way, and has been removed`);
  }
  await rename(partial, path);
};

const completeMark = '.complete.json';

/** Whether an earlier call fetched all that is wanted now; then no network is needed. */
const isComplete = async (folder: string, key: string): Promise<boolean> => {
  try {
    const mark = JSON.parse(await readFile(join(folder, completeMark), 'utf8')) as Record<string, readonly Readonly<{ path: string; size: number }>[]>;
    const files = mark[key];
    if (!files) return false;
    const sizes = await Promise.all(files.map(({ path }) => sizeOn(join(folder, path))));
    return files.every(({ size }, i) => sizes[i] === size);
  } catch {
    return false;
  }
};

const markComplete = async (folder: string, key: string, files: readonly Listed[]): Promise<void> => {
  const path = join(folder, completeMark);
  const before = await readFile(path, 'utf8').then((text) => JSON.parse(text) as Record<string, unknown>, () => ({}));
  await writeAtomically(path, [Buffer.from(JSON.stringify({ ...before, [key]: files.map(({ path: file, size }) => ({ path: file, size })) }))]);
};

/**
 * Fetches a repository's configurations and weights (safetensors only), or finds them where an earlier call put them.
 * @param repo such as `stabilityai/sd-turbo`
 * @returns the folder, for `loadModel`
 */
export const fetchRepository = (repo: string, options: HubOptions = {}): TE.TaskEither<WeightsError, string> => async () => {
  const { env } = process;
  const { revision = 'main', parts, variant, token = env['HF_TOKEN'], onProgress = () => {} } = options;
  const { cache = env['MILLRACE_CACHE'] ?? join(homedir(), '.cache', 'millrace', 'hub'), endpoint = env['HF_ENDPOINT'] ?? 'https://huggingface.co' } = options;
  if (!/^[\w.-]+\/[\w.-]+$/.test(repo) || repo.includes('..')) return E.left(new WeightsError(repo, `expected a repository as owner/name but received ${repo}`));
  const folder = join(cache, ...repo.split('/'), revision.replaceAll('/', '--'));
  const settings: Settings = { repo, revision, endpoint: endpoint.replace(/\/$/, ''), folder, headers: token ? { authorization: `Bearer ${token}` } : {}, onProgress };
  const key = JSON.stringify([parts ?? null, variant ?? null]);
  if (await isComplete(folder, key)) return E.right(folder);
  try {
    const files = wanted(await list(settings), options);
    if (!files.some(({ path }) => path.endsWith('.safetensors'))) {
      return E.left(new WeightsError(repo, `${repo}: there are no safetensors${variant === undefined ? '' : ` of variant ${variant}`} in it`));
    }
    for (const file of files) await fetchFile(settings, file);
    await markComplete(folder, key, files);
    return E.right(folder);
  } catch (cause) {
    return E.left(cause instanceof WeightsError ? cause : new WeightsError(repo, `${repo}: ${(cause as Error).message}`, cause));
  }
};
