// Tensor core products and matrix loads as exchanges between the lanes of a warp; layouts in ../mma.h.
#include "mma.h"

#include "races.h"

namespace rocit {
namespace emulation {
namespace {

float Half(uint32_t pair, int which) { return RocitBitCast<float>(which == 0 ? pair << 16 : pair & 0xffff0000u); }

struct ProductLane {
  float* d;
  const uint32_t* a;
  const uint32_t* b;
};

void CompleteProduct(void* const* lanes, uint32_t) {
  float a[16][16], b[8][16];  // b by columns
  for (int l = 0; l < 32; ++l) {
    const ProductLane& lane = *static_cast<ProductLane*>(lanes[l]);
    for (int i = 0; i < 4; ++i) {
      for (int h = 0; h < 2; ++h) a[l / 4 + i % 2 * 8][l % 4 * 2 + h + i / 2 * 8] = Half(lane.a[i], h);
    }
    for (int i = 0; i < 2; ++i) {
      for (int h = 0; h < 2; ++h) b[l / 4][l % 4 * 2 + h + i * 8] = Half(lane.b[i], h);
    }
  }
  for (int l = 0; l < 32; ++l) {
    float* d = static_cast<ProductLane*>(lanes[l])->d;
    for (int i = 0; i < 4; ++i) {
      const float *row = a[l / 4 + i / 2 * 8], *column = b[l % 4 * 2 + i % 2];
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += row[k] * column[k];
      d[i] += sum;
    }
  }
}

struct MatrixLane {
  uint32_t* r;
  const void* row;
  int count;
  bool is_transposed;
  Place place;
};

// Reads with the width of the rows, so that the address sanitizer sees a step outside.
void CompleteMatrices(void* const* lanes, uint32_t) {
  const MatrixLane& first = *static_cast<MatrixLane*>(lanes[0]);
  for (int i = 0; i < first.count; ++i) {
    uint16_t matrix[8][8];
    for (int row = 0; row < 8; ++row) {
      const void* from = static_cast<MatrixLane*>(lanes[8 * i + row])->row;
      if (reinterpret_cast<uintptr_t>(from) % 16 != 0) Die(first.place, "a row is not on a multiple of 16 bytes");
      std::memcpy(matrix[row], from, 16);
    }
    for (int l = 0; l < 32; ++l) {
      const int r = l / 4, c = l % 4 * 2;
      const uint32_t low = first.is_transposed ? matrix[c][r] : matrix[r][c];
      const uint32_t high = first.is_transposed ? matrix[c + 1][r] : matrix[r][c + 1];
      static_cast<MatrixLane*>(lanes[l])->r[i] = low | high << 16;
    }
  }
}

}  // namespace

void MeetForProduct(const Place& place, float* d, const uint32_t* a, const uint32_t* b) {
  ProductLane own = {d, a, b};
  MeetWarp(place, 0xffffffffu, &own, &CompleteProduct);
}

void MeetForMatrices(const Place& place, uint32_t* r, int count, const void* row, bool is_transposed) {
  MatrixLane own = {r, row, count, is_transposed, place};
  if (static_cast<int>(Lane()) < 8 * count) Reads16(row);
  MeetWarp(place, 0xffffffffu, &own, &CompleteMatrices);
}

}  // namespace emulation
}  // namespace rocit
