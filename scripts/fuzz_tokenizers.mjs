// Compares rocit's tokenizer with the cases that Python `tokenizers` wrote (scripts/make_tokenizer_fuzz.py describes the
// files), three lines a tokenizer. Exit code 1 where anything differs, or is refused without ROCIT_TOKENIZER=xenova, but
// for the texts that are refused on purpose: what `unigram` and `overlap` cannot read as text.
//   node scripts/fuzz_tokenizers.mjs FOLDER [NAME ...]
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadTokenizer } from '../dist/data/tokenizer.js';

const BATCH = 256;
const SHOWN = 3;
const isSecond = process.env.ROCIT_TOKENIZER === 'xenova';
const REFUSING = ['unigram', 'overlap'];

const isUserError = (error) => error instanceof Error && error.name === 'UserError';

/** JSON in ASCII, so that blanks, marks and controls can be told apart. */
function asciiJson(value) {
  return JSON.stringify(value).replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function readLines(path) {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.slice(0, -1).map((line) => JSON.parse(line));
}

function readInts(path) {
  const bytes = readFileSync(path);
  return Int32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readInt32LE(4 * i));
}

/** The ids of each case of one kind. */
function readIds(folder, kind) {
  const ids = readInts(join(folder, `${kind}.ids.bin`));
  let start = 0;
  return Array.from(readInts(join(folder, `${kind}.lengths.bin`)), (length) => {
    start += length;
    return ids.subarray(start - length, start);
  });
}

const sameIds = (a, b) => a.length === b.length && a.every((id, i) => id === b[i]);

/** Ids of each text, or the UserError that refused it. */
async function encodeAll(tokenizer, texts) {
  const results = [];
  const isLeft = texts.some((text) => text === null);
  if (isLeft) {
    const kept = await encodeAll(
      tokenizer,
      texts.filter((text) => text !== null),
    );
    let next = 0;
    return texts.map((text) =>
      text === null ? new Error('a token that is searched for in the normalised text') : kept[next++],
    );
  }
  for (let at = 0; at < texts.length; at += BATCH) {
    const batch = texts.slice(at, at + BATCH);
    try {
      const encoded = await tokenizer.encode(batch);
      if (encoded.length !== batch.length) throw new Error(`expected ${batch.length} results, got ${encoded.length}`);
      results.push(...encoded);
    } catch (error) {
      if (!isUserError(error)) throw error;
      for (const text of batch) results.push(await encodeOne(tokenizer, text));
    }
  }
  return results;
}

async function encodeOne(tokenizer, text) {
  try {
    const [ids] = await tokenizer.encode([text]);
    return ids;
  } catch (error) {
    if (isUserError(error)) return error;
    throw error;
  }
}

/** Ids of special tokens, to tell texts in which Python itself reads one; not the one that stands for anything unknown. */
function specialIds(folder) {
  const { added_tokens: added, model } = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8'));
  const unknown = model.byte_fallback === true ? null : model.unk_token;
  return new Set(added.filter(({ special, content }) => special && content !== unknown).map(({ id }) => id));
}

function newReport() {
  return { cases: 0, tokens: 0, different: 0, readsSpecial: 0, refused: 0, reason: null, shown: [] };
}

function addDifference(report, what) {
  report.different += 1;
  if (report.shown.length < SHOWN) report.shown.push(what);
}

async function compareEncoding(report, tokenizer, { folder, kind, texts, inputs }) {
  const expected = readIds(folder, kind);
  if (expected.length !== inputs.length) throw new Error(`${folder}: expected ids for each of ${kind}.jsonl`);
  const special = kind === 'texts' ? specialIds(folder) : new Set();
  const start = performance.now();
  const results = await encodeAll(tokenizer, inputs);
  report.seconds = (performance.now() - start) / 1000;
  results.forEach((got, i) => {
    report.cases += 1;
    report.tokens += expected[i].length;
    if (got instanceof Error) {
      report.refused += 1;
      report.reason ??= got.message;
    } else if (!sameIds(expected[i], got)) {
      if (expected[i].some((id) => special.has(id))) report.readsSpecial += 1;
      addDifference(report, { [kind]: texts[i], expected: [...expected[i]], got: [...got] });
    }
  });
}

/** Special tokens that Python searches for in a changed text; rocit takes them for their ids, and not in chat templates. */
function misread({ addedTokens, normalizes }) {
  return addedTokens.filter((token) => token.special && token.normalized && normalizes);
}

function compareDecoding(report, tokenizer, folder) {
  const left = new Set(misread(tokenizer).map(({ id }) => id));
  for (const kind of ['texts', 'prompts', 'sequences']) {
    const ids = readIds(folder, kind);
    for (const [i, pair] of readLines(join(folder, `${kind}.decoded.jsonl`)).entries()) {
      if (ids[i].some((id) => left.has(id))) continue;
      for (const [skip, expected] of pair.entries()) {
        const skipSpecialTokens = skip === 1;
        const got = tokenizer.decode(ids[i], { skipSpecialTokens });
        report.cases += 1;
        report.tokens += ids[i].length;
        if (got !== expected) addDifference(report, { ids: [...ids[i]], skipSpecialTokens, expected, got });
      }
    }
  }
}

function print(name, what, report) {
  const speed = report.seconds ? `, ${Math.round(report.tokens / report.seconds)} tokens/s` : '';
  const special = report.readsSpecial ? ` (${report.readsSpecial} where Python reads a special token)` : '';
  process.stdout.write(
    `${name}: ${report.cases} ${what}, ${report.tokens} tokens, ${report.different} differences${special}, ` +
      `${report.refused} refused${report.reason === null ? '' : ` (${asciiJson(report.reason)})`}${speed}\n`,
  );
  for (const shown of report.shown) process.stdout.write(`  ${asciiJson(shown)}\n`);
}

/** Compares one folder; true where all is well. */
async function compare(root, name) {
  const folder = join(root, name);
  let tokenizer;
  try {
    tokenizer = await loadTokenizer(folder);
  } catch (error) {
    if (!isUserError(error)) throw error;
    process.stdout.write(`${name}: the tokenizer is refused (${asciiJson(error.message)})\n`);
    return isSecond;
  }
  const texts = readLines(join(folder, 'texts.jsonl'));
  const prompts = readLines(join(folder, 'prompts.jsonl'));
  const left = new Set(misread(tokenizer).map(({ content }) => content));
  // A prompt with a token that Python misreads is counted as refused.
  const filled = prompts.map((pieces) =>
    pieces.some(({ token }) => left.has(token))
      ? null
      : pieces.map((piece) => ('token' in piece ? tokenizer.placeholder(piece.token) : piece.text)).join(''),
  );
  const reports = { texts: newReport(), prompts: newReport(), decodings: newReport() };
  await compareEncoding(reports.texts, tokenizer, { folder, kind: 'texts', texts, inputs: texts });
  await compareEncoding(reports.prompts, tokenizer, { folder, kind: 'prompts', texts: prompts, inputs: filled });
  compareDecoding(reports.decodings, tokenizer, folder);
  for (const [what, report] of Object.entries(reports)) print(name, what, report);
  const mayRefuse = isSecond || REFUSING.includes(name) || left.size > 0;
  return Object.values(reports).every(({ different, refused }) => different === 0 && (mayRefuse || refused === 0));
}

const [root, ...only] = process.argv.slice(2);
if (root === undefined) {
  process.stderr.write('expected the folder of the cases: node scripts/fuzz_tokenizers.mjs FOLDER [NAME ...]\n');
  process.exit(2);
}
const isCase = (name) => existsSync(join(root, name, 'texts.jsonl')) && (only.length === 0 || only.includes(name));
const names = readdirSync(root).filter(isCase);
if (names.length === 0) throw new Error(`${root}: expected folders with texts.jsonl, got none`);
for (const name of names) {
  if (!(await compare(root, name))) process.exitCode = 1;
}
