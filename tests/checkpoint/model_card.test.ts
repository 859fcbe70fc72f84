// The card is Markdown with the front matter that hubs read.
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { modelCard } from '../../src/checkpoint/model_card.ts';

const card = {
  name: 'my run',
  base_model: 'HuggingFaceTB/SmolLM2-135M-Instruct',
  languages: ['en', 'zh'],
  data: { source: 'rolebench', roles: 5, samples: 1234, note: 'a|b\nc' },
  template: { name: 'rolellama', example: 'with ```fences``` inside' },
  settings: { r: 16, use_rslora: false, max_steps: null },
  losses: [
    { step: 0, eval_loss: 2.5 },
    { step: 50, eval_loss: 1.5 },
  ],
};

describe('modelCard', () => {
  it('has front matter with base, library, languages and tags', () => {
    const front = /^---\n(.*?)---\n/s.exec(modelCard(card))?.[1];
    expect(parse(front ?? '')).toEqual({
      base_model: 'HuggingFaceTB/SmolLM2-135M-Instruct',
      library_name: 'peft',
      pipeline_tag: 'text-generation',
      language: ['en', 'zh'],
      tags: ['base_model:adapter:HuggingFaceTB/SmolLM2-135M-Instruct', 'lora', 'role-playing', 'rocit'],
    });
  });

  it('shows data, template, settings and losses', () => {
    const text = modelCard(card);
    expect(text.slice(text.indexOf('# my run'))).toMatchInlineSnapshot(`
      "# my run

      A LoRA adapter of \`HuggingFaceTB/SmolLM2-135M-Instruct\`, trained to answer in character (role-conditioned instruction tuning).

      ## Use

      \`\`\`python
      from peft import PeftModel
      from transformers import AutoModelForCausalLM

      model = AutoModelForCausalLM.from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct")
      model = PeftModel.from_pretrained(model, "path/to/this/folder")
      \`\`\`

      ## Data

      | | |
      |---|---|
      | source | rolebench |
      | roles | 5 |
      | samples | 1234 |
      | note | a\\|b c |

      ## Prompt template: rolellama

      \`\`\`\`text
      with \`\`\`fences\`\`\` inside
      \`\`\`\`

      ## Settings

      | | |
      |---|---|
      | r | 16 |
      | use_rslora | false |
      | max_steps | null |

      ## Held-out loss

      | | |
      |---|---|
      | base | 2.5000 |
      | step 50 | 1.5000 |
      "
    `);
    expect(modelCard({ ...card, losses: [] })).toContain('Not measured.');
  });
});
