// Segments to ids. What stands between two special tokens is a section, and sections do not depend on each other, so
// each is tokenised with the tokens beside it, and once where it repeats. The ids of an answer are what follows the ids
// of its prompt in those of the section; where a token spans the border, the answer is tokenised on its own, as
// generation would meet it.
import { UserError } from '../core/errors.ts';
import { attempt, BadRow } from './refusals.ts';
import type { Segment } from './sample.ts';
import type { Tokenizer } from './tokenizer.ts';

export interface EncodedSegments {
  /** [T] */
  input_ids: Int32Array;
  /** [T], 1 where the token is learnt. */
  is_target: Uint8Array;
}

export interface SectionSettings {
  /** Ids in front of everything. */
  prefix: readonly number[];
  /** Whether answers are always tokenised on their own, with the tokenizer's dummy blank (ChatGLM2's script). */
  answerDummyBlank: boolean;
}

interface Token {
  token: string;
  id: number;
  is_target: boolean;
}

/** What stands between two tokens: texts that are learnt and texts that are not, in turn. */
interface Section {
  previous: Token | null;
  runs: { text: string; is_target: boolean }[];
  next: Token | null;
}

/** Ids one behind the other, with their target flags by stretches. */
interface Stretch {
  ids: ArrayLike<number>;
  is_target: boolean;
}

/** Characters of the sections that are remembered: prompts repeat, an instruction for every question of its role. */
const MAX_REMEMBERED = 1 << 22;

type Ids = ReadonlyMap<string, Int32Array>;

export class SectionEncoder {
  private readonly tokenizer: Tokenizer;
  private readonly settings: SectionSettings;
  /** What stands for a token in a text that is tokenised. */
  private readonly spellings: ReadonlyMap<string, string>;
  /** Tokens that change the text before them. */
  private readonly reachingBack: ReadonlySet<string>;
  private readonly remembered = new Map<string, Int32Array>();
  private characters = 0;

  constructor(tokenizer: Tokenizer, settings: SectionSettings) {
    const { addedTokens } = tokenizer;
    this.tokenizer = tokenizer;
    this.settings = settings;
    this.reachingBack = new Set(
      addedTokens.filter((one) => one.lstrip || one.single_word).map(({ content }) => content),
    );
    this.spellings = new Map(
      addedTokens.map(({ content, special }) => [content, special ? tokenizer.placeholder(content) : content]),
    );
  }

  /** Ids of lists of segments, in their order; BadRow for a list that cannot be right. */
  async encode(lists: readonly (readonly Segment[])[]): Promise<(EncodedSegments | BadRow)[]> {
    try {
      return await this.encodeAll(
        lists.map((list) => partsOf(this.tokenizer, list, ({ token }) => this.spellings.has(token))),
      );
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      if (lists.length === 1) return [new BadRow(error.message, 'unproven')];
      const singly: (EncodedSegments | BadRow)[] = [];
      for (const list of lists) singly.push(...(await this.encode([list])));
      return singly;
    }
  }

  private async encodeAll(parts: readonly (Token | Section)[][]): Promise<(EncodedSegments | BadRow)[]> {
    const sections = parts.flat().filter((part): part is Section => 'runs' in part);
    const stretches = await this.resolve(sections, true);
    return parts.map((list) => {
      const all: Stretch[] = [{ ids: this.settings.prefix, is_target: false }];
      for (const part of list) {
        const found = 'id' in part ? [{ ids: [part.id], is_target: part.is_target }] : stretches.get(part);
        if (found instanceof BadRow) return found;
        all.push(...(found ?? []));
      }
      return joined(all);
    });
  }

  /** The stretches of sections. An answer that begins inside a token is tokenised on its own, in another round. */
  private async resolve(sections: readonly Section[], dummyBlank: boolean): Promise<Map<Section, Stretch[] | BadRow>> {
    const known = await this.idsOf(sections, dummyBlank);
    const results = new Map<Section, Stretch[] | BadRow>();
    const tails = new Map<Section, Section>();
    for (const section of sections) {
      const result = attempt(() => this.cut(section, known));
      results.set(section, result instanceof BadRow ? result : result.stretches);
      if (!(result instanceof BadRow) && result.tail !== null) tails.set(section, result.tail);
    }
    if (tails.size === 0) return results;
    const rest = await this.resolve([...tails.values()], this.settings.answerDummyBlank);
    for (const [section, tail] of tails) {
      const [head, found] = [results.get(section), rest.get(tail)];
      if (found instanceof BadRow) results.set(section, found);
      else if (Array.isArray(head) && found !== undefined) results.set(section, [...head, ...found]);
    }
    return results;
  }

  /** Ids of the texts of sections, whole and up to each border; those of prompts are remembered. */
  private async idsOf(sections: readonly Section[], dummyBlank: boolean): Promise<Ids> {
    const known = new Map<string, Int32Array>();
    const wanted = new Map<string, { isPrompt: boolean }>();
    for (const section of sections) {
      for (let end = 1; end <= section.runs.length; end++) {
        const part = upTo(section, end);
        const text = this.textOf(part);
        const ids = dummyBlank ? this.remembered.get(text) : undefined;
        const isPrompt = part.runs.every((run) => !run.is_target);
        if (ids !== undefined) known.set(text, ids);
        else wanted.set(text, { isPrompt: isPrompt || wanted.get(text)?.isPrompt === true });
      }
    }
    const ids = await this.tokenizer.encode([...wanted.keys()], { dummyBlank });
    let i = 0;
    for (const [text, { isPrompt }] of wanted) {
      const found = ids[i++] as Int32Array;
      known.set(text, found);
      if (isPrompt && dummyBlank) this.remember(text, found);
    }
    return known;
  }

  /** A section's ids cut at its borders; what is left from the first answer that begins inside a token on. */
  private cut(section: Section, known: Ids): { stretches: Stretch[]; tail: Section | null } {
    const { runs } = section;
    const idsUpTo = (end: number) =>
      this.ownIds(known.get(this.textOf(upTo(section, end))) as Int32Array, upTo(section, end));
    const whole = idsUpTo(runs.length);
    const stretches: Stretch[] = [];
    let at = 0;
    for (const [i, { is_target }] of runs.entries()) {
      const before = i === 0 ? new Int32Array() : idsUpTo(i);
      const isAlone = this.settings.answerDummyBlank && (i > 0 || section.previous !== null);
      if (is_target && (isAlone || common(before, whole) < before.length)) {
        const head = i === 0 ? [] : [...stretches.slice(0, -1), { ids: before.subarray(at), is_target: false }];
        return { stretches: head, tail: { ...section, previous: null, runs: runs.slice(i) } };
      }
      // A token that spans the end of an answer is not learnt.
      const end = i === runs.length - 1 ? whole.length : common(idsUpTo(i + 1), whole);
      if (i > 0) at = stretches.reduce((sum, { ids }) => sum + ids.length, 0);
      stretches.push({ ids: whole.subarray(at, Math.max(at, end)), is_target });
    }
    return { stretches, tail: null };
  }

  private remember(text: string, ids: Int32Array): void {
    if (this.characters > MAX_REMEMBERED) {
      this.remembered.clear();
      this.characters = 0;
    }
    this.characters += text.length;
    this.remembered.set(text, ids);
  }

  /** The text that is tokenised for a section: with the token before it, and the one behind where that reaches back. */
  private textOf({ previous, runs, next }: Section): string {
    const behind = next !== null && this.reachingBack.has(next.token) ? this.spell(next) : '';
    return `${previous === null ? '' : this.spell(previous)}${runs.map(({ text }) => text).join('')}${behind}`;
  }

  private spell({ token }: Token): string {
    return this.spellings.get(token) as string;
  }

  /** Without the ids of the tokens beside the section. */
  private ownIds(ids: Int32Array, { previous, next }: Section): Int32Array {
    const hasNext = next !== null && this.reachingBack.has(next.token);
    const isRight = (previous === null || ids[0] === previous.id) && (!hasNext || ids.at(-1) === next.id);
    if (isRight) return ids.subarray(previous === null ? 0 : 1, hasNext ? ids.length - 1 : ids.length);
    const tokens = [previous, next].flatMap((token) => (token === null ? [] : [token.token]));
    throw new BadRow(
      `expected the tokenizer to find ${tokens.join(' and ')} beside the text, got other tokens`,
      'unproven',
    );
  }
}

function joined(stretches: readonly Stretch[]): EncodedSegments {
  const length = stretches.reduce((sum, { ids }) => sum + ids.length, 0);
  const input_ids = new Int32Array(length);
  const flags = new Uint8Array(length);
  let at = 0;
  for (const { ids, is_target } of stretches) {
    input_ids.set(ids, at);
    if (is_target) flags.fill(1, at, at + ids.length);
    at += ids.length;
  }
  return { input_ids, is_target: flags };
}

/** The first runs of a section: what a model sees before the next one. */
function upTo(section: Section, end: number): Section {
  return end === section.runs.length ? section : { ...section, runs: section.runs.slice(0, end), next: null };
}

/** How many ids two lists begin with alike. */
function common(a: Int32Array, b: Int32Array): number {
  let same = 0;
  while (same < a.length && same < b.length && a[same] === b[same]) same += 1;
  return same;
}

function partsOf(
  tokenizer: Tokenizer,
  segments: readonly Segment[],
  isSpelt: (token: Token) => boolean,
): (Token | Section)[] {
  const parts: (Token | Section)[] = [];
  let previous: Token | null = null;
  let section: Section | null = null;
  for (const segment of segments) {
    if ('token' in segment) {
      const { token, is_target } = segment;
      const found: Token = { token, id: requireToken(tokenizer, token), is_target };
      if (section !== null) section.next = found;
      section = null;
      // Without a spelling there is nothing to put before a text.
      previous = isSpelt(found) ? found : null;
      parts.push(found);
    } else if (segment.text !== '') {
      if (section === null) {
        section = { previous, runs: [], next: null };
        parts.push(section);
      }
      const last = section.runs.at(-1);
      if (last?.is_target === segment.is_target) last.text += segment.text;
      else section.runs.push({ text: segment.text, is_target: segment.is_target });
    }
  }
  return parts;
}

/** @throws UserError when the tokenizer has no such token */
export function requireToken(tokenizer: Tokenizer, token: string): number {
  const id = tokenizer.tokenToId(token);
  if (id !== null) return id;
  throw new UserError(
    `${tokenizer.folder}: expected a tokenizer with the special token ${token} of the prompt template, got none; ` +
      'choose a data.template that fits the base model.',
  );
}
