// Types of the one file of the tokenizer library that we load: its main door also loads image and model runtimes.
declare module '@xenova/transformers/src/tokenizers.js' {
  export { PreTrainedTokenizer } from '@xenova/transformers';
}
