// Descriptions for a RoleBench release that came without them: made-up English prose of RoleBench's mean length, so that
// prompts have their real size in benches. The new folder links to the release and holds profiles-eng/desc.json.
//     node scripts/make_descriptions.mjs <RoleBench> <new folder> [characters, 660 on average]
// Needs the compiled dist/. The same names give the same descriptions.
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { writeFileAtomic } from '../dist/core/files.js';
import { createRng } from '../dist/core/rng.js';

const SUBJECTS = ['You', 'Your oldest friends', 'The people of your town', 'All who work with you', 'Your sisters'];
const VERBS = [
  'remember',
  'distrust',
  'admire',
  'laugh about',
  'never speak of',
  'protect',
  'quarrel over',
  'dream of',
];
const OBJECTS = [
  'the winter that changed everything',
  'old promises and older debts',
  'a house by the river with too many doors',
  'long journeys without a map',
  'the letters nobody answered',
  'music, bad coffee and honest work',
  'the rules that others are paid to break',
];
const MANNERS = [
  'with a dry joke',
  'as if time were short',
  'in careful, measured words',
  'and hide it badly',
  'because someone has to',
  'until late at night',
];

function describe(name, meanCharacters) {
  const rng = createRng(0, 'description', name);
  const pick = (list) => list[rng.int(list.length)];
  const length = meanCharacters * (0.7 + 0.6 * rng.next());
  let text = `You are ${name}.`;
  while (text.length < length - 40) text += ` ${pick(SUBJECTS)} ${pick(VERBS)} ${pick(OBJECTS)} ${pick(MANNERS)}.`;
  return text;
}

/** Roles of every English row, whatever split or kind it is of. */
function rolesOf(folder) {
  const files = readdirSync(folder, { recursive: true }).filter((name) => String(name).endsWith('.jsonl'));
  const lines = files.flatMap((name) => readFileSync(join(folder, String(name)), 'utf8').split('\n'));
  return [...new Set(lines.filter((line) => line !== '').map((line) => JSON.parse(line).role))].sort();
}

const [source, target, characters = '660'] = process.argv.slice(2);
if (target === undefined || !existsSync(join(source, 'rolebench-eng')) || existsSync(target)) {
  process.stderr.write('usage: node scripts/make_descriptions.mjs <RoleBench> <new folder> [characters]\n');
  process.exit(2);
}
mkdirSync(join(target, 'profiles-eng'), { recursive: true });
symlinkSync(resolve(source, 'rolebench-eng'), join(target, 'rolebench-eng'));
const roles = rolesOf(join(source, 'rolebench-eng'));
const descriptions = Object.fromEntries(roles.map((role) => [role, describe(role, Number(characters))]));
writeFileAtomic(join(target, 'profiles-eng/desc.json'), `${JSON.stringify(descriptions, null, 2)}\n`);
const mean = Object.values(descriptions).reduce((sum, text) => sum + text.length, 0) / roles.length;
process.stdout.write(`${target}: ${roles.length} roles, ${mean.toFixed(0)} characters on average\n`);
