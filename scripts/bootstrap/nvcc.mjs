// nvcc for the compile check: the machine's own, else PyPI's under build/nvcc. The latter has compiler and headers but no
// libraries, so nothing is linked with it; what is to run on a GPU is built with the machine's own toolkit.
import { chmodSync, existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cudaCompiler, platformProblem, pythonProblem } from './machine.mjs';
import { build, filesUnder, isStamped, keyOf, perform, writeStamp } from './steps.mjs';
import { download, unpack } from './wheels.mjs';

/** One toolkit, 13.0.2. Of cccl only the headers that the others include. */
const packages = [
  {
    requirement: 'nvidia-cuda-nvcc==13.0.88',
    sha256: '56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03',
    prefixes: ['nvidia/cu13/'],
  },
  {
    requirement: 'nvidia-nvvm==13.0.88',
    sha256: 'c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0',
    prefixes: ['nvidia/cu13/nvvm/'],
  },
  {
    requirement: 'nvidia-cuda-crt==13.0.88',
    sha256: '2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4',
    prefixes: ['nvidia/cu13/'],
  },
  {
    requirement: 'nvidia-cuda-runtime==13.0.96',
    sha256: '7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548',
    prefixes: ['nvidia/cu13/include/'],
  },
  {
    requirement: 'nvidia-cuda-cccl==13.0.85',
    sha256: 'e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649',
    prefixes: ['nvidia/cu13/include/nv/', 'nvidia/cu13/include/cccl/nv/'],
  },
];
const folder = join(build, 'nvcc');
const toolkit = join(folder, 'nvidia/cu13');

/** The nvcc to compile with, fetched once where the machine has none, or why there is none. */
export async function obtainNvcc() {
  const own = cudaCompiler();
  if (own !== null) return { path: own.path, release: own.release, problem: null };
  const path = join(toolkit, 'bin/nvcc');
  const key = keyOf([], packages);
  if (!isStamped('nvcc', key, [path])) {
    const problem = platformProblem() ?? pythonProblem();
    if (problem !== null) return { path: null, release: null, problem };
    await perform({ title: 'nvcc 13.0 from PyPI', run: fetchNvcc });
    writeStamp('nvcc', key);
  }
  return { path, release: '13.0', problem: null };
}

async function fetchNvcc() {
  const downloads = join(build, 'wheels_nvcc');
  const temporary = `${folder}.tmp`;
  rmSync(temporary, { recursive: true, force: true });
  const requirements = packages.map(({ requirement, sha256 }) => `${requirement} --hash=sha256:${sha256}`);
  for (const wheel of await download(requirements, downloads)) {
    const one = packages.find(({ requirement }) => isWheelOf(wheel, requirement));
    await unpack(wheel, temporary, one.prefixes);
  }
  // An archive unpacked by Python loses the permission to run.
  for (const name of ['bin', 'nvvm/bin']) {
    for (const path of filesUnder(join(temporary, 'nvidia/cu13', name))) chmodSync(path, 0o755);
  }
  if (existsSync(folder)) rmSync(folder, { recursive: true });
  renameSync(temporary, folder);
  rmSync(downloads, { recursive: true, force: true });
}

function isWheelOf(wheel, requirement) {
  return wheel.includes(`/${requirement.replaceAll('-', '_').replace('==', '-')}-`);
}
