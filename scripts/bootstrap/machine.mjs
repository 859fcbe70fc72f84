// What the machine must bring: probes, and the one line that says what is missing, why, and how to install it.
import { existsSync, readFileSync } from 'node:fs';
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

/** The least nvcc for our kernels, and the least driver that runs what each major release compiles. */
const leastNvcc = '12.4';
const leastDrivers = { 12: 525, 13: 580 };

function isAtLeast(release, least) {
  const [[major, minor], [leastMajor, leastMinor]] = [release, least].map((text) => text.split('.').map(Number));
  return major > leastMajor || (major === leastMajor && minor >= leastMinor);
}

function nvccPaths() {
  const { CUDACXX, CUDA_HOME, CUDA_PATH } = process.env;
  const homes = [CUDA_HOME, CUDA_PATH, '/usr/local/cuda'].filter(Boolean);
  const paths = [CUDACXX, onPath('nvcc'), ...homes.map((home) => join(home, 'bin/nvcc'))];
  return paths.filter((path) => path && existsSync(path));
}

/** Every nvcc that this machine has in one of the usual places, with its release. */
function installedNvccs() {
  return nvccPaths().flatMap((path) => {
    const release = outputOf(path, ['--version'])?.match(/release (\d+\.\d+)/)?.[1];
    return release === undefined ? [] : [{ path, release }];
  });
}

/** The machine's own nvcc where it is new enough, else null. */
export function cudaCompiler() {
  return installedNvccs().find(({ release }) => isAtLeast(release, leastNvcc)) ?? null;
}

/** The version of the NVIDIA driver that answers here, or null. */
export function cudaDriver() {
  const text = outputOf('nvidia-smi', ['--query-gpu=driver_version', '--format=csv,noheader']);
  return text?.split('\n')[0]?.trim() || null;
}

/** What shows at no cost that a driver or a toolkit came or went. */
export function cudaTraces() {
  const version = '/proc/driver/nvidia/version';
  return [existsSync(version) ? readFileSync(version, 'utf8') : null, nvccPaths()];
}

/** Null when CUDA kernels can be compiled here and then run here, else the line to print. */
export function cudaProblem() {
  const driver = cudaDriver();
  if (driver === null) return 'expected an NVIDIA driver, got none that answers nvidia-smi';
  const nvcc = cudaCompiler();
  if (nvcc === null) {
    const found = installedNvccs()[0];
    const got = found === undefined ? 'none' : `${found.release} at ${found.path}`;
    return `expected nvcc >= ${leastNvcc} on PATH, in $CUDA_HOME/bin or in /usr/local/cuda/bin, got ${got}; install NVIDIA's CUDA toolkit`;
  }
  const least = leastDrivers[majorVersion(nvcc.release)] ?? 0;
  if (majorVersion(driver) >= least) return null;
  return `expected a driver >= ${least} for what nvcc ${nvcc.release} compiles, got ${driver}; install a newer driver, or CUDA toolkit 12 beside it and set CUDA_HOME`;
}
