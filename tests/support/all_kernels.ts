/** Every operation of the addon, in alphabetical order. */
export const ALL_KERNELS = [
  'RocitAdamw',
  'RocitEmbedding',
  'RocitLinearCrossEntropy',
  'RocitLoraLinear',
  'RocitLoraLinearGrad',
  'RocitReadTensor',
  'RocitRmsNorm',
  'RocitRmsNormGrad',
  'RocitRope',
  'RocitSwiglu',
  'RocitSwigluGrad',
  'RocitTreeAttention',
  'RocitTreeAttentionGrad',
];
