// Packs of tokens, with the bounds and depths of every token: plain sequences side by side, role trees (a role's
// prefix, below it questions, below each its answers), random forests.
#ifndef ROCIT_TESTS_CASES_PACKS_H_
#define ROCIT_TESTS_CASES_PACKS_H_

#include <algorithm>
#include <string>
#include <vector>

#include "check.h"

namespace cases {

struct Pack {
  std::string name;
  std::vector<int32_t> subtree_end, position_ids;

  int64_t size() const { return static_cast<int64_t>(subtree_end.size()); }
  // Pairs of a query and a key that it sees.
  double Visible() const {
    double pairs = 0;
    for (int64_t key = 0; key < size(); ++key) pairs += static_cast<double>(subtree_end[key] - key);
    return pairs;
  }
  // The token that `token` follows, or -1.
  int64_t Parent(int64_t token) const {
    for (int64_t before = token - 1; before >= 0; --before) {
      if (subtree_end[before] > token) return before;
    }
    return -1;
  }
  // Appends `length` tokens with depths from `depth` on; Close gives the tokens from `begin` on their common end.
  void Append(int64_t length, int64_t depth) {
    for (int64_t i = 0; i < length; ++i) {
      subtree_end.push_back(0);
      position_ids.push_back(static_cast<int32_t>(depth + i));
    }
  }
  void Close(int64_t begin, int64_t length) {
    for (int64_t i = begin; i < begin + length; ++i) subtree_end[i] = static_cast<int32_t>(size());
  }
};

// Causal sequences one after the other.
inline Pack Sequences(const std::vector<int64_t>& lengths) {
  Pack pack = {"sequences", {}, {}};
  for (const int64_t length : lengths) {
    const int64_t begin = pack.size();
    pack.Append(length, 0);
    pack.Close(begin, length);
  }
  return pack;
}

// "16x256": of one length.
inline Pack Sequences(int64_t count, int64_t length) {
  Pack pack = Sequences(std::vector<int64_t>(count, length));
  pack.name = std::to_string(count) + "x" + std::to_string(length);
  return pack;
}

// "4x184+10x24+3x20": 4 roles whose prefixes have 184 tokens, below each 10 questions of 24, below each 3 answers of 20.
inline Pack RoleTree(int64_t roles, int64_t prefix, int64_t questions, int64_t question, int64_t answers, int64_t answer) {
  const auto part = [](int64_t count, int64_t length) { return std::to_string(count) + "x" + std::to_string(length); };
  Pack pack = {part(roles, prefix) + "+" + part(questions, question) + "+" + part(answers, answer), {}, {}};
  for (int64_t r = 0; r < roles; ++r) {
    const int64_t role = pack.size();
    pack.Append(prefix, 0);
    for (int64_t q = 0; q < questions; ++q) {
      const int64_t asked = pack.size();
      pack.Append(question, prefix);
      for (int64_t a = 0; a < answers; ++a) {
        const int64_t told = pack.size();
        pack.Append(answer, prefix + question);
        pack.Close(told, answer);
      }
      pack.Close(asked, question);
    }
    pack.Close(role, prefix);
  }
  return pack;
}

// Each token hangs below one of the last `window` tokens on the path to its left.
inline Pack Forest(int64_t size, int64_t window, uint64_t seed) {
  check::Random random(seed);
  Pack pack = {"forest", std::vector<int32_t>(size, static_cast<int32_t>(size)), {}};
  std::vector<int64_t> path;
  for (int64_t i = 0; i < size; ++i) {
    const int64_t drop = std::min(static_cast<int64_t>(random.Bits() % window), static_cast<int64_t>(path.size()));
    for (int64_t n = 0; n < drop; ++n, path.pop_back()) pack.subtree_end[path.back()] = static_cast<int32_t>(i);
    pack.position_ids.push_back(static_cast<int32_t>(path.size()));
    path.push_back(i);
  }
  return pack;
}

// A prompt, a long branch below it, and a short one.
inline Pack Branches(int64_t prompt, int64_t first, int64_t second) {
  Pack pack = {"branches", {}, {}};
  pack.Append(prompt, 0);
  for (const int64_t length : {first, second}) {
    const int64_t begin = pack.size();
    pack.Append(length, prompt);
    pack.Close(begin, length);
  }
  pack.Close(0, prompt);
  return pack;
}

}  // namespace cases

#endif  // ROCIT_TESTS_CASES_PACKS_H_
