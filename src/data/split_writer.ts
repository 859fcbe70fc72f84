// One split while it is written: numbers its questions, counts, and passes the samples on to shards.
import { sha256 } from '../core/files.ts';
import { QuestionIds, questionKey } from './held_out.ts';
import type { SplitManifest } from './manifest.ts';
import type { BadRow } from './refusals.ts';
import {
  ANSWER_NOTES,
  type Conversation,
  DROP_REASONS,
  type Example,
  REFUSAL_REASONS,
  type RowPlace,
  type SplitStats,
} from './sample.ts';
import { ShardWriter } from './shards.ts';
import { countTargets, type Outcome } from './tokenize.ts';

export class SplitWriter {
  readonly questions = new QuestionIds();
  private readonly name: string;
  private readonly writer: ShardWriter;
  private readonly roles = new Set<string>();
  private readonly stats: SplitStats = emptyStats();

  constructor(folder: string, name: string, metadata: Map<string, string>) {
    this.name = name;
    this.writer = new ShardWriter(folder, name, metadata);
  }

  /** Takes what became of a conversation. */
  add(conversation: Conversation, outcome: Exclude<Outcome, { kind: 'refused' }>): void {
    if (outcome.kind === 'dropped') {
      this.stats.dropped[outcome.reason] += 1;
      const tokens = outcome.tokens > 0 ? `${outcome.tokens} tokens` : null;
      this.remember(outcome.reason, conversation, null, tokens);
      return;
    }
    const { input_ids, is_target } = outcome;
    const { role, question, answer_index, row } = conversation;
    const question_id = this.questions.idOf(questionKey(conversation));
    this.writer.append({ input_ids, is_target, role, question_id, answer_index, question, row });
    this.roles.add(role);
    if (outcome.isTruncated) {
      this.stats.truncated += 1;
      this.remember('truncated', conversation, this.stats.samples, null);
    }
    for (const note of ANSWER_NOTES) {
      if (outcome.notes[note] === 0) continue;
      this.stats.answers[note] += outcome.notes[note];
      this.remember(note, conversation, this.stats.samples, null);
    }
    this.stats.samples += 1;
    this.stats.tokens += input_ids.length;
    this.stats.targets += countTargets(is_target);
  }

  refuse(place: RowPlace, { reason, message }: BadRow): void {
    this.stats.refused[reason] += 1;
    this.remember(reason, place, null, message);
  }

  private remember(kind: Example['kind'], place: RowPlace, sample: number | null, problem: string | null): void {
    const { examples } = this.stats;
    if (examples.some((example) => example.kind === kind)) return;
    const { file, row, line } = place;
    examples.push({ kind, sample, problem, ...(line === undefined ? { file, row } : { file, row, line }) });
  }

  finish(): SplitManifest {
    const shards = this.writer.finish();
    const stats = { ...this.stats, roles: this.roles.size, questions: this.questions.size };
    return { name: this.name, shards, stats, hash: sha256(shards.map((shard) => shard.sha256).join('\n')) };
  }
}

/** The counts of a split before its first row. */
export function emptyStats(): SplitStats {
  const zeros = <K extends string>(keys: readonly K[]) =>
    Object.fromEntries(keys.map((key) => [key, 0])) as Record<K, number>;
  return {
    ...{ roles: 0, questions: 0, samples: 0, tokens: 0, targets: 0, truncated: 0 },
    dropped: zeros(DROP_REASONS),
    refused: zeros(REFUSAL_REASONS),
    answers: zeros(ANSWER_NOTES),
    examples: [],
  };
}
