// The house rules as tests: floors, cycles, sizes, names, papers. Each rule prints how much it looked at.
import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../src/config/load.ts';
import { leafPaths } from '../src/config/mistakes.ts';
import { architectureTree, withTree } from './support/architecture_tree.ts';
import { inRepository } from './support/paths.ts';
import { filesBelow, headSentence, type SourceFile, sourcesBelow } from './support/sources.ts';

/** Room → the rooms it may import, besides itself. */
const ROOMS: Record<string, string[]> = {
  core: [],
  config: ['core'],
  engine: ['core'],
  data: ['core'],
  nn: ['core', 'engine'],
  checkpoint: ['core', 'engine'],
  models: ['core', 'engine', 'nn'],
  training: ['core', 'config', 'engine', 'data', 'nn', 'checkpoint', 'models'],
  inference: ['core', 'engine', 'nn', 'models', 'data', 'checkpoint'],
  roles: ['core', 'data'],
  evaluation: ['inference', 'data', 'core'],
  sweeps: ['core', 'config'],
};
const ALL_ROOMS = Object.keys(ROOMS);
/** Files that may import more than their room. */
const MORE: Record<string, string[]> = {
  'src/models/load.ts': ['checkpoint'],
  'src/models/merge.ts': ['checkpoint'],
};

/** Package → the files or folders that may import it. A package that is not here may not be imported at all. */
const PACKAGES: Record<string, string[]> = {
  '@huggingface/jinja': ['src/data/'],
  '@tensorflow/tfjs-backend-cpu': ['src/engine/'],
  '@tensorflow/tfjs-core': ['src/engine/'],
  '@tensorflow/tfjs-node-gpu': ['src/engine/'],
  '@xenova/transformers': ['src/data/tokenizer_xenova.ts', 'src/data/xenova_tokenizers.d.ts'],
  'apache-arrow': ['src/data/shards.ts'],
  'cli-progress': ['src/training/', 'src/commands/'],
  'fastest-levenshtein': ['src/config/', 'src/commands/', 'src/inference/'],
  tokenizers: ['src/data/tokenizer_rust.ts'],
  yaml: ['src/config/', 'src/checkpoint/model_card.ts'],
  yargs: ['src/cli.ts', 'src/commands/registry.ts'],
  zod: ['src/config/', 'src/models/', 'src/training/progress.ts'],
};

const MAX_FILE_LINES = 300;
const MAX_TEST_LINES = 450;
const MAX_FUNCTION_LINES = 60;
/** Files above the bounds, each with its reason. */
const EXCEPTIONS: Record<string, string> = {};

const src = sourcesBelow('src');
const tests = sourcesBelow('tests');
const kernels = filesBelow('kernels');
const configs = filesBelow('configs').filter((path) => path.endsWith('.yaml'));
const numImports = src.reduce((sum, file) => sum + file.imports.length, 0);

afterAll(() => {
  const counts = [
    `${src.length} source files`,
    `${numImports} imports`,
    `${src.reduce((sum, file) => sum + file.functions.length, 0)} functions`,
    `${tests.length} test files`,
    `${kernels.length} kernel files`,
    `${configs.length} configs`,
  ];
  process.stdout.write(`architecture: checked ${counts.join(', ')}\n`);
});

/** The room of a file, or its own name for the doors. */
function roomOf(path: string): string {
  const [, room = '', file] = path.split('/');
  return file === undefined ? basename(room, '.ts') : room;
}

function allowedRooms(file: SourceFile): string[] {
  const room = roomOf(file.path);
  if (room === 'commands') return [...ALL_ROOMS, 'commands'];
  if (room === 'cli') return ['commands', 'core'];
  if (room === 'index') return [...ALL_ROOMS, 'commands'];
  return [room, ...(ROOMS[room] ?? []), ...(MORE[file.path] ?? [])];
}

describe('rooms', () => {
  it('looks at something', () => {
    expect(src.length).toBeGreaterThan(20);
    expect(numImports).toBeGreaterThan(50);
    expect(tests.length).toBeGreaterThan(5);
    expect(configs.length).toBeGreaterThan(0);
  });

  it('every folder of src is a room of the table', () => {
    const rooms = new Set(src.map((file) => roomOf(file.path)));
    expect([...rooms].filter((room) => ![...ALL_ROOMS, 'commands', 'cli', 'index'].includes(room))).toEqual([]);
  });

  it('imports go downwards only, as the table allows', () => {
    const wrong = src.flatMap((file) =>
      file.imports
        .filter(({ target, isPackage }) => !isPackage && !allowedRooms(file).includes(roomOf(target)))
        .map(({ target }) => `${file.path} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('relative imports name files that exist, with their ending', () => {
    const paths = new Set(src.map((file) => file.path));
    const wrong = src.flatMap((file) =>
      file.imports.filter(({ target, isPackage }) => !isPackage && !paths.has(target)).map(({ target }) => target),
    );
    expect(wrong).toEqual([]);
  });

  it('there are no cycles', () => {
    expect(findCycles(src)).toEqual([]);
  });

  it('packages are imported where the table says and nowhere else', () => {
    const wrong = src.flatMap((file) =>
      file.imports
        .filter(({ target, isPackage }) => isPackage && !target.startsWith('node:'))
        .filter(({ target }) => !(PACKAGES[target] ?? []).some((place) => file.path.startsWith(place)))
        .map(({ target }) => `${file.path} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('the command line starts without the engine, data and models: handlers import them lazily', () => {
    const byPath = new Map(src.map((file) => [file.path, file]));
    const reached = new Set<string>();
    const visit = (path: string): void => {
      if (reached.has(path)) return;
      reached.add(path);
      for (const one of byPath.get(path)?.imports ?? []) if (!one.isPackage && !one.isLazy) visit(one.target);
    };
    visit('src/cli.ts');
    expect(new Set([...reached].map(roomOf))).toEqual(new Set(['cli', 'commands', 'core']));
  });
});

/** Each cycle of imports as `a → b → a`. */
function findCycles(files: SourceFile[]): string[] {
  const edges = new Map(
    files.map((file) => [file.path, file.imports.filter((one) => !one.isPackage).map((one) => one.target)]),
  );
  const cycles: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: string[]): void => {
    const at = trail.indexOf(path);
    if (at >= 0) cycles.push([...trail.slice(at), path].join(' → '));
    if (at >= 0 || done.has(path)) return;
    for (const next of edges.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const file of files) visit(file.path, []);
  return cycles;
}

describe('files', () => {
  it('names are snake_case', () => {
    const paths = ['src', 'tests', 'kernels', 'scripts', 'configs'].flatMap(filesBelow);
    const named = /^([a-z0-9_]+(\.[a-z0-9_]+)*|README\.md|CMakeLists\.txt)$/;
    const wrong = paths.filter(
      (path) =>
        !path
          .split('/')
          .slice(1)
          .every((part) => named.test(part)),
    );
    expect(wrong).toEqual([]);
  });

  it('no room or file is called utils, helpers, common or misc', () => {
    const wrong = src.map((file) => file.path).filter((path) => /\b(utils?|helpers?|common|misc)\b/.test(path));
    expect(wrong).toEqual([]);
  });

  it('source files have at most 300 lines, tests and kernels 450', () => {
    const bounded = [
      ...src.map(({ path }) => ({ path, bound: MAX_FILE_LINES })),
      ...tests.map(({ path }) => ({ path, bound: MAX_TEST_LINES })),
      ...kernels.map((path) => ({ path, bound: MAX_TEST_LINES })),
    ];
    const long = bounded.filter(({ path, bound }) => countLines(path) > bound && EXCEPTIONS[path] === undefined);
    expect(long.map(({ path }) => `${path}: ${countLines(path)} lines`)).toEqual([]);
  });

  it('functions of src have at most 60 lines', () => {
    const long = src.flatMap((file) =>
      file.functions
        .filter(({ lines }) => lines > MAX_FUNCTION_LINES)
        .map(({ name, line, lines }) => `${file.path}:${line} ${name}: ${lines} lines`),
    );
    expect(long).toEqual([]);
  });

  it('every source file says at its head what lives there, in 1 to 6 lines', () => {
    const wrong = src.filter(({ text }) => {
      const lines = text.replace(/^#!.*\n/, '').split('\n');
      const head = lines.findIndex((line) => !line.startsWith('//'));
      return headSentence(text) === null || head > 6;
    });
    expect(wrong.map((file) => file.path)).toEqual([]);
  });

  it('randomness and time come from src/core alone; no any, no double casts, no enums', () => {
    const wrong = src.flatMap((file) =>
      file.marks
        .filter(({ what }) => !(file.path.startsWith('src/core/') && /Math|Date/.test(what)))
        .map(({ what, line }) => `${file.path}:${line} ${what}`),
    );
    expect(wrong).toEqual([]);
  });

  it('tests mirror src: a test in the folder of a room is called like a file of it or imports one', () => {
    const rooms = new Set(src.map((file) => roomOf(file.path)));
    const stems = src.map((file) => file.path.slice(0, -3));
    const wrong = tests.filter(({ path, imports }) => {
      const [, room = '', ...rest] = path.split('/');
      const isOfRoom = rest.length > 0 && rooms.has(room) && room !== 'cli' && path.endsWith('.test.ts');
      const isImporting = imports.some(({ target }) => target.startsWith(`src/${room}/`));
      return isOfRoom && !isImporting && !mirrors(path, stems);
    });
    expect(wrong.map((file) => file.path)).toEqual([]);
  });
});

/** tests/data/pack.test.ts and tests/data/pack_properties.test.ts mirror src/data/pack.ts. */
function mirrors(path: string, stems: string[]): boolean {
  const own = path.replace('tests/', 'src/').replace('.test.ts', '');
  return stems.some((stem) => own === stem || own.startsWith(`${stem}_`));
}

function countLines(path: string): number {
  return readFileSync(inRepository(path), 'utf8').trimEnd().split('\n').length;
}

describe('papers', () => {
  it('ARCHITECTURE.md prints the tree of src with a remark a file (refresh: vitest -u)', async () => {
    const path = inRepository('ARCHITECTURE.md');
    await expect(withTree(readFileSync(path, 'utf8'), architectureTree(src))).toMatchFileSnapshot(path);
  });

  it('every key of the config is read by some room', () => {
    const readers = src.filter((file) => !file.path.startsWith('src/config/')).map((file) => file.text);
    const idle = leafPaths().filter((path) => {
      const name = path.split('.').at(-1) ?? path;
      return !readers.some((text) => new RegExp(`\\b${name}\\b`).test(text));
    });
    expect(leafPaths().length).toBeGreaterThan(30);
    expect(idle).toEqual([]);
  });

  it.each(configs)('%s: its head has what it is, the command and an override, which load', (path) => {
    const head = /^(#.*\n)+/.exec(readFileSync(inRepository(path), 'utf8'))?.[0] ?? '';
    const commands = [...head.matchAll(/^#\s+(?:npx )?rocit \w+ (\S+)(.*)$/gm)];
    const overrides = commands.map(([, , rest = '']) =>
      rest
        .trim()
        .split(/\s+/)
        .filter((word) => word.includes('=')),
    );
    expect(head).toMatch(/^# [A-Z].{20,}/);
    expect(commands.map(([, config]) => config)).toEqual(commands.map(() => path));
    expect(overrides.filter((words) => words.length === 0).length, 'a command without override').toBeGreaterThan(0);
    expect(overrides.filter((words) => words.length > 0).length, 'a command with an override').toBeGreaterThan(0);
    for (const words of overrides) loadConfig(inRepository(path), words);
  });

  it('every dependency is used, every import is a dependency', () => {
    const manifest = JSON.parse(readFileSync(inRepository('package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
      devDependencies: Record<string, string>;
      scripts: Record<string, string>;
    };
    const imported = new Set(src.flatMap((file) => file.imports.map((one) => one.target)));
    const text = [...filesBelow('scripts'), ...src.map((file) => file.path), ...kernels].map(read).join('\n');
    const unused = Object.keys(manifest.dependencies).filter((name) => !imported.has(name) && !text.includes(name));
    expect(unused).toEqual([]);
    expect(Object.keys(PACKAGES).filter((name) => !(name in manifest.dependencies))).toEqual([]);
    const development = [text, ...tests.map((file) => file.text), Object.values(manifest.scripts).join('\n')].join(
      '\n',
    );
    const idle = Object.keys(manifest.devDependencies).filter((name) => {
      const typed = name.replace(/^@types\//, '');
      const isTypes = name.startsWith('@types/') && (typed === 'node' || typed in manifest.dependencies);
      return !isTypes && !development.includes(name.replace('@biomejs/', '')) && !development.includes(name);
    });
    expect(idle).toEqual([]);
  });

  it('links between the papers lead somewhere', () => {
    const papers = ['README.md', 'ARCHITECTURE.md', 'checkpoints/README.md', 'kernels/README.md'].filter((path) =>
      existsSync(inRepository(path)),
    );
    expect(papers.length).toBeGreaterThan(1);
    const broken = papers.flatMap((paper) =>
      [...read(paper).matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)]
        .map(([, link = '']) => inRepository(paper, '..', link))
        .filter((target) => !existsSync(target)),
    );
    expect(broken).toEqual([]);
  });
});

function read(path: string): string {
  return readFileSync(inRepository(path), 'utf8');
}
