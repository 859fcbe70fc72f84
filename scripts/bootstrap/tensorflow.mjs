// The TensorFlow library: from the pinned PyPI wheel (libraries and headers only), or a folder the user names.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { compiler, compilerProblem, cudaDriver, platformProblem, pythonProblem } from './machine.mjs';
import { build, isStamped, keyOf, outputOf, run, SetupError, say, writeStamp, writeWhole } from './steps.mjs';
import { download, unpack } from './wheels.mjs';

const version = '2.21.0';
const wheels = {
  cpu: { name: 'tensorflow-cpu', sha256: 'dcc8afd32930e42d5296b6ee19078b773706830af4ea97fbe503b9f5e0f820cb' },
  gpu: { name: 'tensorflow', sha256: 'b3b95643c4e70eb925839938fb35cbe142f317ec84af6844ee61513713bb13c0' },
};

const requirementsProgram = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    name = next(name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))
    print(archive.read(name).decode())
`;

/** `--gpu` and `--cpu` are remembered, so that a later plain run keeps the choice. */
export function chooseFlavour(flags) {
  const path = join(build, 'flavour');
  const remembered = existsSync(path) ? readFileSync(path, 'utf8').trim() : 'cpu';
  const flavour = flags.has('--gpu') ? 'gpu' : flags.has('--cpu') ? 'cpu' : remembered;
  if (flavour !== remembered) writeWhole(path, `${flavour}\n`);
  return flavour;
}

/** Where the library lies, and the run-time search paths for it relative to the checkout (absolute for the user's own). */
export function locateTensorflow(flavour) {
  const own = process.env.ROCIT_TENSORFLOW;
  if (own) return { folder: resolve(own), isOwn: true, flavour };
  const folder = flavour === 'gpu' ? join(build, 'tensorflow_gpu/tensorflow') : join(build, 'tensorflow');
  return { folder, isOwn: false, flavour };
}

/** Folders for the rpath: the library's own, and those of the NVIDIA packages beside it. */
export function libraryFolders({ folder, isOwn, flavour }) {
  const nvidia = join(folder, '../nvidia');
  if (isOwn || flavour !== 'gpu' || !existsSync(nvidia)) return [folder];
  const packages = readdirSync(nvidia).map((name) => join(nvidia, name, 'lib'));
  return [folder, ...packages.filter((path) => existsSync(path))];
}

function libraryFiles(folder) {
  return ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2', 'include'].map((name) => join(folder, name));
}

export function tensorflowStep(place) {
  const name = `tensorflow_${place.isOwn ? 'own' : place.flavour}`;
  const key = keyOf([], version, place, place.isOwn ? '' : wheels[place.flavour].sha256);
  const outputs = libraryFiles(place.folder);
  return {
    title: place.isOwn ? `TensorFlow ${version} in ${place.folder}` : `TensorFlow ${version} (${place.flavour})`,
    isDone: () => isStamped(name, key, outputs),
    problem: () => (place.isOwn ? null : (platformProblem() ?? pythonProblem())),
    run: async () => {
      if (place.isOwn) await checkOwn(place.folder);
      else if (place.flavour === 'gpu') await obtainGpu(place.folder);
      else await obtainCpu(place.folder);
      writeStamp(name, key);
    },
  };
}

/** The user's own TensorFlow must have the files and report the version, since C++ headers bind to exactly one. */
async function checkOwn(folder) {
  const absent = libraryFiles(folder).filter((path) => !existsSync(path));
  if (absent.length > 0) {
    throw new SetupError(
      `ROCIT_TENSORFLOW: expected a TensorFlow ${version} package folder, got one without ${absent.join(', ')}.`,
    );
  }
  const problem = compilerProblem();
  if (problem !== null) return;
  const source = join(build, 'tensorflow_version.cc');
  mkdirSync(build, { recursive: true });
  writeFileSync(
    source,
    '#include <cstdio>\nextern "C" const char* TF_Version();\nint main() { std::puts(TF_Version()); }\n',
  );
  const libraries = libraryFiles(folder).slice(0, 2);
  const program = join(build, 'tensorflow_version');
  await run('tensorflow_version', compiler(), [source, '-o', program, ...libraries, `-Wl,-rpath,${folder}`]);
  const found = outputOf(program, []);
  if (found !== version) {
    throw new SetupError(
      `ROCIT_TENSORFLOW: expected TensorFlow ${version}, got ${found ?? 'a library that does not load'} in ${folder}.`,
    );
  }
}

async function obtainCpu(folder) {
  const downloads = join(build, 'wheels');
  const temporary = join(build, 'tensorflow.tmp');
  const { name, sha256 } = wheels.cpu;
  const [wheel] = await download([`${name}==${version} --hash=sha256:${sha256}`], downloads);
  rmSync(temporary, { recursive: true, force: true });
  await unpack(wheel, temporary, ['tensorflow/libtensorflow', 'tensorflow/include/']);
  rmSync(folder, { recursive: true, force: true });
  renameSync(join(temporary, 'tensorflow'), folder);
  for (const path of [downloads, temporary]) rmSync(path, { recursive: true, force: true });
}

/** The wheel for CUDA 12 and the NVIDIA libraries that its own metadata asks for, laid out as site-packages has them. */
async function obtainGpu(folder) {
  const driver = cudaDriver();
  say(
    driver === null
      ? 'no NVIDIA driver answers here: the GPU libraries are fetched, but this machine will compute on the CPU'
      : `driver ${driver}`,
  );
  const downloads = join(build, 'wheels');
  const site = join(folder, '..');
  const temporary = `${site}.tmp`;
  const { name, sha256 } = wheels.gpu;
  const [wheel] = await download([`${name}==${version} --hash=sha256:${sha256}`], downloads);
  rmSync(temporary, { recursive: true, force: true });
  await unpack(wheel, temporary, ['tensorflow/libtensorflow', 'tensorflow/include/']);
  const metadata = outputOf('python3', ['-c', requirementsProgram, wheel]) ?? '';
  const listed = [...metadata.matchAll(/^Requires-Dist: (nvidia-[^;]+);.*extra == ['"]and-cuda['"]/gm)];
  if (listed.length === 0)
    throw new SetupError(`expected NVIDIA packages in the metadata of ${name} ${version}, got none.`);
  for (const path of await download(
    listed.map((match) => match[1].trim()),
    downloads,
  ))
    await unpack(path, temporary, ['nvidia/']);
  rmSync(site, { recursive: true, force: true });
  renameSync(temporary, site);
  rmSync(downloads, { recursive: true, force: true });
}
