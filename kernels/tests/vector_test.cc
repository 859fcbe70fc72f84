// Functions of cpu/vector.h that promise an error or an edge, on every vector path.
#include <cmath>

#include "../cpu/elements.h"
#include "check.h"

#define ROCIT_LOOPS "../tests/vector_loops.h"
#include "../cpu/each_path.h"

namespace {

std::vector<float> Powers(const std::vector<float>& from) {
  std::vector<float> to(from.size());
  ROCIT_DISPATCH(PowersOfTwo, from.data(), to.data(), static_cast<int64_t>(from.size()));
  return to;
}

// In units in the last place of the exact value.
double WorstError(float begin, float end) {
  constexpr int64_t kCount = 1 << 20;
  std::vector<float> x(kCount);
  for (int64_t i = 0; i < kCount; ++i) x[i] = begin + (end - begin) * (static_cast<float>(i) / kCount);
  const std::vector<float> y = Powers(x);
  double worst = 0;
  for (int64_t i = 0; i < kCount; ++i) {
    const double exact = std::exp2(static_cast<double>(x[i]));
    worst = std::fmax(worst, std::fabs(y[i] - exact) / (std::exp2(std::floor(static_cast<double>(x[i]))) * 0x1p-23));
  }
  return worst;
}

void TestExp2(const std::string& name) {
  const double worst = std::fmax(WorstError(-1, 1), std::fmax(WorstError(-125, 0), WorstError(0, 127)));
  check::That(worst <= 2, name + " 2^x is within 2 units in the last place", std::to_string(worst));
  const float infinity = HUGE_VALF;
  const std::vector<float> y = Powers({0, 1, -1, -125, -125.5f, -1e30f, -infinity, NAN, 127, -0.0f, 0.5f, 2, 3, 4, 5, 6});
  const bool is_exact = y[0] == 1 && y[1] == 2 && y[2] == 0.5f && y[3] == 0x1p-125f && y[8] == 0x1p127f && y[9] == 1;
  check::That(is_exact, name + " 2^n is exact");
  check::That(y[4] == 0 && y[5] == 0 && y[6] == 0, name + " 2^x is zero below -125");
  check::That(std::isnan(y[7]), name + " 2^NaN is NaN");
}

void TestMax(const std::string& name) {
  std::vector<float> a(16, NAN), b(16, 3), to(16);
  ROCIT_DISPATCH(Largest, a.data(), b.data(), to.data());
  check::That(to[0] == 3 && to[15] == 3, name + " the larger of NaN and b is b");
  a.assign(16, 5);
  ROCIT_DISPATCH(Largest, a.data(), b.data(), to.data());
  check::That(to[0] == 5 && to[15] == 5, name + " the larger of 5 and 3 is 5");
}

}  // namespace

int main() {
  check::OnEachPath("vector", [](const std::string& name) {
    TestExp2(name);
    TestMax(name);
  });
  return check::Finish("vector");
}
