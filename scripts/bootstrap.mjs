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

/** Steps are made one by one, since the key of one may hash what an earlier one brought. */
function makeSteps(flags) {
  const place = locateTensorflow(chooseFlavour(flags));
  const native = [() => tensorflowStep(place), () => bindingStep(place), () => kernelsStep(place)];
  return { before: [packagesStep], native, after: [typescriptStep] };
}

async function performUnfinished(makers, isLocked) {
  for (const make of makers) {
    const step = make();
    if (step.isDone()) continue;
    if (!isLocked) return false;
    const problem = step.problem();
    if (problem !== null) throw new SetupError(problem);
    await perform(step);
  }
  return true;
}

/** A missing prerequisite of the native part is printed and survived; everything else stops. */
async function performNative(makers) {
  const problems = new Set(
    makers
      .map((make) => make())
      .filter((step) => !step.isDone())
      .map((step) => step.problem()),
  );
  problems.delete(null);
  if (problems.size === 0) return performUnfinished(makers, true);
  for (const problem of problems) say(problem);
  say(fallback);
}

/** Does what is not done yet. Throws SetupError with a line for a person. */
export async function bootstrap(flags = new Set()) {
  const { before, native, after } = makeSteps(flags);
  if (await performUnfinished([...before, ...native, ...after], false)) return;
  await withLock(async () => {
    await performUnfinished(before, true);
    await performNative(native);
    await performUnfinished(after, true);
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
