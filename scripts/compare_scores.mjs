// Compares two outputs of `rocit score` on the same samples: mean loss a target of each, and a 95 % interval of the
// difference by a paired bootstrap over questions (all answers to one question are drawn together).
//   node scripts/compare_scores.mjs base.jsonl tuned.jsonl
import { readFileSync } from 'node:fs';
import { createRng } from '../dist/core/rng.js';

const RESAMPLES = 10_000;
const SEED = 0;

const keyOf = ({ row, role, question, answer_index }) => JSON.stringify([row ?? null, role, question, answer_index]);

function readScores(path) {
  const rows = readFileSync(path, 'utf8').trim().split('\n');
  return rows.map((line) => JSON.parse(line));
}

/** Sums of both models over each question: [loss of a, loss of b, targets]. */
function sumsByQuestion(a, b) {
  const questions = new Map();
  a.forEach((row, i) => {
    const other = b[i];
    if (other === undefined || keyOf(other) !== keyOf(row)) {
      throw new Error(
        `line ${i + 1}: expected the same sample in both files, got ${keyOf(row)} and ${other && keyOf(other)}`,
      );
    }
    const key = JSON.stringify([row.row ?? null, row.role, row.question]);
    const [lossA, lossB, targets] = questions.get(key) ?? [0, 0, 0];
    questions.set(key, [lossA + row.loss_sum, lossB + other.loss_sum, targets + row.num_targets]);
  });
  return [...questions.values()];
}

/** Mean loss a target of both, over the questions at `indices`. */
function means(sums, indices) {
  let [lossA, lossB, targets] = [0, 0, 0];
  for (const i of indices) {
    lossA += sums[i][0];
    lossB += sums[i][1];
    targets += sums[i][2];
  }
  return [lossA / targets, lossB / targets];
}

const [pathA, pathB] = process.argv.slice(2);
if (pathB === undefined) {
  process.stderr.write('expected two files of `rocit score`: node scripts/compare_scores.mjs base.jsonl tuned.jsonl\n');
  process.exit(2);
}
const [a, b] = [readScores(pathA), readScores(pathB)];
if (a.length !== b.length) throw new Error(`expected as many lines in both files, got ${a.length} and ${b.length}`);
const sums = sumsByQuestion(a, b);
const rng = createRng(SEED, 'bootstrap');
const differences = Array.from({ length: RESAMPLES }, () => {
  const [meanA, meanB] = means(
    sums,
    sums.map(() => rng.int(sums.length)),
  );
  return meanB - meanA;
}).sort((x, y) => x - y);
const [meanA, meanB] = means(sums, sums.keys());
const [low, high] = [0.025, 0.975].map((share) => differences[Math.floor(share * RESAMPLES)]);
process.stdout.write(
  `${a.length} samples of ${sums.length} questions: ${meanA.toFixed(4)} → ${meanB.toFixed(4)}, difference ${(meanB - meanA).toFixed(4)} [${low.toFixed(4)}, ${high.toFixed(4)}]\n`,
);
