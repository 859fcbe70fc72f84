// Comparison with the float64 twins: of small cases as a whole, of those that benches time as far as it takes the twin
// about half a second, which is at least 64 rows.
#ifndef ROCIT_TESTS_CASES_COMPARE_H_
#define ROCIT_TESTS_CASES_COMPARE_H_

#include <algorithm>
#include <functional>
#include <numeric>
#include <thread>

#include "check.h"

namespace cases {

using Rows = std::vector<int64_t>;

// `count` of `rows`, evenly spread, the first and the last among them; all where there are no more.
inline Rows Spread(int64_t rows, int64_t count) {
  Rows chosen(std::min(rows, count));
  const int64_t last = static_cast<int64_t>(chosen.size()) - 1;
  for (int64_t i = 0; i <= last; ++i) chosen[i] = last > 0 ? i * (rows - 1) / last : 0;
  return chosen;
}

// `count` numbers from `begin` on.
inline Rows Range(int64_t begin, int64_t count) {
  Rows range(count);
  std::iota(range.begin(), range.end(), begin);
  return range;
}

// As many as half a second allows where one costs the twin so many multiply-adds.
inline Rows Affordable(int64_t rows, double cost) {
  return Spread(rows, std::max<int64_t>(64, static_cast<int64_t>(3e8 / std::max(cost, 1.0))));
}

// Rows of `width` values.
inline check::Values Pick(const check::Values& values, int64_t width, const Rows& rows) {
  check::Values picked(values.dtype, static_cast<int64_t>(rows.size()) * width);
  const size_t bytes = static_cast<size_t>(width) * (values.dtype == ROCIT_FLOAT32 ? 4 : 2);
  for (size_t i = 0; bytes > 0 && i < rows.size(); ++i) {
    std::memcpy(&picked.bytes[i * bytes], &values.bytes[static_cast<size_t>(rows[i]) * bytes], bytes);
  }
  return picked;
}

// The same of columns: values [rows, width] become [rows, columns].
inline check::Values PickColumns(const check::Values& values, int64_t width, const Rows& columns) {
  const int64_t rows = width > 0 ? values.size() / width : 0, count = static_cast<int64_t>(columns.size());
  check::Values picked(values.dtype, rows * count);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = 0; i < count; ++i) picked.Set(row * count + i, values.Get(row * width + columns[i]));
  }
  return picked;
}

// body(i) for each i below `count`, on all cores.
template <class Body>
void InParallel(int64_t count, const Body& body) {
  check::Threads threads(static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
  const RocitParallel parallel = threads.contract();
  const auto piece = [](void* arg, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) (*static_cast<const Body*>(arg))(i);
  };
  parallel.run(parallel.context, count, 1, piece, const_cast<Body*>(&body));
}

// Says whether values are near enough to the twin's; `least` as in check::Error.
using Near = std::function<void(const check::Values& got, const std::vector<double>& expected,
                                const std::string& promise, double least)>;

// The largest error against the largest value; `forgives`: `least` counts.
inline Near Within(double float32, double bfloat16, bool forgives = true) {
  return [=](const check::Values& got, const std::vector<double>& expected, const std::string& promise, double least) {
    const double bound = got.dtype == ROCIT_FLOAT32 ? float32 : bfloat16;
    const double error = check::Error(got.Doubles(), expected, forgives ? least : 0);
    const auto millionths = [](double value) { return std::to_string(value * 1e6) + "e-6"; };
    check::That(error <= bound, promise, "error " + millionths(error) + ", bound " + millionths(bound));
  };
}

// The same of sums, by the number of their addends.
using NearSum = std::function<void(const check::Values& got, const std::vector<double>& expected,
                                   const std::string& promise, int64_t addends)>;

// check::IsNear of sums: in float32 their error grows with the root of the number of addends.
inline void IsNearSum(const check::Values& got, const std::vector<double>& expected, const std::string& promise,
                      int64_t addends) {
  if (got.dtype == ROCIT_BFLOAT16 || addends <= 768) return check::IsNear(got, expected, promise);
  Within(2e-6 * std::sqrt(static_cast<double>(addends) / 768), 0)(got, expected, promise, 0);
}

}  // namespace cases

#endif  // ROCIT_TESTS_CASES_COMPARE_H_
