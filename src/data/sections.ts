// Segments to ids. What stands between two special tokens is a section, and sections do not depend on each other, so
// each is tokenised with the tokens beside it, and once where it repeats. The ids of an answer are what follows the ids
// of its prompt in those of the section; where a token spans the border, the answer is tokenised on its own, as
// generation would meet it.
import { UserError } from '../core/errors.ts';
import { BadRow } from './refusals.ts';
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

/** Text that is not learnt, then text that is, between two tokens. */
interface Section {
  previous: Token | null;
  prompt: string;
  answer: string;
  next: Token | null;
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
    const sections = parts.flat().filter((part): part is Section => 'prompt' in part);
    const known = await this.sectionIds(sections);
    const own = await this.answersAlone(sections, known);
    return parts.map((list) => {
      try {
        return this.assemble(list, known, own);
      } catch (error) {
        if (error instanceof BadRow) return error;
        throw error;
      }
    });
  }

  /** Ids of the texts of sections, and of their prompts alone; those of prompts are remembered. */
  private async sectionIds(sections: readonly Section[]): Promise<Ids> {
    const known = new Map<string, Int32Array>();
    const wanted = new Map<string, { isPrompt: boolean }>();
    for (const section of sections) {
      const isOwn = section.answer !== '' && this.settings.answerDummyBlank;
      const whole = { text: this.textOf(section), isPrompt: section.answer === '' };
      const prompt = { text: this.textOf(promptOf(section)), isPrompt: true };
      for (const { text, isPrompt } of [...(isOwn ? [] : [whole]), ...(section.prompt === '' ? [] : [prompt])]) {
        const ids = this.remembered.get(text);
        if (ids !== undefined) known.set(text, ids);
        else wanted.set(text, { isPrompt: isPrompt || wanted.get(text)?.isPrompt === true });
      }
    }
    const ids = await this.tokenizer.encode([...wanted.keys()]);
    let i = 0;
    for (const [text, { isPrompt }] of wanted) {
      const found = ids[i++] as Int32Array;
      known.set(text, found);
      if (isPrompt) this.remember(text, found);
    }
    return known;
  }

  private remember(text: string, ids: Int32Array): void {
    if (this.characters > MAX_REMEMBERED) {
      this.remembered.clear();
      this.characters = 0;
    }
    this.characters += text.length;
    this.remembered.set(text, ids);
  }

  /** Ids of the answers that begin inside a token of their section, or are always on their own. */
  private async answersAlone(sections: readonly Section[], known: Ids): Promise<ReadonlyMap<Section, Int32Array>> {
    const dummyBlank = this.settings.answerDummyBlank;
    const alone = sections.filter(
      (section) => section.answer !== '' && (dummyBlank || !this.followsPrompt(section, known)),
    );
    if (alone.length === 0) return new Map();
    const texts = alone.map((section) => this.textOf({ ...section, previous: null, prompt: '' }));
    const ids = await this.tokenizer.encode(texts, { dummyBlank });
    return new Map(alone.map((section, i) => [section, ids[i] as Int32Array]));
  }

  private followsPrompt(section: Section, known: Ids): boolean {
    if (section.prompt === '') return true;
    const whole = known.get(this.textOf(section)) as Int32Array;
    const prompt = known.get(this.textOf(promptOf(section))) as Int32Array;
    return prompt.length <= whole.length && prompt.every((id, t) => id === whole[t]);
  }

  /** The text that is tokenised for a section: with the token before it, and the one behind where that reaches back. */
  private textOf({ previous, prompt, answer, next }: Section): string {
    const behind = next !== null && this.reachingBack.has(next.token) ? this.spell(next) : '';
    return `${previous === null ? '' : this.spell(previous)}${prompt}${answer}${behind}`;
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

  private assemble(
    list: readonly (Token | Section)[],
    known: Ids,
    own: ReadonlyMap<Section, Int32Array>,
  ): EncodedSegments {
    const { prefix } = this.settings;
    const idsOf = (section: Section) => this.ownIds(known.get(this.textOf(section)) as Int32Array, section);
    const stretches = list.flatMap((part): { ids: ArrayLike<number>; from: number }[] => {
      if ('id' in part) return [{ ids: [part.id], from: part.is_target ? 0 : 1 }];
      const prompt = part.prompt === '' ? new Int32Array() : idsOf(promptOf(part));
      const answer = own.get(part);
      if (answer !== undefined) {
        const ids = this.ownIds(answer, { ...part, previous: null });
        return [
          { ids: prompt, from: prompt.length },
          { ids, from: 0 },
        ];
      }
      const ids = idsOf(part);
      return [{ ids, from: part.answer === '' ? ids.length : prompt.length }];
    });
    return joined([{ ids: prefix, from: prefix.length }, ...stretches]);
  }
}

/** Ids one behind the other; those of a stretch are targets from `from` on. */
function joined(stretches: readonly { ids: ArrayLike<number>; from: number }[]): EncodedSegments {
  const length = stretches.reduce((sum, { ids }) => sum + ids.length, 0);
  const input_ids = new Int32Array(length);
  const is_target = new Uint8Array(length);
  let at = 0;
  for (const { ids, from } of stretches) {
    input_ids.set(ids, at);
    is_target.fill(1, at + from, at + ids.length);
    at += ids.length;
  }
  return { input_ids, is_target };
}

/** What a model sees before the answer of a section. */
function promptOf(section: Section): Section {
  return section.answer === '' ? section : { ...section, answer: '', next: null };
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
        section = { previous, prompt: '', answer: '', next: null };
        parts.push(section);
      }
      if (section.answer !== '' && !segment.is_target) throw new Error('an answer ends with a token');
      if (segment.is_target) section.answer += segment.text;
      else section.prompt += segment.text;
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
