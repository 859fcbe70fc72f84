// Reads, tokenises and writes the splits of a run as one stream, with memory that does not grow with the data.
import { UserError } from '../core/errors.ts';
import { breathe } from '../core/interrupt.ts';
import { drawHeldOut, questionKey } from './held_out.ts';
import type { Identity, Manifest, SplitManifest } from './manifest.ts';
import type { DataSettings, PrepareOptions, PrepareProgress } from './prepare_options.ts';
import { createPromptEncoder } from './prompt.ts';
import type { Conversation } from './sample.ts';
import type { DataSource } from './source.ts';
import { SplitWriter } from './split_writer.ts';
import type { PromptTemplate } from './templates.ts';
import { type PoolResult, tokenizeAll } from './tokenize_pool.ts';
import type { Tokenizer } from './tokenizer.ts';

/** Everything that one folder of shards is made from. */
export interface Job {
  options: PrepareOptions;
  source: DataSource;
  tokenizer: Tokenizer;
  template: PromptTemplate;
  folder: string;
  identity: Identity;
  rows: number;
}

/**
 * Tokenises the splits of a run into the shards of a folder.
 * @throws UserError for bad rows, samples that are too long with overflow `error`, and a split in which nothing is left
 */
export async function writeSplits(job: Job, folder: string): Promise<Manifest> {
  const { options, source, identity } = job;
  const { data, seed } = options;
  const metadata = new Map(Object.entries(identity));
  const train = new SplitWriter(folder, 'train', metadata);
  const hasEval = data.eval_split !== null || data.eval_fraction !== null;
  const evaluation = hasEval ? new SplitWriter(folder, 'eval', metadata) : null;
  const { eval_fraction } = data;
  const rows = source.conversations(data.train_split);
  const heldOut = eval_fraction === null ? null : await drawHeldOut(rows, eval_fraction, seed);
  const progress = { rows: 0, total_rows: job.rows, tokens: 0 };
  const isHeldOut = (conversation: Conversation) => heldOut?.has(questionKey(conversation)) ?? false;
  await fill(job, data.train_split, progress, (row) => (isHeldOut(row) && evaluation !== null ? evaluation : train));
  if (data.eval_split !== null && evaluation !== null) {
    await fill(job, data.eval_split, progress, () => evaluation);
  }
  return {
    format_version: 1,
    identity,
    train: finishSplit(train, data.train_split),
    eval: evaluation === null ? null : finishSplit(evaluation, data.eval_split ?? `${eval_fraction} of the questions`),
    roles: source.roles(),
    shared_questions: evaluation === null ? 0 : train.questions.countShared(evaluation.questions),
  };
}

/** Tokenises one file split into the writers that `route` names. */
async function fill(
  job: Job,
  split: string,
  progress: PrepareProgress,
  route: (conversation: Conversation) => SplitWriter,
): Promise<void> {
  const { options, source, tokenizer, template } = job;
  const { data, workers, onProgress, tokenizer_folder } = options;
  const countRow = () => {
    progress.rows += 1;
  };
  const { max_seq_length, overflow } = data;
  const settings = { tokenizer_folder, template, limits: { max_seq_length, overflow } };
  const encoder = createPromptEncoder(tokenizer, template);
  for await (const result of tokenizeAll(source.conversations(split, countRow), encoder, settings, workers)) {
    appendBatch(result, route, data);
    progress.tokens += result.batch.input_ids.length;
    onProgress?.({ ...progress });
    await breathe();
  }
}

function appendBatch(
  { conversations, batch }: PoolResult,
  route: (conversation: Conversation) => SplitWriter,
  { max_seq_length }: DataSettings,
): void {
  if (batch.too_long !== null) {
    const { file, row, tokens } = batch.too_long;
    throw new UserError(
      `${file}:${row}: expected at most ${max_seq_length} tokens (data.max_seq_length), got ${tokens}; ` +
        'raise data.max_seq_length, or set data.overflow to drop or truncate_answer.',
    );
  }
  let start = 0;
  for (const [i, conversation] of conversations.entries()) {
    const writer = route(conversation);
    const reason = batch.dropped[i] ?? null;
    if (reason !== null) {
      writer.drop(reason);
      continue;
    }
    const end = start + (batch.lengths[i] as number);
    const ids = batch.input_ids.subarray(start, end);
    writer.append(conversation, ids, batch.is_target.subarray(start, end), batch.is_truncated[i] === 1);
    start = end;
  }
}

function finishSplit(writer: SplitWriter, name: string): SplitManifest {
  const split = writer.finish();
  if (split.stats.samples > 0) return split;
  const reasons = Object.entries(split.stats.dropped).filter(([, count]) => count > 0);
  const got = reasons.length === 0 ? 'no rows' : `all dropped (${reasons.map((pair) => pair.join(': ')).join(', ')})`;
  throw new UserError(
    `data: expected at least one sample in ${split.name} (${name}), got ${got}; ` +
      'look at data.path, data.max_seq_length and data.overflow.',
  );
}
