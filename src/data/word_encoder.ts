// Text to ids with the parts of a tokenizer: normalise, cut into words, look the word up, and only for a new word run
// the byte-level mapping and the model. The memory of words is bounded, so it does not grow with the data.

/** The parts of a tokenizer of @xenova/transformers, as far as they are used here. */
export interface ModelPart {
  encode(tokens: string[]): string[];
  convert_tokens_to_ids(tokens: string[]): number[];
}
interface NormalizerPart {
  normalize(text: string): string;
}
interface PreTokenizerPart {
  pre_tokenize(text: string | string[], options: { section_index: number }): string[];
}

const MAX_WORDS = 1 << 16;
const MAX_WORD_LENGTH = 48;

export class WordEncoder {
  private readonly model: ModelPart;
  private readonly normalizer: NormalizerPart | null;
  private readonly splitters: readonly PreTokenizerPart[];
  /** A last stage that maps each word on its own (byte level), or null. */
  private readonly byteLevel: PreTokenizerPart | null;
  private readonly addedTokens: RegExp | null;
  private readonly known = new Map<string, readonly number[]>();

  /** @param addedTokens words that are found in a text before anything else */
  constructor(
    model: ModelPart,
    normalizer: NormalizerPart | null,
    preTokenizer: PreTokenizerPart | null,
    addedTokens: readonly string[],
  ) {
    this.model = model;
    this.normalizer = normalizer;
    const stages = stagesOf(preTokenizer);
    const last = stages.at(-1);
    this.byteLevel = last !== undefined && isPlainByteLevel(last) ? last : null;
    this.splitters = this.byteLevel === null ? stages : stages.slice(0, -1);
    this.addedTokens = alternatives(addedTokens);
    // The library remembers every word it has seen, without bound.
    Object.assign(model, { cache: new NoCache() });
  }

  /** @param isFirst whether nothing, not even a special token, stands before the text */
  encode(text: string, isFirst: boolean): number[] {
    if (this.addedTokens === null) return this.encodeSection(text, isFirst, []);
    const ids: number[] = [];
    text.split(this.addedTokens).forEach((part, i) => {
      if (i % 2 === 1) ids.push(...this.model.convert_tokens_to_ids([part]));
      else this.encodeSection(part, isFirst && i === 0, ids);
    });
    return ids;
  }

  private encodeSection(text: string, isFirst: boolean, ids: number[]): number[] {
    if (text === '') return ids;
    const normal = this.normalizer === null ? text : this.normalizer.normalize(text);

    const options = { section_index: isFirst ? 0 : 1 };
    let words = [normal];
    for (const stage of this.splitters) words = stage.pre_tokenize(words, options);
    for (const word of words) {
      const wordIds = this.known.get(word) ?? this.encodeWord(word, options);
      for (let i = 0; i < wordIds.length; i++) ids.push(wordIds[i] as number);
    }
    return ids;
  }

  private encodeWord(word: string, options: { section_index: number }): readonly number[] {
    const pieces = this.byteLevel === null ? [word] : this.byteLevel.pre_tokenize(word, options);
    const ids = this.model.convert_tokens_to_ids(this.model.encode(pieces));
    if (word.length <= MAX_WORD_LENGTH) {
      if (this.known.size >= MAX_WORDS) this.known.clear();
      this.known.set(word, ids);
    }
    return ids;
  }
}

class NoCache extends Map<string, string[]> {
  override set(): this {
    return this;
  }
}

function stagesOf(preTokenizer: PreTokenizerPart | null): PreTokenizerPart[] {
  if (preTokenizer === null) return [];
  const { tokenizers } = preTokenizer as { tokenizers?: PreTokenizerPart[] };
  return tokenizers ?? [preTokenizer];
}

function isPlainByteLevel(stage: PreTokenizerPart): boolean {
  const { byte_encoder, use_regex, add_prefix_space } = stage as {
    byte_encoder?: object;
    use_regex?: boolean;
    add_prefix_space?: boolean;
  };
  return byte_encoder !== undefined && use_regex === false && add_prefix_space !== true;
}

/** A pattern that finds one of the words, the longest first; used with split it leaves words at odd places. */
export function alternatives(words: readonly string[]): RegExp | null {
  if (words.length === 0) return null;
  const escaped = [...words]
    .sort((a, b) => b.length - a.length)
    .map((word) => word.replace(/[$()*+.?[\\\]^{|}]/g, '\\$&'));
  return new RegExp(`(${escaped.join('|')})`, 'u');
}
