// One split while it is written: numbers its questions, counts, and passes the samples on to shards.
import { sha256 } from '../core/files.ts';
import { QuestionIds, questionKey } from './held_out.ts';
import type { SplitManifest } from './manifest.ts';
import { type Conversation, DROP_REASONS, type DropReason, type SplitStats } from './sample.ts';
import { ShardWriter } from './shards.ts';
import { countTargets } from './tokenize.ts';

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

  /** @param isTruncated whether the sample was cut to fit */
  append(conversation: Conversation, input_ids: Int32Array, is_target: Uint8Array, isTruncated: boolean): void {
    const { role, question, answer_index, row } = conversation;
    const question_id = this.questions.idOf(questionKey(conversation));
    this.writer.append({ input_ids, is_target, role, question_id, answer_index, question, row });
    this.roles.add(role);
    this.stats.samples += 1;
    this.stats.tokens += input_ids.length;
    this.stats.targets += countTargets(is_target);
    if (isTruncated) this.stats.truncated += 1;
  }

  drop(reason: DropReason): void {
    this.stats.dropped[reason] += 1;
  }

  finish(): SplitManifest {
    const shards = this.writer.finish();
    const stats = { ...this.stats, roles: this.roles.size, questions: this.questions.size };
    return { name: this.name, shards, stats, hash: sha256(shards.map((shard) => shard.sha256).join('\n')) };
  }
}

function emptyStats(): SplitStats {
  const dropped = Object.fromEntries(DROP_REASONS.map((reason) => [reason, 0])) as Record<DropReason, number>;
  return { roles: 0, questions: 0, samples: 0, tokens: 0, targets: 0, dropped, truncated: 0 };
}
