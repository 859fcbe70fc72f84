// Inverse frequencies against those of transformers' LlamaRotaryEmbedding (5.23).
import { describe, expect, it } from 'vitest';
import { inverseFrequencies, type RopeParameters } from '../../src/nn/rotary.ts';

const llama3 = { rope_type: 'llama3', low_freq_factor: 1, high_freq_factor: 4 };

describe('inverse frequencies', () => {
  it.each<[string, number, RopeParameters, [number, number][]]>([
    [
      'plain',
      64,
      { rope_type: 'default', rope_theta: 10_000 },
      [
        [0, 1],
        [1, 0.7498942017555237],
        [8, 0.10000000149011612],
        [17, 0.007498942315578461],
        [31, 0.0001333521504420787],
      ],
    ],
    [
      'plain of another base',
      128,
      { rope_type: 'default', rope_theta: 500_000 },
      [
        [1, 0.8146172165870667],
        [32, 0.001414213445968926],
        [63, 2.4551407022954663e-6],
      ],
    ],
    [
      'linear',
      16,
      { rope_type: 'linear', rope_theta: 10_000, factor: 4 },
      [
        [0, 0.25],
        [1, 0.07905694097280502],
        [7, 7.905694656074047e-5],
      ],
    ],
    [
      // Short wavelengths kept, the middle (31, 32, 33) interpolated, long ones stretched.
      'llama3',
      128,
      { ...llama3, rope_theta: 500_000, factor: 8, original_max_position_embeddings: 8192 },
      [
        [0, 1],
        [16, 0.03760603070259094],
        [31, 0.0008567514596506953],
        [32, 0.0005248460220173001],
        [33, 0.0003126936499029398],
        [48, 6.647869668086059e-6],
        [63, 3.068925877869333e-7],
      ],
    ],
    [
      'llama3 in a short context',
      16,
      { ...llama3, rope_theta: 10_000, factor: 32, original_max_position_embeddings: 64 },
      [
        [0, 1],
        [1, 0.23668710887432098],
        [2, 0.00372535502538085],
        [3, 0.0009882118320092559],
        [7, 9.882118320092559e-6],
      ],
    ],
  ])('%s', (_, rotary_dim, rope, expected) => {
    const frequencies = inverseFrequencies(rotary_dim, rope);
    expect(frequencies).toHaveLength(rotary_dim / 2);
    for (const [i, frequency] of expected) {
      expect(Math.abs((frequencies[i] as number) / frequency - 1), `pair ${i}`).toBeLessThan(5e-7);
    }
  });

  it('of an unknown scaling are refused', () => {
    const yarn = () => inverseFrequencies(64, { rope_type: 'yarn', rope_theta: 10_000, factor: 4 });
    expect(yarn).toThrowErrorMatchingInlineSnapshot(
      `[UserError: config.json: expected rope_type default, linear or llama3, got yarn; this model's position scaling is not supported.]`,
    );
  });

  it('without a number that they need are refused', () => {
    const rope = { ...llama3, rope_theta: 10_000, factor: 8 };
    expect(() => inverseFrequencies(64, rope)).toThrowErrorMatchingInlineSnapshot(
      `[UserError: config.json: expected a number in rope parameters at original_max_position_embeddings for rope_type llama3, got undefined; restore the file.]`,
    );
  });
});
