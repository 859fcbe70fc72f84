// The cases of lora_linear, their tensors, and the comparison with the float64 twin of each projection.
#ifndef ROCIT_TESTS_CASES_LORA_LINEAR_H_
#define ROCIT_TESTS_CASES_LORA_LINEAR_H_

#include <lora_linear.h>  // the contract: this file bears its name

#include "cases/compare.h"
#include "cases/memory.h"
#include "cases/timed.h"
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
  double adapter_scale = 1;  // of A and B

  int64_t count() const { return static_cast<int64_t>(parts.size()); }
  int64_t OutWidth() const {
    int64_t width = 0;
    for (const Part& part : parts) width += part.out;
    return width;
  }
  int64_t RankWidth() const {
    int64_t width = 0;
    for (const Part& part : parts) width += part.rank;
    return width;
  }
};

inline std::vector<Part> Eight(const Part& first, const Part& other) {
  return {first, other, other, other, other, other, other, other};
}

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
      {"long rows", 37, 1536, {{70, 16, true, 1, 0, true}}, true},
      {"long rows, ranks of all sizes", 70, 600,
       {{33, 16, false, 1, 0, true}, {65, 70, false, 1, 0, true}, {40, 0, false, 1, 0, true}}, true},
      {"dropout of long rows", 33, 700, {{600, 16, false, 1, 0.25f, true}, {20, 8, false, 1, 0, true}}, true},
      {"many rows", 1300, 33, {{34, 16, false, 1, 0, true}}, true},
      {"eight projections", 20, 40, Eight({600, 4, false, 1, 0, true}, {9, 4, false, 1, 0, true}), true},
      {"a projection to nothing", 20, 40, {{601, 0, false, 1, 0, true}, {0, 0, false, 1, 0, true}}, true},
      {"high rank", 3, 4, {{5, 61, false, 0.25f, 0, true}}, true},
  };
}

// Projections of one input with adapters of rank `rank` that give about as much as the frozen weights.
inline Case Linears(const char* title, int64_t rows, int64_t in, const std::vector<int64_t>& outs, int64_t rank) {
  Case c = {title, rows, in, {}, true, 0.2};
  for (const int64_t out : outs) c.parts.push_back({out, rank, false, 2, 0, true});
  return c;
}

inline cases::Timed<Case> TimedCases(RocitDtype dtype) {
  cases::Timed<Case> timed;
  for (const int64_t rows : {256, 1000, 2048}) {
    timed.host.push_back(Linears("q, k, v", rows, 576, {576, 192, 192}, 16));
  }
  for (const int64_t rows : {256, 1000, 2048}) timed.host.push_back(Linears("o", rows, 576, {576}, 16));
  for (const int64_t rows : {256, 1000, 2048}) timed.host.push_back(Linears("gate, up", rows, 576, {1536, 1536}, 16));
  for (const int64_t rows : {256, 1000, 2048}) timed.host.push_back(Linears("down", rows, 1536, {576}, 16));
  if (dtype == ROCIT_BFLOAT16) {
    timed.device = {Linears("q, k, v", 4096, 4096, {4096, 4096, 4096}, 16),
                    Linears("gate, up", 4096, 4096, {11008, 11008}, 16), Linears("down", 4096, 11008, {4096}, 16)};
  }
  timed.quick = dtype == ROCIT_BFLOAT16 ? 1 : 0;
  timed.device.push_back(Linears("q, k, v", 2048, 576, {576, 192, 192}, 16));
  timed.device.push_back(Linears("gate, up", 2048, 576, {1536, 1536}, 16));
  timed.emulated = {Linears("tiny", 9, 33, {20, 7}, 4)};
  return timed;
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

struct Inputs {
  std::vector<Values> weight, bias, a, b, dy, da_before, db_before;
  Values x;

  Inputs(const Case& c, RocitDtype dtype) : x(dtype, 0) {
    check::Random random(c.rows * 31 + c.in);
    x = check::RandomValues(dtype, c.rows * c.in, &random);
    for (const Part& part : c.parts) {
      weight.push_back(check::RandomValues(dtype, part.out * c.in, &random, 0.3));
      bias.push_back(check::RandomValues(dtype, part.out, &random));
      a.push_back(check::RandomValues(ROCIT_FLOAT32, part.rank * c.in, &random, c.adapter_scale));
      b.push_back(check::RandomValues(ROCIT_FLOAT32, part.out * part.rank, &random, c.adapter_scale));
      dy.push_back(check::RandomValues(dtype, c.rows * part.out, &random));
    }
    for (const Part& part : c.parts) {
      da_before.push_back(check::RandomValues(ROCIT_FLOAT32, part.rank * c.in, &random));
      db_before.push_back(check::RandomValues(ROCIT_FLOAT32, part.out * part.rank, &random));
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

template <class Memory>
struct Tensors {
  using Tensor = typename Memory::Tensor;

  Case c;
  RocitDtype dtype;
  std::vector<Tensor> weight, bias, a, b, dy, y, da, db, da_before, db_before;
  Tensor x, z, dx;
  std::vector<RocitLoraProjection> projections;
  std::vector<void*> y_data;
  std::vector<const void*> dy_data;
  std::vector<float*> da_data, db_data;
  std::vector<const float*> da_before_data, db_before_data;

  // `shift`: as device::Tensor takes it.
  template <class... Shift>
  Tensors(const Case& of, const Inputs& in, Shift... shift)
      : c(of), dtype(in.x.dtype), x(in.x, shift...), z(ROCIT_FLOAT32, c.rows * c.RankWidth(), shift...),
        dx(dtype, c.wants_dx ? c.rows * c.in : 0, shift...) {
    for (size_t p = 0; p < c.parts.size(); ++p) {
      const Part& part = c.parts[p];
      weight.emplace_back(in.weight[p], shift...);
      bias.emplace_back(in.bias[p], shift...);
      a.emplace_back(in.a[p], shift...);
      b.emplace_back(in.b[p], shift...);
      dy.emplace_back(in.dy[p], shift...);
      y.emplace_back(dtype, c.rows * part.out, shift...);
      da.emplace_back(ROCIT_FLOAT32, part.rank * c.in, shift...);
      db.emplace_back(ROCIT_FLOAT32, part.out * part.rank, shift...);
      projections.push_back({part.out, part.rank, weight[p].data(), part.has_bias ? bias[p].data() : nullptr,
                             cases::Floats(a[p]), cases::Floats(b[p]), part.scaling, part.dropout, SeedOf(p)});
      y_data.push_back(y[p].data());
      dy_data.push_back(part.has_dy ? dy[p].data() : nullptr);
      da_data.push_back(cases::Floats(da[p]));
      db_data.push_back(cases::Floats(db[p]));
      da_before.emplace_back(in.da_before[p], shift...);
      db_before.emplace_back(in.db_before[p], shift...);
      da_before_data.push_back(cases::Floats(da_before[p]));
      db_before_data.push_back(cases::Floats(db_before[p]));
    }
  }
  Tensors(const Tensors&) = delete;
  Tensors& operator=(const Tensors&) = delete;
  RocitLoraLinearArgs Forward() {
    return {dtype, c.rows, c.in, c.count(), projections.data(), x.data(), y_data.data(), cases::Floats(z)};
  }
  // `adds`: to da_before and db_before.
  RocitLoraLinearGradArgs Backward(bool adds = false) {
    return {dtype,
            c.rows,
            c.in,
            c.count(),
            projections.data(),
            x.data(),
            cases::Floats(z),
            dy_data.data(),
            c.wants_dx ? dx.data() : nullptr,
            da_data.data(),
            db_data.data(),
            adds ? da_before_data.data() : nullptr,
            adds ? db_before_data.data() : nullptr};
  }
  Results Read() {
    Results got = {{}, {}, {}, Memory::Read(z), Memory::Read(dx)};
    for (size_t p = 0; p < c.parts.size(); ++p) {
      got.y.push_back(Memory::Read(y[p]));
      got.da.push_back(Memory::Read(da[p]));
      got.db.push_back(Memory::Read(db[p]));
    }
    return got;
  }
};

// Bit for bit what came without `adds` and was added up afterwards.
inline void CheckAdded(const Inputs& in, const Results& plain, const Results& added, const std::string& name) {
  const auto is_sum = [](const Values& before, const Values& own, const Values& sum) {
    bool is_same = true;
    for (int64_t i = 0; i < sum.size(); ++i) {
      const float expected = static_cast<float>(before.Get(i)) + static_cast<float>(own.Get(i));
      is_same = is_same && static_cast<float>(sum.Get(i)) == expected;
    }
    return is_same;
  };
  for (size_t p = 0; p < in.a.size(); ++p) {
    const std::string at = name + " " + std::to_string(p);
    check::That(is_sum(in.da_before[p], plain.da[p], added.da[p]), at + " adds da to the sums before");
    check::That(is_sum(in.db_before[p], plain.db[p], added.db[p]), at + " adds db to the sums before");
  }
  check::That(added.dx.bytes == plain.dx.bytes, name + " has the same dx when it adds");
}

inline reference::LoraProjection Projection(const Case& c, const Inputs& in, size_t p, const RocitParallel* parallel) {
  const Part& part = c.parts[p];
  const std::vector<double> ones(c.rows * c.in, 1.0);
  return {c.rows, c.in, part.out, part.rank, in.x.Doubles(), in.weight[p].Doubles(),
          part.has_bias ? in.bias[p].Doubles() : std::vector<double>(), in.a[p].Doubles(), in.b[p].Doubles(),
          part.dropout > 0 ? Mask(c.rows, c.in, part, p, parallel) : ones, part.scaling};
}

inline std::vector<double> Gradient(const Case& c, const Inputs& in, size_t p) {
  return c.parts[p].has_dy ? in.dy[p].Doubles() : std::vector<double>(in.dy[p].size(), 0.0);
}

// Of a matrix of doubles [rows, width] some rows, and some columns.
inline std::vector<double> RowsOf(const std::vector<double>& matrix, int64_t width, const cases::Rows& rows) {
  std::vector<double> picked;
  for (const int64_t row : rows) {
    picked.insert(picked.end(), matrix.begin() + row * width, matrix.begin() + (row + 1) * width);
  }
  return picked;
}
inline std::vector<double> ColumnsOf(const std::vector<double>& matrix, int64_t width, const cases::Rows& columns) {
  std::vector<double> picked;
  for (size_t start = 0; start < matrix.size(); start += width) {
    for (const int64_t column : columns) picked.push_back(matrix[start + column]);
  }
  return picked;
}

// Of large cases y and dx of some rows, da of some columns, db of some rows; the sums of both are whole.
struct Twin {
  cases::Rows rows, columns;
  std::vector<cases::Rows> outs;
  std::vector<std::vector<double>> y, da, db;
  std::vector<double> dx;

  Twin(const Case& c, const Inputs& in)
      : rows(cases::Affordable(c.rows, 2.0 * static_cast<double>(c.in * c.OutWidth()))),
        columns(cases::Affordable(c.in, static_cast<double>(c.rows * c.RankWidth()))), dx(rows.size() * c.in) {
    check::Threads pool(1);
    const RocitParallel parallel = pool.contract();
    for (size_t p = 0; p < c.parts.size(); ++p) {
      reference::LoraProjection whole = Projection(c, in, p, &parallel);
      const std::vector<double> dy = Gradient(c, in, p), z = reference::LoraZ(whole), dz = reference::LoraDz(whole, dy);
      outs.push_back(cases::Affordable(whole.out, static_cast<double>(c.rows * c.RankWidth())));

      reference::LoraProjection part = whole;
      part.rows = static_cast<int64_t>(rows.size());
      part.x = RowsOf(whole.x, whole.in, rows);
      part.mask = RowsOf(whole.mask, whole.in, rows);
      std::vector<double> of_rows;
      y.push_back(reference::LoraLinear(part, &of_rows));
      reference::LoraDx(part, RowsOf(dy, whole.out, rows), RowsOf(dz, whole.rank, rows), &dx);

      part = {whole.rows, static_cast<int64_t>(columns.size()), whole.out, whole.rank,
              ColumnsOf(whole.x, whole.in, columns), {}, {}, {}, {},
              ColumnsOf(whole.mask, whole.in, columns), whole.scaling};
      da.push_back(reference::LoraDa(part, dz));
      part = {whole.rows, whole.in, static_cast<int64_t>(outs[p].size()), whole.rank,
              {}, {}, {}, {}, {}, {}, whole.scaling};
      db.push_back(reference::LoraDb(part, ColumnsOf(dy, whole.out, outs[p]), z));
    }
  }
};

// `near` gets the number of addends as well.
inline void CompareWithTwin(const Case& c, const Twin& twin, const Results& got, const std::string& name,
                            const cases::NearSum& near = &cases::IsNearSum) {
  for (size_t p = 0; p < c.parts.size(); ++p) {
    const std::string at = name + " " + std::to_string(p);
    near(cases::Pick(got.y[p], c.parts[p].out, twin.rows), twin.y[p], at + " y", c.in);
    near(cases::PickColumns(got.da[p], c.in, twin.columns), twin.da[p], at + " da", c.rows);
    near(cases::Pick(got.db[p], c.parts[p].rank, twin.outs[p]), twin.db[p], at + " db", c.rows);
  }
  if (c.wants_dx) near(cases::Pick(got.dx, c.in, twin.rows), twin.dx, name + " dx", c.OutWidth());
}

}  // namespace lora_linear

#endif  // ROCIT_TESTS_CASES_LORA_LINEAR_H_
