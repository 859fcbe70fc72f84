// Ids by the Rust library `tokenizers`, the one that Python uses, so that they are Python's by construction.
import { createRequire } from 'node:module';
import type { Tokenizer as RustTokenizer } from 'tokenizers';
import { type Codec, packageVersion, type TokenizerLibrary } from './tokenizer_codec.ts';

const require = createRequire(import.meta.url);

/** @throws Error where there is no binary for this machine */
export function rustLibrary(): TokenizerLibrary {
  const { Tokenizer } = require('tokenizers') as { Tokenizer: { fromString(json: string): RustTokenizer } };
  return {
    name: `tokenizers ${packageVersion('tokenizers')}`,
    open: (_, json) => codecOf(Tokenizer.fromString(JSON.stringify(json))),
  };
}

function codecOf(tokenizer: RustTokenizer): Codec {
  const decoder = tokenizer.getDecoder();
  return {
    async encode(texts) {
      const encodings = await tokenizer.encodeBatch([...texts], { addSpecialTokens: false });
      return encodings.map((encoding) => Int32Array.from(encoding.getIds()));
    },
    idOf: (token) => tokenizer.tokenToId(token),
    tokenOf: (id) => tokenizer.idToToken(id),
    join: (tokens) => (decoder === null ? tokens.join(' ') : decoder.decode([...tokens])),
  };
}
