// A whole small task in a folder: a tiny random model, RoleBench rows of two roles, and the config of a run.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { saveAdapter } from '../../src/checkpoint/adapter.ts';
import { createRng } from '../../src/core/rng.ts';
import { scope, tensor } from '../../src/engine/tensor.ts';
import { loadModel } from '../../src/models/load.ts';
import { writeTinyModel } from './tiny_model.ts';

/** Rows of test.jsonl; the training rows are the same questions asked of the roles the other way round. */
export const TEST_ROWS = [
  {
    role: 'Ada Quill',
    question: 'What time is it?',
    generated: ['Tick past noon.', 'Ask the tower.'],
    type: 'script_based',
  },
  { role: 'Bo Reed', question: 'Who are you?', generated: ['A ferryman, friend.'], type: 'script_agnostic' },
  { role: 'Ada Quill', question: 'Do you like rain?', generated: ['Rust is no joke.'], type: 'script_agnostic' },
];

const CONFIG = `
model: { base: tiny }
data: { path: rows, kinds: [role_specific], max_seq_length: 1024, template: rolellama }
packing: { max_tokens_per_pack: 2048 }
lora: { r: 2, lora_alpha: 4 }
output_dir: run
`;

/** Writes model, rows and config.yaml into a folder and returns the config's name inside it. */
export function writeTinyTask(folder: string): string {
  writeTinyModel(folder);
  const rows = join('rows', 'rolebench-eng', 'instruction-generalization', 'role_specific');
  const trainRows = TEST_ROWS.map((row) => ({ ...row, role: row.role === 'Bo Reed' ? 'Ada Quill' : 'Bo Reed' }));
  writeJsonLines(join(folder, rows, 'train.jsonl'), trainRows);
  writeJsonLines(join(folder, rows, 'test.jsonl'), TEST_ROWS);
  mkdirSync(join(folder, 'rows', 'profiles-eng'), { recursive: true });
  writeFileSync(
    join(folder, 'rows', 'profiles-eng', 'desc.json'),
    JSON.stringify({ 'Ada Quill': 'a clockmaker', 'Bo Reed': 'a ferryman' }),
  );
  writeFileSync(join(folder, 'config.yaml'), CONFIG);
  return 'config.yaml';
}

export function writeJsonLines(path: string, rows: readonly object[]): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
}

/** Writes an adapter with random A and B for all linear layers of a model. The engine must have been started. */
export function writeRandomAdapter(modelFolder: string, folder: string): void {
  const config = { r: 2, lora_alpha: 4, lora_dropout: 0, target_modules: ['q_proj', 'down_proj'], use_rslora: false };
  mkdirSync(folder, { recursive: true });
  scope(() => {
    const rng = createRng(9, 'adapter');
    const random = (shape: number[]) => {
      const size = shape.reduce((a, b) => a * b, 1);
      return tensor(
        Float32Array.from({ length: size }, () => rng.normal() / 2),
        shape,
      );
    };
    const weights = new Map(
      [...loadModel(modelFolder, { dtype: 'float32' }).linears]
        .filter(([path]) => config.target_modules.some((name) => path.endsWith(`.${name}`)))
        .map(([path, { weight }]) => {
          const [out = 0, inputs = 0] = weight.shape;
          return [path, { A: random([config.r, inputs]), B: random([out, config.r]) }];
        }),
    );
    saveAdapter(folder, { weights, config, base_model_name_or_path: modelFolder });
  });
}
