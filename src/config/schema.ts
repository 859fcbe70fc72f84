// The config: every key once, with type, default, bound and meaning; the rules between keys stand at the end.
// Strict objects: an unknown key is an error. Nothing here opens a file.
import { z } from 'zod';

/** Modules that stay frozen: adapters on them would not survive a tied head or a merge. */
const REFUSED_MODULES = ['lm_head', 'embed_tokens'];

const positiveInt = z.int().min(1);

const model = z.strictObject({
  base: z
    .string()
    .min(1)
    .default('checkpoints/base/smollm2-135m-instruct')
    .describe('The base model: a Hugging Face folder, or a name that `rocit fetch` knows'),
  adapter: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe('A PEFT or run folder to start from, with its settings under lora; null starts afresh'),
  dtype: z
    .enum(['float32', 'bfloat16'])
    .default('float32')
    .describe('Number type of the frozen weights and activations; adapter weights are always float32'),
});

const data = z.strictObject({
  source: z
    .enum(['rolebench', 'chat_jsonl'])
    .default('rolebench')
    .describe('RoleBench as released, or chat rows: `messages`, or `conversations` as ShareGPT has them'),
  path: z
    .string()
    .min(1)
    .default('data/rolebench')
    .describe('Folder of the data, relative to the working directory; for chat rows also one file of them'),
  language: z.enum(['eng', 'zh']).default('eng').describe('Language half of RoleBench and of the system instruction'),
  generalization: z
    .enum(['instruction', 'role'])
    .default('instruction')
    .describe('Which English split of RoleBench: unseen instructions or unseen roles'),
  kinds: z
    .array(z.enum(['general', 'role_specific']))
    .min(1)
    .default(['general', 'role_specific'])
    .describe('Kinds of RoleBench questions to read'),
  train_split: z.string().min(1).default('train').describe("The training file's name without .jsonl or .json"),
  eval_split: z
    .string()
    .min(1)
    .nullable()
    .default('test')
    .describe(
      "The held-out file's name without .jsonl or .json; null when eval_fraction draws it from the training file, or for no evaluation",
    ),
  eval_fraction: z
    .number()
    .gt(0)
    .lt(1)
    .nullable()
    .default(null)
    .describe('Share of the questions held out by seed, all answers of a question together; null holds none out'),
  eval_sampling: z
    .enum(['per_role', 'across_roles'])
    .default('per_role')
    .describe(
      'What eval_fraction is a share of; per_role: the questions of each role; across_roles: all questions together, for rows that have a persona each',
    ),
  answers: z.enum(['all', 'first']).default('all').describe('How many of the answers to one question to train on'),
  answer_weight: z
    .enum(['uniform', 'balanced'])
    .default('uniform')
    .describe(
      'Weight of an answer in the training loss; uniform: each target token counts the same; balanced: 1 / number of answers to its question',
    ),
  template: z
    .enum(['rolellama', 'chatglm2', 'chat_template'])
    .default('rolellama')
    .describe("Prompt markup: the RoleLLaMA paper's, ChatGLM2's, or the base model's own chat template"),
  template_date: z.iso
    .date()
    .default('2024-07-26')
    .describe(
      'The day that a chat template is told when it asks for one (strftime_now), so that prompts stay the same',
    ),
  on_bad_row: z
    .enum(['error', 'drop'])
    .default('error')
    .describe(
      'What happens to rows that are broken, or that the chat template refuses; drop leaves them out and counts them',
    ),
  max_seq_length: z.int().min(8).default(1024).describe('Longest sample in tokens, prompt and answer together'),
  overflow: z
    .enum(['drop', 'truncate_answer', 'error'])
    .default('drop')
    .describe(
      'What happens to samples longer than max_seq_length; a sample longer than a pack is always an error, so packing.max_tokens_per_pack must be at least max_seq_length',
    ),
});

const lora = z.strictObject({
  r: positiveInt.default(16).describe('Rank of the adapters'),
  lora_alpha: z
    .number()
    .gt(0)
    .default(32)
    .describe('Scaling is lora_alpha / r, or lora_alpha / sqrt(r) with use_rslora'),
  lora_dropout: z
    .number()
    .min(0)
    .lt(1)
    .default(0)
    .describe('Dropout on the input of lora_A while training; samples that share a token share its mask'),
  target_modules: z
    .union([z.literal('all-linear'), z.array(z.string().min(1)).min(1)])
    .default('all-linear')
    .describe('Names of the linear layers that get an adapter, or all-linear for all of them but the head'),
  use_rslora: z.boolean().default(false).describe('Rank-stabilised scaling'),
});

const packing = z.strictObject({
  strategy: z
    .enum(['tree', 'sequence', 'none'])
    .default('tree')
    .describe(
      'The same loss and gradients, faster or slower; tree: tokens that samples begin with alike are computed once a micro-batch; sequence: samples laid end to end, none sees another; none: one sample a micro-batch',
    ),
  max_tokens_per_pack: positiveInt.default(4096).describe('Most tokens of a micro-batch; bounds memory'),
});

const batching = z.strictObject({
  samples_per_step: positiveInt
    .default(64)
    .describe(
      'Samples of one optimizer step; with roles_per_step fewer where the next whole question has no room, more only for a question with more answers',
    ),
  roles_per_step: positiveInt
    .nullable()
    .default(8)
    .describe('Roles those samples are drawn from, by whole questions; null is a uniform shuffle of all samples'),
});

/** Closer to 1 float32 cannot hold the bias correction. */
const beta = z.number().min(0).max(0.999999);

const optimizer = z.strictObject({
  learning_rate: z.number().gt(0).max(1).default(2e-4).describe('Peak learning rate of AdamW'),
  betas: z.tuple([beta, beta]).default([0.9, 0.999]).describe('Decay rates of the two moments'),
  eps: z.number().gt(0).default(1e-8).describe('Added to the root of the second moment'),
  weight_decay: z.number().min(0).default(0).describe('Decoupled weight decay of the adapter weights'),
  max_grad_norm: z.number().min(0).default(1).describe('Global gradient norm is clipped to this; 0 turns clipping off'),
});

const schedule = z.strictObject({
  name: z.enum(['constant', 'linear', 'cosine']).default('cosine').describe('Learning rate after the warm-up'),
  warmup_ratio: z.number().min(0).max(1).default(0.03).describe('Share of the steps with a linear warm-up'),
});

const training = z.strictObject({
  num_epochs: positiveInt.default(1).describe('Passes over the training samples'),
  max_steps: positiveInt.nullable().default(null).describe('Stops after this many steps; null runs all epochs'),
  eval_steps: positiveInt.default(50).describe('Steps between evaluations; the start and the end are evaluated too'),
  save_steps: positiveInt.default(50).describe('Steps between checkpoints'),
  save_minutes: z.number().gt(0).default(10).describe('Minutes between checkpoints, whichever comes first'),
  save_total_limit: positiveInt.default(2).describe('Checkpoints kept besides the best'),
  recompute: z
    .enum(['none', 'block'])
    .default('none')
    .describe('block: a second forward of each decoder block in place of stored activations'),
  seed: z.int().min(0).max(0xffff_ffff).default(0).describe('Seed of the adapters, the order of samples and dropout'),
});

/** Text for issues of rules between keys: `expected …, got …; what to do.` */
type Report = (path: (string | number)[], message: string) => void;

function checkData(config: z.infer<typeof data>, report: Report): void {
  const { source, language, generalization, eval_split, eval_fraction, kinds } = config;
  if (source === 'rolebench' && generalization === 'role' && language !== 'eng') {
    const what = `expected instruction with data.language ${language}, got role`;
    report(['data', 'generalization'], `${what}; only the English half of RoleBench holds out roles.`);
  }
  if (eval_split !== null && eval_fraction !== null) {
    const what = `expected null beside data.eval_split ${eval_split}, got ${eval_fraction}`;
    report(['data', 'eval_fraction'], `${what}; set data.eval_split=null to hold out a fraction.`);
  }
  if (new Set(kinds).size !== kinds.length) {
    report(['data', 'kinds'], `expected each kind once, got ${JSON.stringify(kinds)}; leave the second one out.`);
  }
}

function checkTargets(targets: z.infer<typeof lora>['target_modules'], report: Report): void {
  if (targets === 'all-linear') return;
  const refused = targets.filter((name) => REFUSED_MODULES.includes(name.split('.').at(-1) ?? name));
  if (refused.length > 0) {
    const what = `expected linear layers of the decoder, got ${refused.join(', ')}`;
    report(['lora', 'target_modules'], `${what}; leave out the head and the embeddings, which stay frozen.`);
  }
}

const sections = z.strictObject({
  model: model.prefault({}).describe('The base model'),
  data: data.prefault({}).describe('What is trained and evaluated on'),
  lora: lora.prefault({}).describe('The adapters, under the names of PEFT'),
  packing: packing.prefault({}).describe('How samples become micro-batches'),
  batching: batching.prefault({}).describe('What one optimizer step holds'),
  optimizer: optimizer.prefault({}).describe('AdamW'),
  schedule: schedule.prefault({}).describe('The learning rate over the steps'),
  training: training.prefault({}).describe('Length, evaluation, checkpoints, seed'),
  output_dir: z.string().min(1).default('checkpoints/my_run').describe('The run folder'),
});

/** The whole config. Parsing fills every default; rules between keys are checked when each key is right by itself. */
export const configSchema = sections.superRefine((config, context) => {
  const report: Report = (path, message) => context.addIssue({ code: 'custom', path, message });
  checkData(config.data, report);
  checkTargets(config.lora.target_modules, report);
  const { max_tokens_per_pack } = config.packing;
  const { max_seq_length } = config.data;
  if (max_tokens_per_pack < max_seq_length) {
    const what = `expected at least data.max_seq_length (${max_seq_length}), got ${max_tokens_per_pack}`;
    report(['packing', 'max_tokens_per_pack'], `${what}; a pack must hold the longest sample.`);
  }
});

export type Config = z.infer<typeof configSchema>;

export type JsonSchema = z.core.JSONSchema.BaseSchema;

/** The JSON schema of the config as a user writes it (defaults may be left out), for editors and for error texts. */
export function configJsonSchema(): JsonSchema {
  const schema: z.ZodType = configSchema;
  return z.toJSONSchema(schema, { io: 'input' });
}
