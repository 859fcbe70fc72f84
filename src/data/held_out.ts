// Which questions are held out: drawn by seed from each role, whole questions with all their answers.
import { createHash } from 'node:crypto';
import { createRng } from '../core/rng.ts';
import type { Conversation } from './sample.ts';

/** A 52-bit fingerprint of (role, question): enough to tell millions of questions apart in eight bytes each. */
export function questionKey({ role, question }: Pick<Conversation, 'role' | 'question'>): number {
  const digest = createHash('sha256')
    .update(JSON.stringify([role, question]))
    .digest();
  return digest.readUIntBE(0, 6) * 16 + ((digest[6] as number) >> 4);
}

/** Numbers questions in the order in which they are first seen. */
export class QuestionIds {
  private readonly ids = new Map<number, number>();

  idOf(key: number): number {
    const known = this.ids.get(key);
    if (known !== undefined) return known;
    this.ids.set(key, this.ids.size);
    return this.ids.size - 1;
  }

  get size(): number {
    return this.ids.size;
  }

  /** Questions that stand in both. */
  countShared(other: QuestionIds): number {
    let shared = 0;
    for (const key of other.ids.keys()) if (this.ids.has(key)) shared += 1;
    return shared;
  }
}

export type EvalSampling = 'per_role' | 'across_roles';

/**
 * Draws the questions to hold out: of the distinct questions of each role, or of all together, the nearest number to
 * `fraction`, at least one and never all; none where there is a single one. Independent of the order of the rows.
 * @returns keys of the questions that are held out
 */
export async function drawHeldOut(
  rows: AsyncIterable<Pick<Conversation, 'role' | 'question'>>,
  fraction: number,
  seed: number,
  sampling: EvalSampling = 'per_role',
): Promise<Set<number>> {
  const byRole = new Map<string, Set<number>>();
  for await (const row of rows) {
    const group = sampling === 'per_role' ? row.role : '';
    const keys = byRole.get(group) ?? new Set();
    byRole.set(group, keys.add(questionKey(row)));
  }
  const heldOut = new Set<number>();
  for (const [role, keys] of byRole) {
    const sorted = [...keys].sort((a, b) => a - b);
    const count = Math.min(sorted.length - 1, Math.max(1, Math.round(fraction * sorted.length)));
    for (const key of createRng(seed, 'held_out', role).shuffle(sorted).slice(0, count)) heldOut.add(key);
  }
  return heldOut;
}
