// Prints the tokenised samples of a config as JSON lines {"input_ids", "is_target"}:
//     node scripts/export_samples.mjs [--train | --steps <n>] <config> [key=value …] > samples.jsonl
// The held-out ones in the order of `rocit score`, with --train those of the training split, with --steps those that the
// first n steps of `rocit train` take, each with its "step". For scripts that compare rocit with other tools. Needs the
// compiled dist/.
import { loadConfig } from '../dist/config/load.js';
import { prepare } from '../dist/data/prepare.js';
import { resolveBase } from '../dist/models/load.js';
import { planRun, stepsOf } from '../dist/training/plan.js';

const args = process.argv.slice(2);
const isTrain = args[0] === '--train';
const numSteps = args[0] === '--steps' ? Number(args[1]) : null;
const [path, ...overrides] = args.slice(isTrain ? 1 : numSteps === null ? 0 : 2);
if (path === undefined) {
  process.stderr.write('usage: node scripts/export_samples.mjs [--train | --steps <n>] <config> [key=value …]\n');
  process.exit(2);
}
const { config } = loadConfig(path, overrides);
const { seed, num_epochs, max_steps } = config.training;
const data = await prepare({ data: config.data, tokenizer_folder: resolveBase(config.model.base), seed });

function* chosen() {
  if (numSteps !== null) {
    const options = { ...config.batching, seed, num_epochs, max_steps, answer_weight: config.data.answer_weight };
    let step = 0;
    for (const samples of stepsOf(planRun(data.train, options), numSteps)) {
      step += 1;
      for (const sample of samples) yield { ...sample, step };
    }
    return;
  }
  const split = isTrain ? data.train : data.eval;
  for (let i = 0; i < (split?.numSamples ?? 0); i++) yield split.sample(i);
}

for (const { input_ids, is_target, step } of chosen()) {
  process.stdout.write(`${JSON.stringify({ input_ids: [...input_ids], is_target: [...is_target], step })}\n`);
}
