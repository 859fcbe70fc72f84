// Speed and memory of `rocit prepare` on RoleBench rows, repeated to several sizes: tokens a second and peak memory.
// Run: node scripts/bench_prepare.mjs <RoleBench jsonl> <tokenizer folder> [rows …]     (after compiling)
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [source, tokenizer, ...sizes] = process.argv.slice(2);
if (source === '--one') {
  await measure(tokenizer, sizes[0]);
} else {
  const lines = readFileSync(source, 'utf8').trimEnd().split('\n');
  process.stdout.write(`cores ${availableParallelism()}, node ${process.version}\n`);
  for (const size of sizes.length === 0 ? ['5000', '50000', '200000'] : sizes) {
    const root = mkdtempSync(join(tmpdir(), 'rocit-bench-'));
    const folder = join(root, 'rolebench-eng', 'instruction-generalization', 'general');
    mkdirSync(folder, { recursive: true });
    const rows = Array.from({ length: Number(size) }, (_, i) => `${lines[i % lines.length]}\n`);
    writeFileSync(join(folder, 'train.jsonl'), rows.join(''));
    const script = fileURLToPath(import.meta.url);
    spawnSync(process.execPath, [script, '--one', tokenizer, root], { stdio: ['ignore', 'inherit', 'ignore'] });
    rmSync(root, { recursive: true });
  }
}

/** One size in a process of its own, so that peak memory is its own. */
async function measure(tokenizer_folder, path) {
  const { prepare } = await import('../dist/data/prepare.js');
  const data = {
    ...{ source: 'rolebench', path, language: 'eng', generalization: 'instruction', kinds: ['general'] },
    ...{ train_split: 'train', eval_split: null, eval_fraction: 0.05, answers: 'all', template: 'rolellama' },
    ...{ max_seq_length: 1024, overflow: 'drop' },
  };
  const start = performance.now();
  const prepared = await prepare({ data, tokenizer_folder, seed: 0, cache_dir: join(path, 'cache') });
  const took = (performance.now() - start) / 1000;
  const { samples, tokens } = prepared.train.stats;
  const all = tokens + prepared.eval.stats.tokens;
  const peak = process.resourceUsage().maxRSS / 1024;
  process.stdout.write(
    `${samples + prepared.eval.stats.samples} samples, ${all} tokens: ${took.toFixed(1)} s, ` +
      `${Math.round(all / took)} tokens/s, peak ${peak.toFixed(0)} MB\n`,
  );
}
