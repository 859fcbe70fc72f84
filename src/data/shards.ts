// Tokenised samples on disk: one Arrow IPC file a shard, with one record batch. Memory while writing is one shard; a
// shard that was read stays as Arrow buffers. Which shards belong together stands in the manifest (manifest.ts).
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  Bool,
  type Data,
  Dictionary,
  Field,
  Int32,
  List,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  Table,
  tableFromIPC,
  tableToIPC,
  Utf8,
  Vector,
} from 'apache-arrow';
import { UserError } from '../core/errors.ts';
import { sha256 } from '../core/files.ts';
import type { TokenizedSample } from './sample.ts';

export interface ShardInfo {
  file: string;
  samples: number;
  tokens: number;
  bytes: number;
  sha256: string;
}

/** A sample on its way into a shard; the arrays may be views. */
export interface ShardRow extends Omit<TokenizedSample, 'input_ids' | 'is_target'> {
  input_ids: Int32Array;
  is_target: Uint8Array;
}

const MAX_TOKENS = 1 << 20;
const MAX_SAMPLES = 1 << 14;

type Columns = {
  role: Dictionary<Utf8, Int32>;
  question_id: Int32;
  answer_index: Int32;
  row: Int32;
  question: Utf8;
  input_ids: List<Int32>;
  is_target: List<Bool>;
};

const ITEM_IDS = new Field('item', new Int32(), false);
const ITEM_FLAGS = new Field('item', new Bool(), false);

/**
 * Collects rows and writes a file whenever enough have come. Tokens are copied at once into buffers that every shard
 * uses again: arrays that live until a file is full would only be freed by a full garbage collection.
 */
export class ShardWriter {
  private readonly shards: ShardInfo[] = [];
  private readonly folder: string;
  private readonly name: string;
  private readonly metadata: Map<string, string>;
  private ids = new Int32Array(MAX_TOKENS);
  /** One bit a token. */
  private flags = new Uint8Array(MAX_TOKENS / 8);
  private offsets: number[] = [0];
  private rows: Omit<ShardRow, 'input_ids' | 'is_target'>[] = [];

  /**
   * @param name files are called <name>-00000.arrow, …
   * @param metadata stands in the Arrow schema
   */
  constructor(folder: string, name: string, metadata: Map<string, string>) {
    this.folder = folder;
    this.name = name;
    this.metadata = metadata;
  }

  append({ input_ids, is_target, ...row }: ShardRow): void {
    if (this.rows.length >= MAX_SAMPLES || this.tokens + input_ids.length > this.ids.length) this.flush();
    if (input_ids.length > this.ids.length) {
      this.ids = new Int32Array(input_ids.length);
      this.flags = new Uint8Array(Math.ceil(input_ids.length / 8));
    }
    const start = this.tokens;
    this.ids.set(input_ids, start);
    for (let t = 0; t < is_target.length; t++) {
      const byte = (start + t) >> 3;
      if (is_target[t] === 1) this.flags[byte] = (this.flags[byte] as number) | (1 << ((start + t) & 7));
    }
    this.offsets.push(start + input_ids.length);
    this.rows.push(row);
  }

  /** Writes what is left. */
  finish(): ShardInfo[] {
    this.flush();
    return this.shards;
  }

  private get tokens(): number {
    return this.offsets.at(-1) as number;
  }

  private flush(): void {
    const { tokens } = this;
    const { length: samples } = this.rows;
    if (samples === 0) return;
    const file = `${this.name}-${String(this.shards.length).padStart(5, '0')}.arrow`;
    const ids = this.ids.subarray(0, tokens);
    const flags = this.flags.subarray(0, Math.ceil(tokens / 8));
    const bytes = encodeShard(this.rows, Int32Array.from(this.offsets), ids, flags, this.metadata);
    writeFileSync(join(this.folder, file), bytes);
    this.shards.push({ file, samples, tokens, bytes: bytes.length, sha256: sha256(bytes) });
    flags.fill(0);
    this.rows = [];
    this.offsets = [0];
  }
}

/** The bytes of one shard; a pure function of its arguments. */
function encodeShard(
  rows: readonly Omit<ShardRow, 'input_ids' | 'is_target'>[],
  offsets: Int32Array,
  ids: Int32Array,
  flags: Uint8Array,
  metadata: Map<string, string>,
): Uint8Array {
  const { length } = rows;
  const { length: tokens } = ids;
  const int32 = (values: (row: (typeof rows)[number]) => number) =>
    makeData({ type: new Int32(), length, nullCount: 0, data: Int32Array.from(rows, values) });
  const list = <T extends Int32 | Bool>(field: Field<T>, child: Data<T>) =>
    makeData({ type: new List(field), length, nullCount: 0, valueOffsets: offsets, child });
  const columns = {
    role: roleColumn(rows.map((row) => row.role)),
    question_id: int32((row) => row.question_id),
    answer_index: int32((row) => row.answer_index),
    row: int32((row) => row.row),
    question: textColumn(rows.map((row) => row.question)),
    input_ids: list(ITEM_IDS, makeData({ type: new Int32(), length: tokens, nullCount: 0, data: ids })),
    is_target: list(ITEM_FLAGS, makeData({ type: new Bool(), length: tokens, nullCount: 0, data: flags })),
  };
  const fields = Object.entries(columns).map(([name, { type }]) => new Field(name, type, false));
  const schema = new Schema(fields, metadata);
  const children = Object.values(columns) as Data[];
  const struct = makeData({ type: new Struct(fields), length, nullCount: 0, children });
  return tableToIPC(new Table(schema, new RecordBatch(schema, struct)), 'file');
}

function roleColumn(roles: readonly string[]): Data<Dictionary<Utf8, Int32>> {
  const indices = new Map<string, number>();
  const data = Int32Array.from(roles, (role) => {
    const index = indices.get(role) ?? indices.size;
    indices.set(role, index);
    return index;
  });
  const dictionary = new Vector([textColumn([...indices.keys()])]);
  // A fixed dictionary id: the library counts them up, and equal rows must give equal bytes.
  const type = new Dictionary(new Utf8(), new Int32(), 0);
  return makeData({ type, length: roles.length, nullCount: 0, data, dictionary });
}

function textColumn(texts: readonly string[]): Data<Utf8> {
  const parts = texts.map((text) => Buffer.from(text, 'utf8'));
  const valueOffsets = new Int32Array(texts.length + 1);
  parts.forEach((part, i) => {
    valueOffsets[i + 1] = (valueOffsets[i] as number) + part.length;
  });
  return makeData({ type: new Utf8(), length: texts.length, nullCount: 0, valueOffsets, data: Buffer.concat(parts) });
}

/** One shard in memory. */
export interface Shard {
  length: number;
  sample(i: number): TokenizedSample;
  role(i: number): string;
  questionId(i: number): number;
}

/**
 * Reads a shard and checks its length and hash.
 * @throws UserError when the file is missing, truncated or damaged
 */
export function readShard(folder: string, info: ShardInfo): Shard {
  checkShardSize(folder, info);
  const path = join(folder, info.file);
  const bytes = readFileSync(path);
  const hash = sha256(bytes);
  if (hash !== info.sha256) {
    throw damaged(folder, path, `the hash ${info.sha256.slice(0, 12)}…`, `${hash.slice(0, 12)}…`);
  }
  return openShard(bytes);
}

/** Checks that a shard is there in full, without reading it. */
export function checkShardSize(folder: string, { file, bytes, samples }: ShardInfo): void {
  const path = join(folder, file);
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  if (size === bytes) return;
  const got = size === undefined ? 'no such file' : `${size} bytes`;
  throw damaged(folder, path, `${bytes} bytes (${samples} samples)`, got);
}

function damaged(folder: string, path: string, expected: string, got: string): UserError {
  return new UserError(
    `${path}: expected ${expected}, got ${got}; the prepared data is truncated or damaged: ` +
      `delete ${folder} and prepare again.`,
  );
}

function openShard(bytes: Uint8Array): Shard {
  const table = tableFromIPC<Columns>(bytes);
  const columns = <K extends keyof Columns>(name: K): Data<Columns[K]> => {
    const data = table.getChild(name)?.data[0];
    if (data === undefined) throw new Error(`a shard lacks the column ${name}`);
    return data;
  };
  const role = columns('role');
  const roles = role.dictionary;
  const questionId = columns('question_id').values;
  const answerIndex = columns('answer_index').values;
  const row = columns('row').values;
  const question = table.getChild('question');
  const ids = columns('input_ids');
  const { valueOffsets: offsets } = ids;
  const idValues = (ids.children[0] as Data<Int32>).values;
  const flags = (columns('is_target').children[0] as Data<Bool>).values;
  const roleOf = (i: number) => roles?.get(role.values[i] as number) ?? '';
  return {
    length: table.numRows,
    role: roleOf,
    questionId: (i) => questionId[i] as number,
    sample(i) {
      const [start, end] = [offsets[i] as number, offsets[i + 1] as number];
      const is_target = new Uint8Array(end - start);
      for (let t = 0; t < is_target.length; t++) {
        const bit = start + t;
        is_target[t] = ((flags[bit >> 3] as number) >> (bit & 7)) & 1;
      }
      return {
        input_ids: idValues.slice(start, end),
        is_target,
        role: roleOf(i),
        question_id: questionId[i] as number,
        answer_index: answerIndex[i] as number,
        question: question?.get(i) ?? '',
        row: row[i] as number,
      };
    },
  };
}
