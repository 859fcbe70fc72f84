// Keeps the model runtime of the tokenizer library out of the process. The library imports onnxruntime-node, which we
// never use: its native binding costs start-up time and crashes when a second thread that loaded it ends. An empty
// module is put in the binding's place before anything asks for it, so import this file first.
import Module, { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

try {
  const library = createRequire(require.resolve('@xenova/transformers'));
  const binding = createRequire(library.resolve('onnxruntime-node')).resolve('./binding.js');
  const empty = new Module(binding);
  empty.exports = { binding: {} };
  empty.loaded = true;
  require.cache[binding] ??= empty;
} catch {
  // Laid out in another way: then the library loads whatever is there.
}
