// Writes a GGUF model of the llama architecture as a Hugging Face folder, one tensor in memory at a time.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { breathe } from '../core/interrupt.ts';
import type { Progress } from './fetched_folder.ts';
import { openGguf } from './gguf.ts';
import { llamaConfig, llamaTensors } from './gguf_llama.ts';
import { ggufTokenizer } from './gguf_tokenizer.ts';
import { bytesOf, writeSafetensors } from './safetensors.ts';

/**
 * Fills `folder` (which exists) with config.json, generation_config.json, model.safetensors, tokenizer.json and
 * tokenizer_config.json. Weights become float32: it alone holds every value of the 4- and 8-bit formats exactly.
 */
export async function convertGguf(ggufPath: string, folder: string, progress: Progress): Promise<void> {
  const file = openGguf(ggufPath);
  const config = llamaConfig(file);
  const { tokenizer, config: tokenizerConfig } = ggufTokenizer(file);
  const { bos_token_id, eos_token_id, pad_token_id } = config;
  writeJson(join(folder, 'config.json'), config);
  writeJson(join(folder, 'generation_config.json'), { bos_token_id, eos_token_id, pad_token_id });
  writeJson(join(folder, 'tokenizer_config.json'), tokenizerConfig);
  writeJson(join(folder, 'tokenizer.json'), tokenizer);
  await breathe();

  const tensors = llamaTensors(file);
  const total = tensors.reduce((sum, { shape }) => sum + 4 * shape.reduce((a, b) => a * b, 1), 0);
  let done = 0;
  const toWrite = tensors.map(({ name, shape, read }) => ({
    name,
    shape,
    dtype: 'F32' as const,
    data: () => {
      const bytes = bytesOf(read());
      done += bytes.length;
      progress('converting the weights', done, total);
      return bytes;
    },
  }));
  writeSafetensors(join(folder, 'model.safetensors'), toWrite, { format: 'pt' });
}

function writeJson(path: string, value: unknown): void {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);
}
