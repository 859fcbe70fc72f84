// Reads, tokenises and writes the splits of a run as one stream, with memory that does not grow with the data.
import { UserError } from '../core/errors.ts';
import { breathe } from '../core/interrupt.ts';
import { drawHeldOut, questionKey } from './held_out.ts';
import type { Identity, Manifest, SplitManifest } from './manifest.ts';
import type { DataSettings, PrepareOptions, PrepareProgress } from './prepare_options.ts';
import { createPromptEncoder } from './prompt.ts';
import { type BadRow, placeText, Refusals } from './refusals.ts';
import type { Conversation, DropReason, RowPlace } from './sample.ts';
import type { DataSource } from './source.ts';
import { SplitWriter } from './split_writer.ts';
import type { PromptTemplate } from './templates.ts';
import { tokenizeAll } from './tokenize.ts';
import type { Tokenizer } from './tokenizer.ts';

/** Everything that one folder of shards is made from. */
export interface Job {
  options: PrepareOptions;
  source: DataSource;
  tokenizer: Tokenizer;
  template: PromptTemplate;
  folder: string;
  identity: Identity;
  /** Of all files of the splits. */
  bytes: number;
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
  const refusals = new Refusals(data.on_bad_row);
  // What is wrong with a row is told where it is tokenised.
  const rows = source.conversations(data.train_split, { onBad: () => {} });
  const heldOut = eval_fraction === null ? null : await drawHeldOut(rows, eval_fraction, seed, data.eval_sampling);
  const progress = { bytes: 0, total_bytes: job.bytes, tokens: 0 };
  const isHeldOut = (conversation: Conversation) => heldOut?.has(questionKey(conversation)) ?? false;
  const route = (row: Conversation) => (isHeldOut(row) && evaluation !== null ? evaluation : train);
  await fill(job, data.train_split, { progress, refusals, route, main: train });
  if (data.eval_split !== null && evaluation !== null) {
    await fill(job, data.eval_split, { progress, refusals, route: () => evaluation, main: evaluation });
  }
  refusals.finish();
  return {
    format_version: 2,
    identity,
    train: finishSplit(train, data.train_split, data),
    eval:
      evaluation === null
        ? null
        : finishSplit(evaluation, data.eval_split ?? `${eval_fraction} of the questions`, data),
    roles: source.roles(),
    shared_questions: evaluation === null ? 0 : train.questions.countShared(evaluation.questions),
    ignored_keys: source.ignoredKeys(),
  };
}

interface Filling {
  progress: PrepareProgress;
  refusals: Refusals;
  /** The writer of a conversation. */
  route: (conversation: Conversation) => SplitWriter;
  /** The writer that counts rows which are no conversations. */
  main: SplitWriter;
}

/** Tokenises one file split into its writers. */
async function fill(job: Job, split: string, { progress, refusals, route, main }: Filling): Promise<void> {
  const { options, source, tokenizer, template } = job;
  const { data, onProgress } = options;
  const refuse = (writer: SplitWriter, place: RowPlace, fault: BadRow) => {
    writer.refuse(place, fault);
    refusals.add(place, fault);
  };
  const rows = source.conversations(split, {
    onBad: (place, fault) => refuse(main, place, fault),
    onBytes: (bytes) => {
      progress.bytes += bytes;
    },
  });
  const encoder = createPromptEncoder(tokenizer, template);
  for await (const { conversations, outcomes } of tokenizeAll(rows, encoder, data)) {
    for (const [i, outcome] of outcomes.entries()) {
      const conversation = conversations[i] as Conversation;
      const writer = route(conversation);
      if (outcome.kind === 'refused') {
        refuse(writer, conversation, outcome.fault);
        continue;
      }
      if (outcome.kind === 'dropped') refuseTooLong(conversation, outcome, data);
      else progress.tokens += outcome.input_ids.length;
      writer.add(conversation, outcome);
    }
    onProgress?.({ ...progress });
    await breathe();
  }
}

function refuseTooLong(
  place: RowPlace,
  { reason, tokens }: { reason: DropReason; tokens: number },
  data: DataSettings,
) {
  if (data.overflow !== 'error' || reason !== 'too_long') return;
  throw new UserError(
    `${placeText(place)}: expected at most ${data.max_seq_length} tokens (data.max_seq_length), got ${tokens}; ` +
      'raise data.max_seq_length, or set data.overflow to drop or truncate_answer.',
  );
}

function finishSplit(writer: SplitWriter, name: string, data: DataSettings): SplitManifest {
  const split = writer.finish();
  const { samples, dropped, refused } = split.stats;
  if (samples > 0) return split;
  const reasons = Object.entries({ ...dropped, ...refused }).filter(([, count]) => count > 0);
  const isDrawn = split.name === 'eval' && data.eval_split === null;
  if (isDrawn && reasons.length === 0 && data.eval_sampling === 'per_role') {
    throw new UserError(
      `data.eval_fraction: expected a role with at least two questions to hold one out, got one for ` +
        'every role (rows with a persona each have a role each); set data.eval_sampling=across_roles to draw from all ' +
        'questions, or data.eval_fraction=null to train without evaluation.',
    );
  }
  const got = reasons.length === 0 ? 'no rows' : `none kept (${reasons.map((pair) => pair.join(': ')).join(', ')})`;
  throw new UserError(
    `data: expected at least one sample in ${split.name} (${name}), got ${got}; ` +
      'look at data.path, data.max_seq_length, data.overflow and data.on_bad_row.',
  );
}
