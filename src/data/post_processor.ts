// What the post-processor of a tokenizer.json puts in front of a text: BOS and the like.
import { UserError } from '../core/errors.ts';
import { isObject } from '../core/json.ts';

/**
 * Ids in front of a single text, by the field `post_processor` of tokenizer.json.
 * @throws UserError for a kind that is not known
 */
export function postProcessorPrefix(path: string, node: unknown): number[] {
  if (!isObject(node)) return [];
  switch (node.type) {
    case 'ByteLevel':
      return [];
    case 'Sequence':
      return Array.isArray(node.processors)
        ? node.processors.toReversed().flatMap((child: unknown) => postProcessorPrefix(path, child))
        : [];
    case 'BertProcessing':
    case 'RobertaProcessing':
      return Array.isArray(node.cls) ? [Number(node.cls[1])] : [];
    case 'TemplateProcessing':
      return templatePrefix(node.single, node.special_tokens);
    default:
      throw new UserError(`${path}: expected a known post_processor, got ${String(node.type)}; use another base.`);
  }
}

/** The special tokens before the place of the text. */
function templatePrefix(single: unknown, specialTokens: unknown): number[] {
  const pieces = Array.isArray(single) ? single.filter(isObject) : [];
  const before = pieces.slice(
    0,
    pieces.findIndex((piece) => 'Sequence' in piece),
  );
  return before.flatMap(({ SpecialToken: token }) => {
    const name = isObject(token) ? String(token.id) : '';
    const entry = isObject(specialTokens) ? specialTokens[name] : null;
    return isObject(entry) && Array.isArray(entry.ids) ? entry.ids.map(Number) : [];
  });
}
