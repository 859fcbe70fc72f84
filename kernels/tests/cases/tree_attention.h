// Cases of tree_attention, their inputs and the comparison with the float64 twin, for every implementation.
#ifndef ROCIT_TESTS_CASES_TREE_ATTENTION_H_
#define ROCIT_TESTS_CASES_TREE_ATTENTION_H_

#include <tree_attention.h>  // the contract: this file bears its name

#include <algorithm>

#include "check.h"
#include "reference/tree_attention.h"

namespace tree_attention {

using check::Values;
using Bounds = std::vector<int32_t>;

struct Case {
  std::string name;
  Bounds subtree_end;
  int64_t heads, key_heads, size;
  int64_t query_start = 0;
  double spread = 1;    // of q and k
  float scale = 0;      // 0: 1 / sqrt(size)

  int64_t keys() const { return static_cast<int64_t>(subtree_end.size()); }
  int64_t queries() const { return keys() - query_start; }
  float Scale() const { return scale != 0 ? scale : 1 / std::sqrt(static_cast<float>(size)); }
  std::string Name(RocitDtype dtype) const {
    return "tree_attention " + name + " " + std::to_string(heads) + "/" + std::to_string(key_heads) + " of " +
           std::to_string(size) + (dtype == ROCIT_FLOAT32 ? " float32" : " bfloat16");
  }
};

inline Bounds Sequences(const std::vector<int>& lengths) {
  Bounds ends;
  for (const int length : lengths) ends.insert(ends.end(), length, static_cast<int32_t>(ends.size()) + length);
  return ends;
}

// A random forest: each token hangs below one of the last `window` tokens on the path to its left.
inline Bounds Forest(int size, int window, uint64_t seed) {
  check::Random random(seed);
  Bounds ends(size, size);
  std::vector<int> path;
  for (int i = 0; i < size; ++i) {
    const int drop = std::min<int>(static_cast<int>(random.Bits() % window), static_cast<int>(path.size()));
    for (int n = 0; n < drop; ++n, path.pop_back()) ends[path.back()] = i;
    path.push_back(i);
  }
  return ends;
}

// A prompt, questions below it, answers below each question.
inline Bounds RoleTree(int prompt, int questions, int question, int answers, int answer) {
  const int branch = question + answers * answer, size = prompt + questions * branch;
  Bounds ends(prompt, size);
  for (int n = 0; n < questions; ++n) {
    const int begin = static_cast<int>(ends.size());
    ends.insert(ends.end(), question, begin + branch);
    for (int a = 0; a < answers; ++a) ends.insert(ends.end(), answer, static_cast<int>(ends.size()) + answer);
  }
  return ends;
}

// A prompt, a long branch below it, and a short one, which is all that is asked for: what it sees lies far apart.
inline Bounds FarPrompt(int prompt, int other, int own) {
  const int size = prompt + other + own;
  Bounds ends(prompt, size);
  ends.insert(ends.end(), other, prompt + other);
  ends.insert(ends.end(), own, size);
  return ends;
}

inline std::vector<Case> Cases() {
  std::vector<Case> cases = {
      {"no token", {}, 2, 1, 8},
      {"one token", Sequences({1}), 2, 1, 8},
      {"sequences of one token", Sequences(std::vector<int>(70, 1)), 3, 3, 16},
      {"two segments", Sequences({41, 82}), 4, 2, 24},
      {"one sequence", Sequences({123}), 9, 3, 64},
      {"one sequence", Sequences({200}), 1, 1, 128},
      {"one sequence", Sequences({130}), 2, 2, 80},
      {"one sequence", Sequences({65}), 4, 1, 40},
      {"one sequence", Sequences({70}), 2, 1, 96},
      {"two segments", Sequences({50, 21}), 3, 1, 104},
      {"short and long segments", Sequences({1, 5, 64, 3, 63, 1, 17}), 9, 3, 32},
      {"segments", Sequences({31, 33}), 32, 2, 8},
      {"deep tree", Forest(150, 3, 1), 3, 1, 48},
      {"bushy forest", Forest(190, 40, 2), 9, 3, 64},
      {"forest", Forest(70, 8, 3), 32, 2, 128},
      {"chain of branches", Forest(300, 2, 4), 2, 1, 8},
      {"role tree", RoleTree(33, 4, 11, 3, 9), 9, 3, 64},
      {"several tiles of keys", Sequences({620}), 2, 1, 16},
      {"tree of several tiles", RoleTree(150, 5, 30, 3, 25), 2, 1, 8},
      {"odd head size", Forest(37, 5, 5), 3, 1, 5},
      {"large head size", Sequences({20, 3}), 2, 1, 200},
      {"one query", Sequences({150}), 9, 3, 64, 149},
      {"one query", Sequences({100, 20}), 32, 2, 128, 119},
      {"no query", Sequences({20, 30}), 4, 2, 16, 50},
      {"one query of one key", Sequences({64, 1}), 2, 1, 16, 64},
      {"queries behind a cache", RoleTree(90, 2, 7, 2, 6), 9, 3, 64, 90},
      {"queries from the middle", Forest(140, 12, 6), 4, 2, 16, 77},
      {"queries far from their prompt", FarPrompt(10, 2140, 20), 2, 1, 8, 2150},
      {"steep scores", Forest(100, 9, 7), 2, 1, 64, 0, 6},
      {"negative scale", Sequences({80}), 2, 1, 16, 0, 1, -0.3f},
  };
  return cases;
}

struct Inputs {
  Values q, k, v, dout;

  Inputs(const Case& c, RocitDtype dtype) : Inputs(c, dtype, check::Random(c.keys() * 1000 + c.size)) {}

 private:
  Inputs(const Case& c, RocitDtype dtype, check::Random random)
      : q(check::RandomValues(dtype, c.queries() * c.heads * c.size, &random, c.spread)),
        k(check::RandomValues(dtype, c.keys() * c.key_heads * c.size, &random, c.spread)),
        v(check::RandomValues(dtype, c.keys() * c.key_heads * c.size, &random)),
        dout(check::RandomValues(dtype, c.queries() * c.heads * c.size, &random)) {}
};

struct Outputs {
  Values out, lse, dq, dk, dv;
  bool operator==(const Outputs& other) const {
    return out.bytes == other.out.bytes && lse.bytes == other.lse.bytes && dq.bytes == other.dq.bytes &&
           dk.bytes == other.dk.bytes && dv.bytes == other.dv.bytes;
  }
};

// float32: 4e-6, sums of up to 700 terms. bfloat16: also inner values are rounded, p and ds where pairs are multiplied and
// `out` before delta; four roundings of the largest value. Next to cancelling sums the addends are the measure.
inline void IsClose(const Values& got, const std::vector<double>& expected, const std::string& promise, double least = 0) {
  const double bound = got.dtype == ROCIT_FLOAT32 ? 4e-6 : 4 * 0x1p-9;
  const double error = check::Error(got.Doubles(), expected, least);
  const auto millionths = [](double value) { return std::to_string(value * 1e6) + "e-6"; };
  check::That(error <= bound, promise, "error " + millionths(error) + ", bound " + millionths(bound));
}

inline void CompareWithTwin(const Case& c, const Inputs& in, const Outputs& got, const std::string& name) {
  const reference::Attention twin = {c.queries(), c.keys(), c.heads, c.key_heads, c.size, c.query_start,
                                     c.Scale(), c.subtree_end, in.q.Doubles(), in.k.Doubles(), in.v.Doubles()};
  std::vector<double> out, lse, dq, dk, dv;
  twin.Forward(&out, &lse);
  twin.Backward(in.dout.Doubles(), &dq, &dk, &dv);
  IsClose(got.out, out, name + " out");
  IsClose(got.lse, lse, name + " lse", 1);
  const double addend = std::sqrt(static_cast<double>(c.size)) * c.Scale();
  IsClose(got.dq, dq, name + " dq", addend);
  IsClose(got.dk, dk, name + " dk", addend);
  IsClose(got.dv, dv, name + " dv");
}

}  // namespace tree_attention

#endif  // ROCIT_TESTS_CASES_TREE_ATTENTION_H_
