// Which library reads tokenizer.json: the Rust `tokenizers`, or where its binary does not load @xenova/transformers.
import { messageOf, UserError } from '../core/errors.ts';
import { log } from '../core/log.ts';
import type { TokenizerLibrary } from './tokenizer_codec.ts';

let chosen: Promise<TokenizerLibrary> | null = null;

/** The library of this process; `ROCIT_TOKENIZER=xenova` asks for the second one. */
export function tokenizerLibrary(): Promise<TokenizerLibrary> {
  chosen ??= choose();
  return chosen;
}

async function choose(): Promise<TokenizerLibrary> {
  const wish = process.env.ROCIT_TOKENIZER ?? '';
  if (!['', 'tokenizers', 'xenova'].includes(wish)) {
    throw new UserError(`ROCIT_TOKENIZER: expected tokenizers or xenova, got ${wish}; unset it.`);
  }
  try {
    if (wish !== 'xenova') return (await import('./tokenizer_rust.ts')).rustLibrary();
  } catch (error) {
    if (wish === 'tokenizers') throw error;
    const [reason] = messageOf(error).split(/\.\s|\n/);
    log.once('tokenizer', `tokenizers: its binary does not load on this machine (${reason}).`);
  }
  const library = (await import('./tokenizer_xenova.ts')).xenovaLibrary();
  log.once(
    'xenova',
    `${library.name} makes the tokens: slower, and it refuses tokenizers and texts that it gets wrong.`,
  );
  return library;
}
