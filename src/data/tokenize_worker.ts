// The thread that tokenises batches; tokenize_pool.ts starts it and talks to it.
import { parentPort, workerData } from 'node:worker_threads';
import { createPromptEncoder } from './prompt.ts';
import type { Conversation } from './sample.ts';
import type { PromptTemplate } from './templates.ts';
import { type TokenizeLimits, tokenizeBatch } from './tokenize.ts';
import { loadTokenizer } from './tokenizer.ts';

/** What a worker needs to build its encoder. */
export interface WorkerSettings {
  tokenizer_folder: string;
  template: PromptTemplate;
  limits: TokenizeLimits;
}

const settings = workerData as WorkerSettings;
const tokenizer = await loadTokenizer(settings.tokenizer_folder);
const encoder = createPromptEncoder(tokenizer, settings.template);

parentPort?.on('message', (conversations: Conversation[]) => {
  const batch = tokenizeBatch(encoder, conversations, settings.limits);
  parentPort?.postMessage(batch, [batch.input_ids.buffer as ArrayBuffer, batch.is_target.buffer as ArrayBuffer]);
});

parentPort?.postMessage('ready');
