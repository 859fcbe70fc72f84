// Cases of tree_attention, their tensors and the comparison with the float64 twin, for every implementation.
#ifndef ROCIT_TESTS_CASES_TREE_ATTENTION_H_
#define ROCIT_TESTS_CASES_TREE_ATTENTION_H_

#include <tree_attention.h>  // the contract: this file bears its name

#include "cases/compare.h"
#include "cases/memory.h"
#include "cases/packs.h"
#include "cases/timed.h"
#include "reference/tree_attention.h"

namespace tree_attention {

using cases::Branches;
using cases::Forest;
using cases::Pack;
using cases::RoleTree;
using cases::Sequences;
using check::Values;

struct Case {
  std::string name;
  Pack pack;
  int64_t heads, key_heads, size;
  int64_t query_start = 0;
  double spread = 1;    // of q and k
  float scale = 0;      // 0: 1 / sqrt(size)

  int64_t keys() const { return pack.size(); }
  int64_t queries() const { return keys() - query_start; }
  int64_t width() const { return heads * size; }
  int64_t key_width() const { return key_heads * size; }
  int64_t group() const { return heads / key_heads; }
  float Scale() const { return scale != 0 ? scale : 1 / std::sqrt(static_cast<float>(size)); }
  // Multiply-adds of one product over the pairs of a query and a key that it sees.
  double Product() const {
    double pairs = 0;
    for (int64_t key = 0; key < keys(); ++key) {
      pairs += static_cast<double>(std::max<int64_t>(0, pack.subtree_end[key] - std::max(key, query_start)));
    }
    return pairs * static_cast<double>(width());
  }
  std::string Shape() const {
    return name + " " + std::to_string(heads) + "/" + std::to_string(key_heads) + " of " + std::to_string(size);
  }
  std::string Name(RocitDtype dtype) const {
    return "tree_attention " + Shape() + (dtype == ROCIT_FLOAT32 ? " float32" : " bfloat16");
  }
};

inline std::vector<Case> Cases() {
  std::vector<Case> cases = {
      {"no token", {}, 2, 1, 8},
      {"one token", Sequences({1}), 2, 1, 8},
      {"sequences of one token", Sequences(70, 1), 3, 3, 16},
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
      {"role tree", RoleTree(1, 33, 4, 11, 3, 9), 9, 3, 64},
      {"several tiles of keys", Sequences({620}), 2, 1, 16},
      {"tree of several tiles", RoleTree(1, 150, 5, 30, 3, 25), 2, 1, 8},
      {"odd head size", Forest(37, 5, 5), 3, 1, 5},
      {"large head size", Sequences({20, 3}), 2, 1, 200},
      {"one query", Sequences({150}), 9, 3, 64, 149},
      {"one query", Sequences({100, 20}), 32, 2, 128, 119},
      {"no query", Sequences({20, 30}), 4, 2, 16, 50},
      {"one query of one key", Sequences({64, 1}), 2, 1, 16, 64},
      {"queries behind a cache", RoleTree(1, 90, 2, 7, 2, 6), 9, 3, 64, 90},
      {"queries from the middle", Forest(140, 12, 6), 4, 2, 16, 77},
      {"queries far from their prompt", Branches(10, 2140, 20), 2, 1, 8, 2150},
      {"steep scores", Forest(100, 9, 7), 2, 1, 64, 0, 6},
      {"forest of several tiles", Forest(330, 30, 8), 2, 1, 96},
      {"one sequence", Sequences({300}), 9, 3, 40},
      {"two segments", Sequences({90, 30}), 2, 1, 33},
      {"one sequence", Sequences({257}), 2, 2, 72},
      {"negative scale", Sequences({80}), 2, 1, 16, 0, 1, -0.3f},
  };
  return cases;
}

// Causal sequences, short ones side by side, role trees; a single query behind its cache.
inline cases::Timed<Case> TimedCases(RocitDtype dtype) {
  const auto of = [](const Pack& pack, int64_t heads, int64_t key_heads, int64_t size, int64_t query_start = 0) {
    return Case{pack.name, pack, heads, key_heads, size, query_start};
  };
  const auto smollm = [&](const Pack& pack) { return of(pack, 9, 3, 64); };
  const auto llama = [&](const Pack& pack) { return of(pack, 32, 32, 128); };
  cases::Timed<Case> timed;
  timed.host = {smollm(Sequences(1, 2048)), smollm(Sequences(16, 128)), of(Sequences(1, 1024), 32, 2, 128),
                of(Sequences(1, 2048), 9, 3, 64, 2047)};
  if (dtype == ROCIT_BFLOAT16) {
    timed.device = {llama(Sequences(1, 4096)), llama(Sequences(16, 256)), llama(RoleTree(4, 184, 10, 24, 3, 20))};
  }
  timed.quick = static_cast<int>(timed.device.size());
  for (const Pack& pack : {Sequences(1, 2048), Sequences(16, 128), RoleTree(2, 184, 10, 24, 3, 20)}) {
    timed.device.push_back(smollm(pack));
  }
  timed.emulated = {of(RoleTree(2, 7, 2, 3, 2, 4), 4, 2, 16)};
  return timed;
}

struct Inputs {
  Values q, k, v, dout;

  Inputs(const Case& c, RocitDtype dtype) : Inputs(c, dtype, check::Random(c.keys() * 1000 + c.size)) {}
  Inputs(Values queries, Values keys, Values values, Values gradient)
      : q(std::move(queries)), k(std::move(keys)), v(std::move(values)), dout(std::move(gradient)) {}

 private:
  Inputs(const Case& c, RocitDtype dtype, check::Random random)
      : q(check::RandomValues(dtype, c.queries() * c.width(), &random, c.spread)),
        k(check::RandomValues(dtype, c.keys() * c.key_width(), &random, c.spread)),
        v(check::RandomValues(dtype, c.keys() * c.key_width(), &random)),
        dout(check::RandomValues(dtype, c.queries() * c.width(), &random)) {}
};

struct Outputs {
  Values out, lse, dq, dk, dv;
  bool operator==(const Outputs& other) const {
    return out.bytes == other.out.bytes && lse.bytes == other.lse.bytes && dq.bytes == other.dq.bytes &&
           dk.bytes == other.dk.bytes && dv.bytes == other.dv.bytes;
  }
};

template <class Memory>
struct Tensors {
  Case c;
  RocitDtype dtype;
  typename Memory::Tensor q, k, v, dout, out, lse, dq, dk, dv;
  typename Memory::template Array<int32_t> ends;

  // `shift`: as device::Tensor takes it.
  template <class... Shift>
  Tensors(const Case& of, const Inputs& in, Shift... shift)
      : c(of), dtype(in.q.dtype), q(in.q, shift...), k(in.k, shift...), v(in.v, shift...), dout(in.dout, shift...),
        out(dtype, in.q.size(), shift...), lse(ROCIT_FLOAT32, c.queries() * c.heads), dq(dtype, in.q.size(), shift...),
        dk(dtype, in.k.size(), shift...), dv(dtype, in.v.size(), shift...), ends(c.pack.subtree_end) {}
  RocitTreeAttentionInputs In() {
    return {dtype, c.queries(), c.keys(), c.heads, c.key_heads, c.size, c.query_start, c.Scale(), ends.data(), q.data(),
            k.data(), v.data()};
  }
  RocitTreeAttentionArgs Forward() { return {In(), out.data(), cases::Floats(lse)}; }
  RocitTreeAttentionGradArgs Backward(void* workspace) {
    return {In(), dout.data(), out.data(), cases::Floats(lse), dq.data(), dk.data(), dv.data(), workspace};
  }
  Outputs Read() {
    return {Memory::Read(out), Memory::Read(lse), Memory::Read(dq), Memory::Read(dk), Memory::Read(dv)};
  }
};

struct Exact {
  std::vector<double> out, lse, dq, dk, dv;

  Exact() = default;
  Exact(const Case& c, const Inputs& in) {
    const reference::Attention twin = {c.queries(), c.keys(), c.heads, c.key_heads, c.size, c.query_start,
                                       c.Scale(), c.pack.subtree_end, in.q.Doubles(), in.k.Doubles(), in.v.Doubles()};
    twin.Forward(&out, &lse);
    twin.Backward(in.dout.Doubles(), &dq, &dk, &dv);
  }
};

// One query with the keys that it sees.
inline Exact OfQuery(const Case& c, const Inputs& in, int64_t query) {
  cases::Rows seen;
  for (int64_t j = 0; j <= c.query_start + query; ++j) {
    if (c.query_start + query < c.pack.subtree_end[j]) seen.push_back(j);
  }
  const int64_t count = static_cast<int64_t>(seen.size());
  const Case one = {c.name, Sequences({count}), c.heads, c.key_heads, c.size, count - 1, c.spread, c.scale};
  return {one, {cases::Pick(in.q, c.width(), {query}), cases::Pick(in.k, c.key_width(), seen),
                cases::Pick(in.v, c.key_width(), seen), cases::Pick(in.dout, c.width(), {query})}};
}

// One head with its key head, all queries and keys.
inline Exact OfHead(const Case& c, const Inputs& in, int64_t head) {
  const cases::Rows own = cases::Range(head * c.size, c.size), shared = cases::Range(head / c.group() * c.size, c.size);
  const Case one = {c.name, c.pack, 1, 1, c.size, c.query_start, c.spread, c.scale};
  return {one, {cases::PickColumns(in.q, c.width(), own), cases::PickColumns(in.k, c.key_width(), shared),
                cases::PickColumns(in.v, c.key_width(), shared), cases::PickColumns(in.dout, c.width(), own)}};
}

// float32: 4e-6, sums of up to 700 terms. bfloat16: also inner values are rounded, p and ds where pairs are multiplied and
// `out` before delta; four roundings of the largest value.
inline cases::Near Bounds() { return cases::Within(4e-6, 4 * 0x1p-9); }

// Of the shapes that benches time: sums over thousands of keys, or over the queries of all heads of a group.
inline cases::Near LongBounds() { return cases::Within(1e-5, 4 * 0x1p-9, false); }

// All of it; of large cases out and dq of some queries, and all of the heads that share the first key head.
class Twin {
 public:
  Twin(const Case& c, const Inputs& in) : case_(c) {
    if (7 * c.Product() <= 4e8) {
      whole_.emplace_back(c, in);
      return;
    }
    queries_ = cases::Affordable(c.queries(), 7 * c.Product() / static_cast<double>(c.queries()));
    by_query_ = Each(static_cast<int64_t>(queries_.size()), [&](int64_t i) { return OfQuery(c, in, queries_[i]); });
    by_head_ = Each(c.group(), [&](int64_t head) { return OfHead(c, in, head); });
  }

  // Next to cancelling sums the addends are the measure.
  void Compare(const Outputs& got, const std::string& name, const cases::Near& near = Bounds()) const {
    const Case& c = case_;
    const double addend = std::sqrt(static_cast<double>(c.size)) * c.Scale();
    for (const Exact& exact : whole_) {
      near(got.out, exact.out, name + " out", 0);
      near(got.lse, exact.lse, name + " lse", 1);
      near(got.dq, exact.dq, name + " dq", addend);
      near(got.dk, exact.dk, name + " dk", addend);
      near(got.dv, exact.dv, name + " dv", 0);
    }
    if (!whole_.empty()) return;
    near(cases::Pick(got.out, c.width(), queries_), Joined(by_query_, &Exact::out), name + " out of queries", 0);
    near(cases::Pick(got.lse, c.heads, queries_), Joined(by_query_, &Exact::lse), name + " lse of queries", 1);
    near(cases::Pick(got.dq, c.width(), queries_), Joined(by_query_, &Exact::dq), name + " dq of queries", addend);
    const auto heads = [&](const Values& values, int64_t width) {
      Values first(values.dtype, 0);
      for (int64_t head = 0; head < c.group(); ++head) {
        const Values one = cases::PickColumns(values, c.heads * width, cases::Range(head * width, width));
        first.bytes.insert(first.bytes.end(), one.bytes.begin(), one.bytes.end());
      }
      return first;
    };
    near(heads(got.out, c.size), Joined(by_head_, &Exact::out), name + " out of heads", 0);
    near(heads(got.lse, 1), Joined(by_head_, &Exact::lse), name + " lse of heads", 1);
    near(heads(got.dq, c.size), Joined(by_head_, &Exact::dq), name + " dq of heads", addend);
    const cases::Rows first = cases::Range(0, c.size);
    near(cases::PickColumns(got.dk, c.key_width(), first), Added(by_head_, &Exact::dk), name + " dk of a head", addend);
    near(cases::PickColumns(got.dv, c.key_width(), first), Added(by_head_, &Exact::dv), name + " dv of a head", 0);
  }

 private:
  using Member = std::vector<double> Exact::*;

  template <class Part>
  static std::vector<Exact> Each(int64_t count, const Part& part) {
    std::vector<Exact> all(count);
    cases::InParallel(count, [&](int64_t i) { all[i] = part(i); });
    return all;
  }
  static std::vector<double> Joined(const std::vector<Exact>& parts, Member member) {
    std::vector<double> all;
    for (const Exact& part : parts) all.insert(all.end(), (part.*member).begin(), (part.*member).end());
    return all;
  }
  static std::vector<double> Added(const std::vector<Exact>& parts, Member member) {
    std::vector<double> sum = parts[0].*member;
    for (size_t p = 1; p < parts.size(); ++p) {
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += (parts[p].*member)[i];
    }
    return sum;
  }

  Case case_;
  cases::Rows queries_;
  std::vector<Exact> whole_, by_query_, by_head_;
};

}  // namespace tree_attention

#endif  // ROCIT_TESTS_CASES_TREE_ATTENTION_H_
