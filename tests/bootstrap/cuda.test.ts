// What the bootstrap says of the machine's CUDA: with fake programs on PATH, one line a thing that is missing or too old.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inRepository } from '../support/paths.ts';
import { temporaryFolder } from '../support/temporary.ts';

const base = temporaryFolder();
let numMachines = 0;

/** What `expression` of machine.mjs gives where PATH has only these programs, each a shell line. */
function probe(expression: string, programs: Record<string, string>): unknown {
  numMachines += 1;
  const folder = join(base, `machine_${numMachines}`);
  mkdirSync(folder);
  for (const [name, line] of Object.entries(programs)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${line}\n`);
    chmodSync(join(folder, name), 0o755);
  }
  const url = `file://${inRepository('scripts/bootstrap/machine.mjs')}`;
  const code = `import * as machine from '${url}'; console.log(JSON.stringify(machine.${expression} ?? null));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    env: { PATH: folder },
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  const found: unknown = JSON.parse(stdout.replaceAll(folder, '<path>'));
  return found;
}

const driver = (version: string) => `echo ${version}`;
const nvcc = (release: string) => `echo "Cuda compilation tools, release ${release}, V${release}.99"`;

// A toolkit in its usual place would be found too.
describe.skipIf(existsSync('/usr/local/cuda/bin/nvcc'))('CUDA on this machine', () => {
  it('is no problem with a driver and an nvcc that fit', () => {
    expect(probe('cudaProblem()', { 'nvidia-smi': driver('535.104.05'), nvcc: nvcc('12.4') })).toBe(null);
    expect(probe('cudaProblem()', { 'nvidia-smi': driver('580.65.06'), nvcc: nvcc('13.0') })).toBe(null);
    expect(probe('cudaCompiler()', { nvcc: nvcc('12.6') })).toEqual({ path: '<path>/nvcc', release: '12.6' });
  });

  it('tells that no driver answers', () => {
    const line = 'expected an NVIDIA driver, got none that answers nvidia-smi';
    expect(probe('cudaProblem()', { nvcc: nvcc('12.4') })).toBe(line);
    expect(probe('cudaProblem()', { 'nvidia-smi': 'exit 9', nvcc: nvcc('12.4') })).toBe(line);
  });

  it('tells a missing and an old nvcc', () => {
    expect(probe('cudaProblem()', { 'nvidia-smi': driver('535.104.05') })).toMatchInlineSnapshot(
      `"expected nvcc >= 12.4 on PATH, in $CUDA_HOME/bin or in /usr/local/cuda/bin, got none; install NVIDIA's CUDA toolkit"`,
    );
    expect(probe('cudaProblem()', { 'nvidia-smi': driver('535.104.05'), nvcc: nvcc('11.8') })).toMatchInlineSnapshot(
      `"expected nvcc >= 12.4 on PATH, in $CUDA_HOME/bin or in /usr/local/cuda/bin, got 11.8 at <path>/nvcc; install NVIDIA's CUDA toolkit"`,
    );
    expect(probe('cudaCompiler()', { nvcc: nvcc('12.3') })).toBe(null);
  });

  it('tells a driver that is too old for what nvcc compiles', () => {
    expect(probe('cudaProblem()', { 'nvidia-smi': driver('550.54.14'), nvcc: nvcc('13.0') })).toMatchInlineSnapshot(
      `"expected a driver >= 580 for what nvcc 13.0 compiles, got 550.54.14; install a newer driver, or CUDA toolkit 12 beside it and set CUDA_HOME"`,
    );
  });

  it('changes the key of a build when a toolkit comes', () => {
    expect(probe('cudaTraces()', {})).not.toEqual(probe('cudaTraces()', { nvcc: nvcc('12.4') }));
  });
});
