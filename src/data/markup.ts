// A conversation in the markup of a prompt template: plain text, special tokens by name, and places to fill in.
import { type ChatMessage, isTarget, type Segment } from './sample.ts';
import type { Markup, MarkupPiece } from './templates.ts';

/**
 * The segments of a conversation: up to its last target, or with `isGeneration` up to where the next answer begins.
 * @param endToken what stands where the markup ends a turn
 */
export function markupSegments(
  markup: Markup,
  endToken: string,
  messages: readonly ChatMessage[],
  isGeneration: boolean,
): Segment[] {
  const out: Segment[] = [];
  let round = 0;
  const add = (pieces: readonly MarkupPiece[], content: string, is_target: boolean) => {
    for (const piece of pieces) out.push(fill(piece, { content, round, endToken, is_target }));
  };
  add(markup.start, '', false);
  messages.forEach((message, i) => {
    const { role, content } = message;
    if (role === 'system') add(markup.system, content, false);
    if (role === 'user') {
      round += 1;
      add(markup.user, content, false);
    }
    if (role === 'assistant') {
      add(markup.assistant_start, '', false);
      add(markup.assistant, content, !isGeneration && isTarget(message));
      if (isGeneration || i < messages.length - 1) add(markup.between_rounds, '', false);
    }
  });
  if (isGeneration) add(markup.assistant_start, '', false);
  else out.length = out.findLastIndex(({ is_target }) => is_target) + 1;
  return out;
}

function fill(
  piece: MarkupPiece,
  { content, round, endToken, is_target }: { content: string; round: number; endToken: string; is_target: boolean },
): Segment {
  if ('text' in piece) return { text: piece.text, is_target };
  if ('token' in piece) return { token: piece.token, is_target };
  if ('special' in piece) return { token: endToken, is_target };
  return { text: piece.slot === 'content' ? content : String(round), is_target };
}
