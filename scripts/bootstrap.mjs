// Sets up everything the toolkit needs inside this checkout; a second run finds it done and takes milliseconds.
// Node's own modules only. Flags: --gpu (CUDA build of TensorFlow), --cpu (back again). Environment:
// ROCIT_TENSORFLOW=<folder> uses a TensorFlow 2.21 that is already there, CXX another compiler.
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bindingStep, kernelsStep } from './bootstrap/native.mjs';
import { packagesStep, typescriptStep } from './bootstrap/packages.mjs';
import { perform, SetupError, say, withLock } from './bootstrap/steps.mjs';
import { chooseFlavour, locateTensorflow, tensorflowStep } from './bootstrap/tensorflow.mjs';

const fallback =
  "without it the plain compositions on tfjs's CPU backend are used: right results, slow, for the tiny configs only.";

async function performIfNeeded(step) {
  if (!step.isDone()) await perform(step);
}

/** All of them at once (they wait for the network); the first error is thrown when the last has ended. */
async function performTogether(steps) {
  const results = await Promise.allSettled(steps.map(performIfNeeded));
  const failure = results.find((result) => result.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
}

/** What keeps the native steps that are not done from being done here: one line a missing prerequisite. */
function findProblems(steps) {
  const unfinished = steps.filter((step) => !step.isDone());
  return [...new Set(unfinished.map((step) => step.problem()).filter((problem) => problem !== null))];
}

/** Does what is not done yet. Throws SetupError with a line for a person. */
export async function bootstrap(flags = new Set()) {
  const place = locateTensorflow(chooseFlavour(flags));
  const native = () => [tensorflowStep(place), bindingStep(place), kernelsStep(place)];
  if ([packagesStep(), ...native(), typescriptStep()].every((step) => step.isDone())) return;
  await withLock(async () => {
    const problems = findProblems(native());
    for (const problem of problems) say(problem);
    if (problems.length > 0) say(fallback);
    await performTogether(problems.length > 0 ? [packagesStep()] : [packagesStep(), tensorflowStep(place)]);
    // Made anew: their keys hash files that the first two brought.
    if (problems.length === 0) for (const step of native()) await performIfNeeded(step);
    await performIfNeeded(typescriptStep());
  });
}

/** Runs `work` and ends the process: a SetupError is a line and exit code 2, anything else a stack and 1. */
export async function runAsProgram(work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(error.message);
    process.exitCode = 2;
  }
}

function readFlags() {
  const flags = new Set(process.argv.slice(2));
  for (const flag of flags) {
    if (flag !== '--gpu' && flag !== '--cpu') throw new SetupError(`expected --gpu or --cpu, got ${flag}.`);
  }
  return flags;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await runAsProgram(async () => {
    const [major] = process.versions.node.split('.');
    if (Number(major) < 20)
      throw new SetupError(`expected Node >= 20, got ${process.version}: install it from nodejs.org or with nvm.`);
    const start = performance.now();
    await bootstrap(readFlags());
    say(`ready (${((performance.now() - start) / 1000).toFixed(1)} s)`);
  });
}
