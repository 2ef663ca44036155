import type { StateDict } from '../net.ts';

/** What attention layers were called in diffusers before 0.18, as in the autoencoders of SD 1 and 2. */
const successors: Readonly<Record<string, string>> = { query: 'to_q', key: 'to_k', value: 'to_v', proj_attn: 'to_out.0' };

/** The same weights under today's names, as diffusers renames them when it loads a model. @source diffusers, `_convert_deprecated_attention_blocks` */
export const modernNames = (state: StateDict): StateDict => Object.fromEntries(Object.entries(state).map(([name, entry]) =>
  [name.replace(/(\.attentions\.\d+\.)(query|key|value|proj_attn)(\.(?:weight|bias))$/, (_, place: string, old: string, part: string) => `${place}${successors[old]}${part}`), entry]));
