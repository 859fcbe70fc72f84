// The doors of the GPU on a machine without one: an addon whose operations run the emulated CUDA kernels, on TensorFlow's
// CPU device, goes through the tests of the engine and random calls.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { buildKernels, headers } from './bootstrap/native.mjs';
import { say } from './bootstrap/steps.mjs';
import { chooseFlavour, libraryFolders, locateTensorflow } from './bootstrap/tensorflow.mjs';
import { runVitest, vitestProgram } from './vitest.mjs';

/**
 * lora_linear on CUDA rounds the adapters' part before the library adds the product of the frozen weight to it. Where both
 * are of one size, as in these cases, that may be more than twice the error of the composition; its own test bounds it.
 */
const leftOut = "(\\w+ )?(\\w+_)?lora_linear .*kernel's error in bfloat16";

/** Adds to `counts`. `folder` holds a build of the emulated kernels. */
export async function testDoors(folder, counts) {
  const place = locateTensorflow(chooseFlavour(new Set()));
  const missing = [place.folder, vitestProgram].find((path) => !existsSync(path));
  if (missing !== undefined) {
    counts.skipped += 1;
    process.stdout.write(`skipped the doors of the GPU: ${missing} is not there, npm run build brings it\n`);
    return;
  }
  say('the doors of the GPU, on the emulator …');
  const search = libraryFolders(place).join(';');
  const settings = { ROCIT_TENSORFLOW: place.folder, ROCIT_NODE_HEADERS: headers, ROCIT_RPATH: search };
  await buildKernels(folder, { ROCIT_EMULATE_CUDA: 'ON', ...settings }, ['rocit_kernels']);
  process.stdout.write(`skipped ${leftOut}: on CUDA the bound of its own test holds\n`);
  const one = runVitest(
    'doors',
    ['tests/engine', 'tests/kernels/door_fuzz.test.ts', '--testNamePattern', `^(?!${leftOut})`],
    {
      ROCIT_KERNELS_FILE: join(folder, 'rocit_kernels.node'),
    },
  );
  for (const key of Object.keys(counts)) counts[key] += one[key];
}
