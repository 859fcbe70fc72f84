// The names and numbers of added tokens: between the file, where a special token has its name and its id, and the
// library, which reads placeholders and numbers them anew. And what no text may hold, as its ids could not be right.
import { UserError } from '../core/errors.ts';
import type { JsonObject } from '../core/json.ts';
import {
  type AddedToken,
  modelSpellsSpecials,
  overlappedSpecials,
  placeholderOf,
  RESERVED,
  unknownToken,
  wrongIds,
} from './added_tokens.ts';
import type { Codec } from './tokenizer_codec.ts';

export interface TokenNames {
  ids: Map<string, number>;
  /** The special tokens by id. */
  special: Map<number, string>;
  /** Their placeholders. */
  byToken: Map<string, string>;
  placeholders: Set<string>;
  /** The library's numbers of added tokens to those of the file, back, and the smallest of the library's. */
  renumbered: Map<number, number>;
  original: Map<number, number>;
  first: number;
}

/** @throws UserError where two added tokens have one id, or an id that Python would not give them */
export function tokenNames(path: string, json: JsonObject, tokens: readonly AddedToken[], codec: Codec): TokenNames {
  const names: TokenNames = {
    ids: new Map(),
    special: new Map(),
    byToken: new Map(),
    placeholders: new Set(),
    renumbered: new Map(),
    original: new Map(),
    first: Number.POSITIVE_INFINITY,
  };
  const wrong = wrongIds(json, tokens);
  tokens.forEach(({ id, content, special }, n) => {
    const spelling = special ? placeholderOf(n) : content;
    const got = codec.idOf(spelling);
    if (got === null) wrong.push(`${content}: ${id}, not read at all`);
    else if (got !== id) {
      names.renumbered.set(got, id);
      names.original.set(id, got);
      names.first = Math.min(names.first, got);
    }
    names.ids.set(content, id);
    if (!special) return;
    names.special.set(id, content);
    names.byToken.set(content, spelling);
    names.placeholders.add(spelling);
  });
  if (wrong.length === 0) return names;
  throw new UserError(
    `${path}: expected added tokens with the ids that the library gives them, got ${wrong.slice(0, 5).join('; ')}; ` +
      'number them without gaps, behind the vocabulary.',
  );
}

export interface TextCheck {
  before(text: string): void;
  after(text: string, ids: Int32Array): void;
}

const RESERVED_RUN = /[\uFDD0-\uFDEF]+/g;

/** Refuses texts whose ids could not be right: those with noncharacters, and those that spell what cannot be text. */
export function textCheck(
  json: JsonObject,
  tokens: readonly AddedToken[],
  { placeholders, special, byToken }: TokenNames,
): TextCheck {
  const overlapped = overlappedSpecials(tokens);
  const isCounted = modelSpellsSpecials(json, tokens);
  // A model writes its unknown token for what it does not know, which is no spelling.
  const unknown = unknownToken(json) ?? '';
  const isSpelt = (id: number) => special.has(id) && special.get(id) !== unknown;
  const isPlaced = (run: string) => run !== byToken.get(unknown);
  const runsOf = (text: string) =>
    // Placeholders may stand side by side.
    RESERVED.test(text) ? [...text.matchAll(RESERVED_RUN)].flatMap(([run]) => run.split(/(?<=\uFDE1)/)) : [];
  return {
    before(text) {
      if (runsOf(text).some((run) => !placeholders.has(run))) {
        throw new UserError('expected a text without the noncharacters U+FDD0 to U+FDEF, got one with them');
      }
      const spelt = overlapped.find((token) => text.includes(token));
      if (spelt === undefined) return;
      throw new UserError(
        `expected a text without ${spelt}, which shares characters with an added token, got one with it`,
      );
    },
    after(text, ids) {
      if (!isCounted || runsOf(text).filter(isPlaced).length === ids.filter(isSpelt).length) return;
      throw new UserError(
        'expected a text without special tokens, which the model of this tokenizer cannot read as text, got one that spells one',
      );
    },
  };
}
