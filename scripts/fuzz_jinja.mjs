// Compares rocit's renderings with those that transformers wrote (scripts/make_jinja_fuzz.py). A template that Python
// renders must be rendered alike or refused. Exit code 1 where one is not.
//   node scripts/fuzz_jinja.mjs FILE
import { readFileSync } from 'node:fs';
import { parseJinja } from '../dist/data/jinja.js';

const SHOWN = 3;
const [path] = process.argv.slice(2);
if (path === undefined) {
  process.stderr.write('expected the file of the cases: node scripts/fuzz_jinja.mjs FILE\n');
  process.exit(2);
}

function outcome({ source, messages }) {
  try {
    return { text: parseJinja(source, {}, '2024-07-26').render(messages, false) };
  } catch (error) {
    return { refused: error.message };
  }
}

const counts = { equal: 0, refused: 0, different: 0, 'errors in Python': 0 };
for (const one of JSON.parse(readFileSync(path, 'utf8'))) {
  const { text, refused } = outcome(one);
  if ('error' in one) counts['errors in Python'] += 1;
  else if (refused !== undefined) counts.refused += 1;
  else if (text === one.text) counts.equal += 1;
  else {
    counts.different += 1;
    if (counts.different <= SHOWN) process.stdout.write(`${JSON.stringify({ ...one, got: text })}\n`);
  }
}
process.stdout.write(
  `${Object.entries(counts)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ')}\n`,
);
if (counts.different > 0) process.exitCode = 1;
