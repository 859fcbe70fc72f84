// What preparing data is told, and what it tells while it works.
import type { SourceSettings } from './source.ts';
import type { TemplateName } from './templates.ts';
import type { TokenizeLimits } from './tokenize.ts';

/** The `data` section of the config. */
export interface DataSettings extends SourceSettings, TokenizeLimits {
  train_split: string;
  eval_split: string | null;
  eval_fraction: number | null;
  template: TemplateName;
}

export interface PrepareOptions {
  data: DataSettings;
  /** The base model's folder. */
  tokenizer_folder: string;
  /** Draws what eval_fraction holds out. */
  seed: number;
  /** Where folders of shards are kept. */
  cache_dir?: string;
  /** Tokenising threads; one for each core when left out, 0 for none. Changes no result. */
  workers?: number;
  onProgress?: (progress: PrepareProgress) => void;
}

export interface PrepareProgress {
  rows: number;
  total_rows: number;
  tokens: number;
}
