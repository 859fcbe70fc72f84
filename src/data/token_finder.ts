// The added tokens that stand in the text of a template, found as the library finds them: the leftmost, then the longest.
import type { AddedToken } from './added_tokens.ts';
import type { Mark } from './marks.ts';

export interface FoundToken {
  token: string;
  start: number;
  end: number;
}

export interface TokenFinder {
  /** Tokens of a text, left to right; none goes across a mark, so that contents cannot make one. */
  find(text: string, marks: readonly Mark[]): FoundToken[];
  /** A text with `mark` inside everything that spells a special token. */
  breakUp(text: string, mark: string): string;
}

/** @param tokens those that are found in a text before it is normalised */
export function createTokenFinder(tokens: readonly AddedToken[]): TokenFinder {
  const all = alternatives(tokens.map(({ content }) => content));
  const specials = alternatives(tokens.filter(({ special }) => special).map(({ content }) => content));
  // Added white space is text like any other.
  const isText = new Set(tokens.filter(({ content }) => content.trim() === '').map(({ content }) => content));
  return {
    find(text, marks) {
      const found: FoundToken[] = [];
      if (all === null) return found;
      all.lastIndex = 0;
      for (let match = all.exec(text); match !== null; match = all.exec(text)) {
        const [token] = match;
        const [start, end] = [match.index, match.index + token.length];
        if (marks.some(({ at }) => start < at && at < end)) all.lastIndex = start + 1;
        else if (!isText.has(token)) found.push({ token, start, end });
      }
      return found;
    },
    breakUp(text, mark) {
      if (specials === null) return text;
      return text.replace(specials, (token) => {
        const first = [...token][0] ?? '';
        return `${first}${mark}${token.slice(first.length)}`;
      });
    },
  };
}

/** A pattern that finds one of the words, the longest first. */
function alternatives(words: readonly string[]): RegExp | null {
  if (words.length === 0) return null;
  const escaped = [...words]
    .sort((a, b) => b.length - a.length)
    .map((word) => word.replace(/[$()*+.?[\\\]^{|}]/g, '\\$&'));
  return new RegExp(escaped.join('|'), 'gu');
}
