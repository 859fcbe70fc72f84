// What makes two runs the same: settings and inputs must be equal to continue one, the machine should be.
import { closeSync, openSync, readSync } from 'node:fs';
import { openHfFolder } from '../checkpoint/hf_folder.ts';
import { type Config, configSchema } from '../config/schema.ts';
import { UserError } from '../core/errors.ts';
import { sha256 } from '../core/files.ts';
import { log } from '../core/log.ts';
import type { EngineInfo } from '../engine/runtime.ts';

/** Everything that decides the numbers of a run. */
export interface Identity {
  /** The resolved config. */
  settings: Config;
  /** Fingerprints of the base model, the data as tokenised, and the adapter it starts from. */
  inputs: Record<string, string | null>;
  engine: EngineInfo;
}

/** Keys that may change between the parts of a run: they decide where and when it is saved, not what it computes. */
const FREE = [
  'output_dir',
  'data.path',
  'model.base',
  'training.save_steps',
  'training.save_minutes',
  'training.save_total_limit',
];

/** UserError with a diff where settings or inputs changed; a warning where the machine did. */
export function checkIdentity(folder: string, saved: Record<keyof Identity, object>, now: Identity): void {
  const changed = [
    ...differences(withDefaults(saved.settings), now.settings).filter(({ key }) => !FREE.includes(key)),
    ...differences(saved.inputs, now.inputs),
  ];
  if (changed.length > 0) {
    const lines = changed.map(({ key, before, after }) => `  ${key}: ${before} → ${after}`);
    throw new UserError(
      `${folder}: expected the settings and inputs this run began with, got changes:\n${lines.join('\n')}\nundo them, or train into another output_dir.`,
    );
  }
  for (const { key, before, after } of differences(saved.engine, now.engine)) {
    log.warn(`${folder}: ${key} was ${before} and is now ${after}; the run goes on, but not bit for bit.`);
  }
}

/** Keys that came to the config after the run began count as their defaults. */
function withDefaults(settings: object): object {
  const parsed = configSchema.safeParse(settings);
  return parsed.success ? parsed.data : settings;
}

interface Difference {
  key: string;
  before: string;
  after: string;
}

function differences(before: object, after: object): Difference[] {
  const [a, b] = [leaves(before), leaves(after)];
  const keys = [...new Set([...a.keys(), ...b.keys()])];
  return keys
    .filter((key) => a.get(key) !== b.get(key))
    .map((key) => ({ key, before: a.get(key) ?? 'nothing', after: b.get(key) ?? 'nothing' }));
}

/** Dotted path → JSON text of each leaf. */
function leaves(value: unknown, path = ''): Map<string, string> {
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    return new Map([[path, JSON.stringify(value)]]);
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return new Map(entries.flatMap(([key, item]) => [...leaves(item, path === '' ? key : `${path}.${key}`)]));
}

const SAMPLE_BYTES = 4096;

/**
 * A hash of a model folder that costs no full read: its config, every tensor's name, dtype, shape and place, and the
 * first bytes of each tensor.
 */
export function fingerprintModel(path: string): string {
  const folder = openHfFolder(path);
  const parts = [...folder.tensors.values()]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((info) => [
      info.name,
      info.dtype,
      info.shape,
      sha256(headOf(info.path, info.offset, Math.min(info.bytes, SAMPLE_BYTES))),
    ]);
  return sha256(JSON.stringify([folder.config, parts]));
}

function headOf(path: string, offset: number, bytes: number): Uint8Array {
  const head = new Uint8Array(bytes);
  const file = openSync(path, 'r');
  try {
    readSync(file, head, 0, bytes, offset);
  } finally {
    closeSync(file);
  }
  return head;
}
