// The public API: what the command line does, as functions. Numbers and bytes only; nothing here prints or exits.
export { type Adapter, type LoraConfig, loadAdapter, saveAdapter } from './checkpoint/adapter.ts';
export { baseModelFolder, baseModelNames, fetchBaseModel } from './checkpoint/base_models.ts';
export { type HfFolder, openHfFolder } from './checkpoint/hf_folder.ts';
export {
  readSafetensorsHeader,
  type TensorInfo,
  type TensorToWrite,
  writeSafetensors,
} from './checkpoint/safetensors.ts';
export { type LoadedConfig, loadConfig } from './config/load.ts';
export { type Config, configJsonSchema, configSchema } from './config/schema.ts';
export { configText } from './config/text.ts';
export { Interrupted, UserError } from './core/errors.ts';
export { requestStop } from './core/interrupt.ts';
export { packStep } from './data/pack.ts';
export { planEpoch } from './data/plan.ts';
export { type PreparedData, prepare } from './data/prepare.ts';
export type { PrepareOptions, PrepareProgress } from './data/prepare_options.ts';
export type { PreparedSplit } from './data/prepared.ts';
export { createPromptEncoder, type EncodedConversation, type PromptEncoder } from './data/prompt.ts';
export { BadRow } from './data/refusals.ts';
export type { ChatMessage, Conversation, RoleSample, TokenizedSample, TreeBatch } from './data/sample.ts';
export { type PromptTemplate, promptTemplate, readPromptTemplate } from './data/templates.ts';
export { loadTokenizer, type Tokenizer } from './data/tokenizer.ts';
export { type EngineInfo, startEngine } from './engine/runtime.ts';
export { type AnswerEvents, answerPrompt, stopIds } from './inference/answer.ts';
export { type GenerateSettings, generate } from './inference/generate.ts';
export { type ScoredSample, scoreSamples } from './inference/score.ts';
export type { CausalLM } from './models/causal_lm.ts';
export { loadAdapterInto, loadModel, resolveBase } from './models/load.ts';
export { type DryRun, dryRun } from './training/dry_run.ts';
export type { StepMetrics } from './training/metrics.ts';
export { type TrainEvents, type TrainSummary, train } from './training/train.ts';
