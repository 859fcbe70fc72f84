// From a conversation to ids: the one way in which training, scoring and generation build a prompt.
import { UserError } from '../core/errors.ts';
import { type ChatTemplate, createChatTemplate } from './chat_template.ts';
import { TemplateRefusal } from './jinja.ts';
import { markupSegments } from './markup.ts';
import { attempt, BadRow } from './refusals.ts';
import type { ChatMessage, Segment } from './sample.ts';
import { type EncodedSegments, requireToken, SectionEncoder } from './sections.ts';
import type { Markup, PromptTemplate } from './templates.ts';
import { createTokenFinder } from './token_finder.ts';
import type { Tokenizer } from './tokenizer.ts';

export interface EncodedConversation extends EncodedSegments {
  /** Answers that the template writes in other words than the data has. */
  rewritten: number;
}

export interface PromptEncoder {
  /** Segments of a conversation up to its last target. Throws BadRow. */
  segments(messages: readonly ChatMessage[]): Segment[];
  /** Ids and targets of conversations, in their order; BadRow for those that cannot be right. */
  encode(conversations: readonly (readonly ChatMessage[])[]): Promise<(EncodedConversation | BadRow)[]>;
  /** Ids up to where the next answer begins. UserError where the template refuses the messages. */
  encodePrompt(messages: readonly ChatMessage[]): Promise<Int32Array>;
  /** Ids that training teaches as the end of an answer to these messages. */
  endIds(messages: readonly ChatMessage[]): Set<number>;
  /** Whether generation begins answers behind another text than the one that stands before answers in training. */
  promptDiffers: boolean;
}

/**
 * @throws UserError when a special token of the template is not in the tokenizer, or the template does not parse
 */
export function createPromptEncoder(tokenizer: Tokenizer, template: PromptTemplate): PromptEncoder {
  const chat = template.markup === null ? openChatTemplate(tokenizer, template) : ofMarkup(tokenizer, template.markup);
  const { tokenizer_prefix = false, answer_dummy_blank = false } = template.markup ?? {};
  const prefix = tokenizer_prefix ? tokenizer.prefixIds : [];
  const encoder = new SectionEncoder(tokenizer, { prefix, answerDummyBlank: answer_dummy_blank });
  return {
    segments: (messages) => chat.conversation(messages).segments,
    async encode(conversations) {
      const rendered = conversations.map((messages) => attempt(() => chat.conversation(messages)));
      const good = rendered.flatMap((one) => (one instanceof BadRow ? [] : [one.segments]));
      const encoded = await encoder.encode(good);
      let next = 0;
      return rendered.map((one) => {
        if (one instanceof BadRow) return one;
        const result = encoded[next++] as EncodedSegments | BadRow;
        return result instanceof BadRow ? result : { ...result, rewritten: one.rewritten };
      });
    },
    async encodePrompt(messages) {
      const segments = attempt(() => chat.prompt(messages));
      const [result] = segments instanceof BadRow ? [segments] : await encoder.encode([segments]);
      if (result === undefined || result instanceof BadRow) {
        throw new UserError(
          `${tokenizer.folder}: ${result?.message}; set data.template=rolellama or change the messages.`,
        );
      }
      return result.input_ids;
    },
    endIds: (messages) => endIds(tokenizer, chat, messages),
    promptDiffers: chat.promptDiffers,
  };
}

/** The last token of an answer, where it is the last message and where another turn follows. */
function endIds(tokenizer: Tokenizer, chat: ChatTemplate, messages: readonly ChatMessage[]): Set<number> {
  const answer: ChatMessage = { role: 'assistant', content: 'x' };
  const context: ChatMessage = { ...answer, train: false };
  const turns = [
    [...messages, answer],
    [...messages, answer, { role: 'user', content: 'x' } as const, context],
  ];
  const ids = new Set<number>();
  for (const turn of turns) {
    const rendered = attempt(() => chat.conversation(turn));
    const last = rendered instanceof BadRow ? undefined : rendered.segments.at(-1);
    if (last !== undefined && 'token' in last) ids.add(requireToken(tokenizer, last.token));
  }
  return ids;
}

function ofMarkup(tokenizer: Tokenizer, markup: Markup): ChatTemplate {
  const { start, system, user, assistant_start, assistant } = markup;
  const lists = [start, system, user, assistant_start, assistant];
  for (const piece of lists.flat()) if ('token' in piece) requireToken(tokenizer, piece.token);
  return {
    conversation: (messages) => ({
      segments: markupSegments(markup, tokenizer.eosToken, messages, false),
      rewritten: 0,
    }),
    prompt: (messages) => markupSegments(markup, tokenizer.eosToken, messages, true),
    promptDiffers: false,
  };
}

function openChatTemplate(tokenizer: Tokenizer, { chat_template, day }: PromptTemplate): ChatTemplate {
  const { folder, namedTokens, eosToken, addedTokens, normalizes } = tokenizer;
  const misread = addedTokens.filter(({ special, normalized }) => special && normalized && normalizes);
  if (misread.length > 0) {
    throw new UserError(
      `${folder}/tokenizer.json: expected special tokens that are found wherever a chat template writes them, got ` +
        `${misread.map(({ content }) => content).join(', ')} with "normalized"; set "normalized" to false there, or ` +
        'data.template=rolellama.',
    );
  }
  const specials = createTokenFinder(addedTokens.filter((token) => token.special || !token.normalized || !normalizes));
  try {
    return createChatTemplate({ source: chat_template ?? '', namedTokens, eosToken, specials, day });
  } catch (error) {
    if (!(error instanceof TemplateRefusal)) throw error;
    throw new UserError(
      `${folder}: expected a chat template that can be read, got "${error.message}"; set data.template=rolellama.`,
    );
  }
}
