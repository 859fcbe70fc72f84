// Text of a growing list of tokens, in pieces that never cut a character: a token may hold part of a character's
// bytes, or of its neighbour's, and then waits for the next one.

export interface Decoder {
  decode(ids: readonly number[], options?: { skipSpecialTokens?: boolean }): string;
}

/** What a decoder writes for bytes that are not (yet) a character. */
const UNFINISHED = /\ufffd+$/;

export class TextStream {
  readonly #decoder: Decoder;
  // Tokens before the first new one stay in the window as context: some decoders drop a blank at the start of a text.
  #window: number[] = [];
  #context = 0;
  /** Characters of the window that were handed out. */
  #emitted = 0;

  constructor(decoder: Decoder) {
    this.#decoder = decoder;
  }

  /** Adds a token; returns the text that is certain now and was not handed out before. */
  push(id: number): string {
    this.#window.push(id);
    const text = this.#text();
    const certain = text.replace(UNFINISHED, '');
    const piece = this.#take(certain);
    // A context without text, such as a special token alone, would not do.
    if (piece !== '' && certain.length === text.length) this.#moveWindow();
    return piece;
  }

  /** The rest, with replacement characters where the last character is not whole. */
  finish(): string {
    return this.#take(this.#text());
  }

  #take(text: string): string {
    if (text.length <= this.#emitted) return '';
    const piece = text.slice(this.#emitted);
    this.#emitted = text.length;
    return piece;
  }

  #moveWindow(): void {
    this.#window = this.#window.slice(this.#context);
    this.#context = this.#window.length;
    this.#emitted = this.#text().length;
  }

  #text(): string {
    return this.#decoder.decode(this.#window, { skipSpecialTokens: true });
  }
}
