// The cases of lora_linear, their inputs, and the twin of each projection.
#ifndef ROCIT_TESTS_CASES_LORA_LINEAR_H_
#define ROCIT_TESTS_CASES_LORA_LINEAR_H_

#include <lora_linear.h>  // the contract: this file bears its name

#include "check.h"
#include "reference/lora_linear.h"

namespace lora_linear {

using check::Values;

struct Part {
  int64_t out, rank;
  bool has_bias;
  float scaling, dropout;
  bool has_dy;
};

struct Case {
  const char* title;
  int64_t rows, in;
  std::vector<Part> parts;
  bool wants_dx;
};

inline std::vector<Case> Cases() {
  return {
      {"plain", 5, 123, {{77, 0, false, 1, 0, true}}, true},
      {"plain with bias", 17, 12, {{7, 0, true, 1, 0, true}}, true},
      {"adapter", 5, 123, {{77, 4, false, 2, 0, true}}, true},
      {"rank 16 with bias", 150, 33, {{130, 16, true, 0.5f, 0, true}}, true},
      {"one row", 1, 9, {{1, 1, false, 1, 0, true}}, true},
      {"no row", 0, 8, {{6, 2, true, 1, 0, true}}, true},
      {"q, k, v", 30, 36, {{36, 16, false, 2, 0, true}, {12, 16, false, 2, 0, true}, {12, 16, false, 2, 0, true}}, true},
      {"a mixture", 9, 10, {{5, 2, true, 1, 0, true}, {3, 0, false, 1, 0, true}, {8, 3, false, 3, 0, true}}, true},
      {"frozen input", 9, 10, {{5, 2, false, 1, 0, true}, {3, 0, false, 1, 0, true}}, false},
      {"a gradient that is missing", 9, 10, {{5, 2, false, 1, 0, false}, {3, 2, false, 1, 0, true}}, true},
      {"no gradient", 9, 10, {{5, 2, false, 1, 0, false}}, true},
      {"dropout", 31, 45, {{9, 3, false, 2, 0.3f, true}}, true},
      {"two dropouts", 14, 45, {{9, 3, true, 2, 0.5f, true}, {20, 0, false, 1, 0, true}, {4, 5, false, 1, 0.9f, true}}, true},
      {"dropout beside none", 14, 40, {{9, 3, true, 2, 0.5f, true}, {4, 5, false, 1, 0, true}}, true},
      {"high rank", 3, 4, {{5, 61, false, 0.25f, 0, true}}, true},
  };
}

inline uint64_t SeedOf(size_t p) { return 1000 + 7 * p; }

// What the kernel multiplies x by: with W = 0, A = B = 1 and x = 1, y is the mask.
inline std::vector<double> Mask(int64_t rows, int64_t in, const Part& part, size_t p, const RocitParallel* parallel) {
  std::vector<float> x(rows * in, 1), weight(in * in), eye(in * in), y(rows * in), z(rows * in);
  for (int64_t i = 0; i < in; ++i) eye[i * in + i] = 1;
  const RocitLoraProjection one = {in, in, weight.data(), nullptr, eye.data(), eye.data(), 1, part.dropout, SeedOf(p)};
  void* to = y.data();
  const RocitLoraLinearArgs args = {ROCIT_FLOAT32, rows, in, 1, &one, x.data(), &to, z.data()};
  rocit_lora_linear(&args, parallel);
  return std::vector<double>(y.begin(), y.end());
}

struct Tensors {
  std::vector<Values> weight, bias, a, b, dy;
  Values x;
  Tensors(const Case& c, RocitDtype dtype) : x(dtype, 0) {
    check::Random random(c.rows * 31 + c.in);
    x = check::RandomValues(dtype, c.rows * c.in, &random);
    for (const Part& part : c.parts) {
      weight.push_back(check::RandomValues(dtype, part.out * c.in, &random, 0.3));
      bias.push_back(check::RandomValues(dtype, part.out, &random));
      a.push_back(check::RandomValues(ROCIT_FLOAT32, part.rank * c.in, &random));
      b.push_back(check::RandomValues(ROCIT_FLOAT32, part.out * part.rank, &random));
      dy.push_back(check::RandomValues(dtype, c.rows * part.out, &random));
    }
  }
};

struct Results {
  std::vector<Values> y, da, db;
  Values z, dx;
  bool operator==(const Results& other) const {
    const auto same = [](const std::vector<Values>& a, const std::vector<Values>& b) {
      bool is_same = true;
      for (size_t i = 0; i < a.size(); ++i) is_same = is_same && a[i].bytes == b[i].bytes;
      return is_same;
    };
    return same(y, other.y) && same(da, other.da) && same(db, other.db) && z.bytes == other.z.bytes &&
           dx.bytes == other.dx.bytes;
  }
};

inline reference::LoraProjection Twin(const Case& c, const Tensors& t, size_t p, const RocitParallel* parallel) {
  const Part& part = c.parts[p];
  const std::vector<double> ones(c.rows * c.in, 1.0);
  return {c.rows, c.in, part.out, part.rank, t.x.Doubles(), t.weight[p].Doubles(),
          part.has_bias ? t.bias[p].Doubles() : std::vector<double>(), t.a[p].Doubles(), t.b[p].Doubles(),
          part.dropout > 0 ? Mask(c.rows, c.in, part, p, parallel) : ones, part.scaling};
}

}  // namespace lora_linear

#endif  // ROCIT_TESTS_CASES_LORA_LINEAR_H_
