// What the machine must bring: probes, and the one line that says what is missing, why, and how to install it.
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { outputOf } from './steps.mjs';

/** One line for a person: what was expected, what is there, what it is for, the Debian/Ubuntu command. */
function missing(expected, got, why, packages) {
  return `expected ${expected}, got ${got}: ${why}; install with: sudo apt-get install -y ${packages}`;
}

export function compiler() {
  return process.env.CXX || 'g++';
}

function majorVersion(text) {
  return text === null ? null : Number(text.split('.')[0]);
}

/** The path of a program found on PATH, or null. */
export function onPath(name) {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    if (folder !== '' && existsSync(join(folder, name))) return join(folder, name);
  }
  return null;
}

/** Null when python3 >= 3.10 with pip is there, else the line to print. */
export function pythonProblem() {
  const why = 'pip fetches the TensorFlow library, nothing of Python is used afterwards';
  const version = outputOf('python3', ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])']);
  if (version === null) return missing('python3 >= 3.10', 'none', why, 'python3 python3-pip');
  const [major, minor] = version.split('.').map(Number);
  if (major !== 3 || minor < 10) return missing('python3 >= 3.10', `python3 ${version}`, why, 'python3 python3-pip');
  if (outputOf('python3', ['-m', 'pip', '--version']) === null) {
    return missing('pip for python3', `python3 ${version} without pip`, why, 'python3-pip');
  }
  return null;
}

/** Null when a C++ compiler of sufficient age is there, else the line to print. */
export function compilerProblem() {
  const command = compiler();
  const why = 'it compiles the TensorFlow binding and the kernels';
  const version = outputOf(command, ['-dumpfullversion']) ?? outputOf(command, ['-dumpversion']);
  if (version === null) return missing('g++ >= 11', 'none', why, 'g++');
  if (majorVersion(version) < 11)
    return missing('g++ >= 11', `${command} ${version}`, why, 'g++-12 && export CXX=g++-12');
  return null;
}

/** Null on a platform for which TensorFlow 2.21 has a library, else the line to print. */
export function platformProblem() {
  if (process.platform === 'linux' && process.arch === 'x64') return null;
  return (
    `expected linux on x86_64, got ${process.platform} on ${process.arch}: the pinned TensorFlow library is built for ` +
    'that platform only; point ROCIT_TENSORFLOW to a TensorFlow 2.21 folder of this machine'
  );
}

/** What a CUDA build would find here, in words; `driver` and `nvcc` are null when there is none. */
export function probeCuda() {
  const driver = outputOf('nvidia-smi', ['--query-gpu=driver_version,name', '--format=csv,noheader'])?.split('\n')[0];
  const release = outputOf('nvcc', ['--version'])?.match(/release (\d+\.\d+)/)?.[1];
  return { driver: driver || null, nvcc: release ?? null };
}
