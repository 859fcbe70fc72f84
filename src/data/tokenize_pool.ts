// Tokenises a stream of conversations on several threads, in the order of the stream and with a bounded number of
// batches in flight. The result does not depend on the number of threads.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { UserError } from '../core/errors.ts';
import { breathe } from '../core/interrupt.ts';
import type { PromptEncoder } from './prompt.ts';
import type { Conversation } from './sample.ts';
import { type TokenizedBatch, tokenizeBatch } from './tokenize.ts';
import type { WorkerSettings } from './tokenize_worker.ts';

const BATCH = 256;
/** Streams shorter than this are tokenised here alone: a worker takes half a second to start. */
const SMALL = 4 * BATCH;
const BATCHES_A_WORKER = 3;

export interface PoolResult {
  conversations: readonly Conversation[];
  batch: TokenizedBatch;
}

/**
 * @param workers number of threads, 0 for this one; by default one for each core
 * @param encoder does the work of short streams, and all where no worker can be started
 */
export async function* tokenizeAll(
  stream: AsyncIterable<Conversation>,
  encoder: PromptEncoder,
  settings: WorkerSettings,
  workers: number = availableParallelism(),
): AsyncGenerator<PoolResult> {
  const batches = inBatches(stream);
  const path = workerPath();
  const head: Conversation[][] = [];
  const isLong = workers > 0 && path !== null && (await readAhead(batches, head));
  const all = chain(head, batches);
  if (isLong && path !== null) yield* inWorkers(all, path, encoder, settings, workers);
  else {
    for await (const conversations of all) {
      yield { conversations, batch: tokenizeBatch(encoder, conversations, settings.limits) };
      await breathe();
    }
  }
}

/** The compiled worker; sources that are run as TypeScript use the one in dist. Null when there is none. */
function workerPath(): string | null {
  const here = fileURLToPath(import.meta.url);
  const path = here.endsWith('.ts')
    ? here.replace(/([\\/])src([\\/]data[\\/])tokenize_pool\.ts$/, '$1dist$2tokenize_worker.js')
    : here.replace(/tokenize_pool\.js$/, 'tokenize_worker.js');
  return existsSync(path) ? path : null;
}

async function* inBatches(stream: AsyncIterable<Conversation>): AsyncGenerator<Conversation[]> {
  let batch: Conversation[] = [];
  for await (const conversation of stream) {
    batch.push(conversation);
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/** Reads into `head` until the stream counts as long (true) or ends (false). */
async function readAhead(batches: AsyncGenerator<Conversation[]>, head: Conversation[][]): Promise<boolean> {
  let size = 0;
  while (size < SMALL) {
    const { value, done } = await batches.next();
    if (done) return false;
    head.push(value);
    size += value.length;
  }
  return true;
}

async function* chain<T>(head: readonly T[], rest: AsyncIterable<T>): AsyncGenerator<T> {
  yield* head;
  yield* rest;
}

/** Batches go round the threads, and are done here until one is ready; results are taken in the order of the stream. */
async function* inWorkers(
  batches: AsyncIterable<Conversation[]>,
  path: string,
  encoder: PromptEncoder,
  settings: WorkerSettings,
  workers: number,
): AsyncGenerator<PoolResult> {
  const threads = Array.from({ length: workers }, () => startThread(path, settings));
  const pending: { conversations: Conversation[]; result: Promise<TokenizedBatch> }[] = [];
  let next = 0;
  try {
    for await (const conversations of batches) {
      const ready = threads.filter((thread) => thread.isReady());
      const thread = ready[next++ % Math.max(1, ready.length)];
      const result =
        thread === undefined
          ? Promise.resolve(tokenizeBatch(encoder, conversations, settings.limits))
          : thread.run(conversations);
      // An error is raised where the result is awaited, in order.
      result.catch(() => undefined);
      pending.push({ conversations, result });
      if (pending.length < workers * BATCHES_A_WORKER) continue;
      const first = pending.shift() as (typeof pending)[number];
      yield { conversations: first.conversations, batch: await first.result };
      await breathe();
    }
    for (const { conversations, result } of pending) {
      yield { conversations, batch: await result };
      await breathe();
    }
  } finally {
    await Promise.all(threads.map((thread) => thread.stop()));
  }
}

interface Thread {
  isReady(): boolean;
  run(conversations: readonly Conversation[]): Promise<TokenizedBatch>;
  stop(): Promise<unknown>;
}

function startThread(path: string, settings: WorkerSettings): Thread {
  const worker = new Worker(path, { workerData: settings });
  const waiting: { resolve: (batch: TokenizedBatch) => void; reject: (error: Error) => void }[] = [];
  let failure: Error | null = null;
  let isReady = false;
  const fail = (error: Error) => {
    failure ??= error;
    for (const { reject } of waiting.splice(0)) reject(error);
  };
  worker.on('message', (message: TokenizedBatch | 'ready') => {
    if (message === 'ready') isReady = true;
    else waiting.shift()?.resolve(message);
  });
  // An error loses its class on the way between threads.
  worker.on('error', (error) => fail(error.name === 'UserError' ? new UserError(error.message) : error));
  worker.on('exit', (code) => fail(new Error(`a tokenising thread ended with code ${code}`)));
  return {
    isReady: () => isReady,
    run: (conversations) =>
      new Promise((resolve, reject) => {
        if (failure !== null) return reject(failure);
        waiting.push({ resolve, reject });
        worker.postMessage(conversations);
      }),
    stop: () => worker.terminate(),
  };
}
