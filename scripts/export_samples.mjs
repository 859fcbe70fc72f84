// Prints the tokenised samples of a config as JSON lines {"input_ids", "is_target"}, in the order of `rocit score`:
//     node scripts/export_samples.mjs [--train] <config> [key=value …] > samples.jsonl
// For scripts that compare rocit with other tools on the same samples. Needs the compiled dist/.
import { loadConfig } from '../dist/config/load.js';
import { prepare } from '../dist/data/prepare.js';
import { resolveBase } from '../dist/models/load.js';

const args = process.argv.slice(2);
const isTrain = args[0] === '--train';
const [path, ...overrides] = isTrain ? args.slice(1) : args;
if (path === undefined) {
  process.stderr.write('usage: node scripts/export_samples.mjs [--train] <config> [key=value …]\n');
  process.exit(2);
}
const { config } = loadConfig(path, overrides);
const data = await prepare({
  data: config.data,
  tokenizer_folder: resolveBase(config.model.base),
  seed: config.training.seed,
});
const split = isTrain ? data.train : data.eval;
for (let i = 0; i < (split?.numSamples ?? 0); i++) {
  const { input_ids, is_target } = split.sample(i);
  process.stdout.write(`${JSON.stringify({ input_ids: [...input_ids], is_target: [...is_target] })}\n`);
}
