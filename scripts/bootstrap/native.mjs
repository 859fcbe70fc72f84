// Compiles the binding that ships inside tfjs-node-gpu, and kernels/ into the addon that registers our operations.
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { compiler, compilerProblem, cudaCompiler, cudaProblem, cudaTraces, onPath, pythonProblem } from './machine.mjs';
import { build, isStamped, keyOf, root, run, say, writeStamp } from './steps.mjs';
import { libraryFolders } from './tensorflow.mjs';

export const headers = join(root, 'node_modules/node-api-headers/include');
// The flags of the wheel: its C++ headers bind an addon to exactly these.
const abiFlags = ['-std=c++17', '-D_GLIBCXX_USE_CXX11_ABI=1', '-DEIGEN_MAX_ALIGN_BYTES=64'];
const pinnedTools = [
  'cmake==3.31.6 --hash=sha256:1c8b05df0602365da91ee6a3336fe57525b137706c4ab5675498f662ae1dbcec',
  'ninja==1.11.1.4 --hash=sha256:096487995473320de7f65d622c3f1d16c3ad174797602218ca8c967f51ec38a0',
];

/** Search paths seen from the folder of the addon, so that a checkout may be moved; absolute for the user's own TensorFlow. */
function rpaths(place, addonFolder) {
  return libraryFolders(place).map((path) => (place.isOwn ? path : `$ORIGIN/${relative(addonFolder, path)}`));
}

export function bindingStep(place) {
  const packageFolder = join(root, 'node_modules/@tensorflow/tfjs-node-gpu');
  const target = join(packageFolder, 'lib/napi-v8/tfjs_binding.node');
  const key = keyOf([join(packageFolder, 'binding')], 'binding 1', place, abiFlags, compiler());
  return {
    title: 'TensorFlow binding',
    isDone: () => isStamped('binding', key, [target]),
    problem: compilerProblem,
    run: async () => {
      await compileBinding(place, packageFolder, target);
      writeStamp('binding', key);
    },
  };
}

async function compileBinding(place, packageFolder, target) {
  const sources = readdirSync(join(packageFolder, 'binding')).filter((name) => name.endsWith('.cc'));
  const objects = join(build, 'binding');
  mkdirSync(objects, { recursive: true });
  const flags = ['-w', '-O2', '-fPIC', ...abiFlags, '-DNAPI_VERSION=8', '-DBUILDING_NODE_EXTENSION'];
  const includes = ['-I', headers, '-I', join(place.folder, 'include'), '-I', packageFolder];
  const objectOf = (name) => join(objects, `${name}.o`);
  await Promise.all(
    sources.map((name) =>
      run(`binding_${name}`, compiler(), [
        ...flags,
        ...includes,
        '-c',
        join(packageFolder, 'binding', name),
        '-o',
        objectOf(name),
      ]),
    ),
  );
  mkdirSync(join(target, '..'), { recursive: true });
  const libraries = ['cc', 'framework'].map((name) => join(place.folder, `libtensorflow_${name}.so.2`));
  const search = rpaths(place, join(target, '..')).map((path) => `-Wl,-rpath,${path}`);
  await run('binding_link', compiler(), [
    '-shared',
    ...sources.map(objectOf),
    '-o',
    `${target}.tmp`,
    ...libraries,
    ...search,
  ]);
  renameSync(`${target}.tmp`, target);
}

/** The cmake and generator to use: the machine's own, else PyPI's under build/tools. */
async function cmakeTools() {
  const own = onPath('cmake');
  const maker = onPath('ninja') ?? onPath('make');
  if (own !== null && maker !== null)
    return { cmake: own, generator: onPath('ninja') ? 'Ninja' : 'Unix Makefiles', maker };
  const tools = join(build, 'tools');
  if (!existsSync(tools)) await installTools(tools);
  const ninja = [join(tools, 'bin/ninja'), join(tools, 'ninja/data/bin/ninja')].find((path) => existsSync(path));
  return { cmake: join(tools, 'cmake/data/bin/cmake'), generator: 'Ninja', maker: ninja };
}

async function installTools(tools) {
  const list = join(build, 'tools.txt');
  mkdirSync(build, { recursive: true });
  writeFileSync(list, `${pinnedTools.join('\n')}\n`);
  rmSync(`${tools}.tmp`, { recursive: true, force: true });
  const options = [
    '--no-deps',
    '--only-binary=:all:',
    '--no-cache-dir',
    '--progress-bar=off',
    '--target',
    `${tools}.tmp`,
  ];
  await run('pip_tools', 'python3', ['-m', 'pip', 'install', ...options, '-r', list]);
  renameSync(`${tools}.tmp`, tools);
}

/** Null when cmake with ninja or make is there or can be had through pip. */
export function cmakeProblem() {
  if (onPath('cmake') && (onPath('ninja') || onPath('make'))) return null;
  if (existsSync(join(build, 'tools')) || pythonProblem() === null) return null;
  return 'expected cmake with ninja or make, got none and no pip to fetch them: they build the kernels; install with: sudo apt-get install -y cmake make';
}

/** Configures kernels/ into `folder` and builds `targets`. */
export async function buildKernels(folder, settings, targets) {
  const { cmake, generator, maker } = await cmakeTools();
  const definitions = Object.entries({
    CMAKE_BUILD_TYPE: 'Release',
    CMAKE_CXX_COMPILER: compiler(),
    CMAKE_MAKE_PROGRAM: maker,
    ...settings,
  });
  const name = relative(build, folder);
  if (!existsSync(join(folder, generator === 'Ninja' ? 'build.ninja' : 'Makefile')))
    rmSync(folder, { recursive: true, force: true });
  await run(`${name}_configure`, cmake, [
    ...['-S', join(root, 'kernels'), '-B', folder, '-G', generator],
    ...definitions.map(([key, value]) => `-D${key}=${value}`),
  ]);
  const cores = String(Math.min(availableParallelism(), 8));
  await run(`${name}_build`, cmake, ['--build', folder, '--parallel', cores, '--target', ...targets]);
}

export function kernelsStep(place) {
  const addons = ['quiet_stderr.node', 'rocit_kernels.node'];
  const parts = ['CMakeLists.txt', 'include', 'cpu', 'cuda', 'node', 'tensorflow'].map((name) =>
    join(root, 'kernels', name),
  );
  const key = keyOf(parts, 'kernels 2', place, compiler(), place.flavour === 'gpu' ? cudaTraces() : []);
  return {
    title: 'kernels',
    isDone: () =>
      isStamped(
        'kernels',
        key,
        addons.map((name) => join(build, name)),
      ),
    problem: () => compilerProblem() ?? cmakeProblem(),
    run: async () => {
      const folder = join(build, 'kernels');
      const settings = {
        ROCIT_TENSORFLOW: place.folder,
        ROCIT_NODE_HEADERS: headers,
        ROCIT_RPATH: rpaths(place, build).join(';'),
        ROCIT_CUDA: 'OFF',
        ...cudaSettings(place),
      };
      await buildKernels(folder, settings, ['quiet_stderr', 'rocit_kernels']);
      for (const name of addons) {
        copyFileSync(join(folder, name), join(build, `${name}.tmp`));
        renameSync(join(build, `${name}.tmp`), join(build, name));
      }
      writeStamp('kernels', key);
    },
  };
}

/** The settings that compile kernels/cuda with the machine's nvcc, for a GPU build where what it makes can run; else none. */
function cudaSettings(place) {
  if (place.flavour !== 'gpu') return {};
  const problem = cudaProblem();
  if (problem !== null) {
    say(`CUDA kernels are left out: ${problem}. TensorFlow's own operations run on the GPU instead.`);
    return {};
  }
  const { path, release } = cudaCompiler();
  say(`CUDA kernels: nvcc ${release} at ${path}`);
  return { ROCIT_CUDA: 'ON', CMAKE_CUDA_COMPILER: path, CMAKE_CUDA_HOST_COMPILER: compiler() };
}
