// A prepared split: its numbers at once, its samples shard by shard when they are asked for.

import type { SplitManifest } from './manifest.ts';
import type { PlanSource } from './plan.ts';
import type { SplitStats, TokenizedSample } from './sample.ts';
import { checkShardSize, readShard, type Shard } from './shards.ts';

export interface PreparedSplit extends PlanSource {
  name: string;
  numSamples: number;
  /** Names of the roles; `roleIds` points into it. */
  roles: readonly string[];
  roleIds: Int32Array;
  questionIds: Int32Array;
  stats: SplitStats;
  /** Equal where the samples are equal. */
  hash: string;
  /** Sample i in file order. */
  sample(i: number): TokenizedSample;
}

/**
 * Opens a split. Every shard's size is checked here and its hash when it is first read; once read it stays in memory.
 * @throws UserError when a shard is missing, truncated or damaged
 */
export function openSplit(folder: string, { name, shards, stats, hash }: SplitManifest): PreparedSplit {
  for (const info of shards) checkShardSize(folder, info);
  const starts = [0];
  for (const { samples } of shards) starts.push((starts.at(-1) as number) + samples);
  const numSamples = starts.at(-1) as number;
  const open: (Shard | undefined)[] = [];
  const shard = (k: number): Shard => {
    const info = shards[k];
    if (info === undefined) throw new Error(`split ${name} has no shard ${k}`);
    open[k] ??= readShard(folder, info);
    return open[k];
  };
  let index: Index | null = null;
  const indexOf = (): Index => {
    index ??= readIndex(
      shards.map((_, k) => shard(k)),
      numSamples,
    );
    return index;
  };
  return {
    name,
    numSamples,
    stats,
    hash,
    get roles() {
      return indexOf().roles;
    },
    get roleIds() {
      return indexOf().roleIds;
    },
    get questionIds() {
      return indexOf().questionIds;
    },
    sample(i) {
      if (!(i >= 0 && i < numSamples))
        throw new Error(`split ${name} has ${numSamples} samples, sample ${i} was asked for`);
      const k = starts.findLastIndex((start) => start <= i);
      return shard(k).sample(i - (starts[k] as number));
    },
  };
}

interface Index {
  roles: string[];
  roleIds: Int32Array;
  questionIds: Int32Array;
}

function readIndex(shards: readonly Shard[], numSamples: number): Index {
  const roles = new Map<string, number>();
  const roleIds = new Int32Array(numSamples);
  const questionIds = new Int32Array(numSamples);
  let at = 0;
  for (const shard of shards) {
    for (let i = 0; i < shard.length; i++) {
      const role = shard.role(i);
      const id = roles.get(role) ?? roles.size;
      roles.set(role, id);
      roleIds[at] = id;
      questionIds[at] = shard.questionId(i);
      at += 1;
    }
  }
  return { roles: [...roles.keys()], roleIds, questionIds };
}
