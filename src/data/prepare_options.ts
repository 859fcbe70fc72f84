// What preparing data is told, and what it tells while it works.
import type { EvalSampling } from './held_out.ts';
import type { OnBadRow } from './refusals.ts';
import type { SourceSettings } from './source.ts';
import type { TemplateName } from './templates.ts';
import type { TokenizeLimits } from './tokenize.ts';

/** The `data` section of the config. */
export interface DataSettings extends SourceSettings, TokenizeLimits {
  train_split: string;
  eval_split: string | null;
  eval_fraction: number | null;
  /** Whether eval_fraction draws from the questions of each role, or from all questions together. */
  eval_sampling: EvalSampling;
  template: TemplateName;
  /** What a chat template is told when it asks for the day, YYYY-MM-DD. */
  template_date: string;
  on_bad_row: OnBadRow;
}

export interface PrepareOptions {
  data: DataSettings;
  /** The base model's folder. */
  tokenizer_folder: string;
  /** Draws what eval_fraction holds out. */
  seed: number;
  /** Where folders of shards are kept. */
  cache_dir?: string;
  onProgress?: (progress: PrepareProgress) => void;
}

export interface PrepareProgress {
  /** Of the files that are read, and of them all. */
  bytes: number;
  total_bytes: number;
  tokens: number;
}
