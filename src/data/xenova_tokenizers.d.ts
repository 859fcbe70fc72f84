// Types of the one file of the tokenizer library that we load: its main door also loads image and model runtimes.
declare module '@xenova/transformers/src/tokenizers.js' {
  export class PreTrainedTokenizer {
    constructor(json: object, config: object);
    model: {
      tokens_to_ids: Map<string, number>;
      vocab: (string | undefined)[];
      cache: Map<string, string[]>;
      convert_tokens_to_ids(tokens: string[]): number[];
    };
    decoder:
      | ({ decode(tokens: string[]): string; decoders?: { text_decoder?: TextDecoder }[] } & {
          text_decoder?: TextDecoder;
        })
      | null;
    _encode_text(text: string): string[];
  }
}
