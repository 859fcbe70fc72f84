// Draws the prefix tree of some samples: what is shared, and how many tokens each piece has.
import { type Branch, numRows, prefixTree } from '../data/prefix_tree.ts';
import type { TokenizedSample } from '../data/sample.ts';

const MOST_CHARACTERS = 60;

/**
 * One line a branch: the role, question and answer that it is the first to tell apart, or else its text; its tokens;
 * the samples that share it. Not empty.
 */
export function sampleTreeText(samples: readonly TokenizedSample[], decode: (ids: number[]) => string): string {
  const root = prefixTree(samples);
  const before = samples.reduce((sum, sample) => sum + numRows(sample), 0);
  const after = countRows(root);
  const lines = [`── prefix tree of ${samples.length} samples: ${before} → ${after} tokens to compute`];
  const draw = (branch: Branch, known: number, lead: string, fork: string) => {
    const members = branch.samples.map((i) => samples[i] as TokenizedSample);
    const facts = factsOf(members);
    const sharing = members.length === 1 ? '' : `, shared by ${members.length} samples`;
    const names = facts.slice(known);
    lines.push(`${lead}${fork}${countsOf(branch, names.length > 0 ? names : [textOf(branch)], members)}${sharing}`);
    const inner = fork === '' ? '' : `${lead}${fork === '├─ ' ? '│  ' : '   '}`;
    branch.children.forEach((child, i) => {
      draw(child, Math.max(known, facts.length), inner, i < branch.children.length - 1 ? '├─ ' : '└─ ');
    });
  };
  const textOf = ({ begin, end, samples: [first = 0] }: Branch) =>
    `"${shortened(decode([...(samples[first]?.input_ids.subarray(begin, end) ?? [])]))}"`;
  draw(root, 0, '', '');
  return `${lines.join('\n')}\n\n`;
}

/** Names with the tokens of the branch; those of an answer on their own where its question is part of the same branch. */
function countsOf({ begin, end }: Branch, names: string[], members: readonly TokenizedSample[]): string {
  const answer = members[0]?.is_target.indexOf(1) ?? end;
  if (members.length > 1 || names.length === 1 || answer <= begin || answer >= end) {
    return `${names.join(' · ')}: ${end - begin} tokens`;
  }
  return `${names.slice(0, -1).join(' · ')}: ${answer - begin} tokens · ${names.at(-1)}: ${end - answer} tokens`;
}

function countRows({ begin, end, children }: Branch): number {
  return children.reduce((sum, child) => sum + countRows(child), end - begin);
}

/** What the samples have in common: nothing, the role, also the question, also the answer. */
function factsOf(samples: readonly TokenizedSample[]): string[] {
  const [first] = samples as [TokenizedSample];
  const same = (key: 'role' | 'question_id' | 'answer_index' | 'row') =>
    samples.every((one) => one[key] === first[key]);
  if (!same('role')) return [];
  const role = shortened(first.role);
  if (!same('question_id')) return [role];
  const asked = [role, `"${shortened(first.question)}"`];
  return same('answer_index') && same('row') ? [...asked, `answer ${first.answer_index}`] : asked;
}

function shortened(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > MOST_CHARACTERS ? `${line.slice(0, MOST_CHARACTERS - 1)}…` : line;
}
