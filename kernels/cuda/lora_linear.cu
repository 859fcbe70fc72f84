// lora_linear on CUDA. The products of the frozen weights are the library's. Around them: z by a thin product that reads
// x once for all adapters; scaling z B^T + bias written to y, which the library's product then adds to (beta = 1); dz, dA
// and dB by thin products; the sum of dz A before or after the products that make dx.
#include "lora_linear.h"

#include "cuda_gemm.h"
#include "dropout.h"
#include "low_rank.h"
#include "thin_product.h"

namespace rocit {
namespace {

constexpr int64_t kMost = ROCIT_LORA_MOST_PROJECTIONS;
static_assert(kMost <= kMostThinParts && kMost <= kMostLowRankTerms, "the projections of a call fit into one launch");

// What forward and backward know of the projections of a call.
struct Adapters {
  const RocitLoraProjection* all;
  int64_t count;
  int64_t offsets[kMost + 1];  // of the columns of z
  Dropout dropouts[kMost];
  bool any_dropout = false;

  Adapters(const RocitLoraProjection* projections, int64_t num) : all(projections), count(num) {
    offsets[0] = 0;
    for (int64_t p = 0; p < num; ++p) {
      offsets[p + 1] = offsets[p] + projections[p].rank;
      dropouts[p] = MakeDropout(projections[p].seed, projections[p].dropout);
      any_dropout = any_dropout || DropoutOf(p) != nullptr;
    }
  }
  int64_t total() const { return offsets[count]; }
  const Dropout* DropoutOf(int64_t p) const { return all[p].rank > 0 && all[p].dropout > 0 ? &dropouts[p] : nullptr; }
};

// Takes thin products: launches them, or with a null stream function only counts their workspace.
class ThinProducts {
 public:
  ThinProducts(float* workspace, void* stream, bool is_dry) : workspace_(workspace), stream_(stream), is_dry_(is_dry) {}
  void Add(const ThinProduct& product) {
    const int64_t floats = ThinWorkspace(product);
    if (floats > most_) most_ = floats;
    if (!is_dry_ && status_ == 0) status_ = LaunchThin(product, stream_, workspace_);
  }
  int64_t most_floats() const { return most_; }
  RocitCudaStatus status() const { return status_; }

 private:
  float* workspace_;
  void* stream_;
  bool is_dry_;
  int64_t most_ = 0;
  RocitCudaStatus status_ = 0;
};

void AddPart(ThinProduct* product, const ThinPart& part) { product->parts[product->num_parts++] = part; }

// z of all projections: one product, or with dropout one for each.
void AddZ(const RocitLoraLinearArgs& args, const Adapters& adapters, ThinProducts* products) {
  const int64_t in = args.in_features;
  const ThinProduct empty = {args.dtype, args.x, false, args.num_rows, in, nullptr, 0, {}, 1, adapters.total()};
  ThinProduct product = empty;
  for (int64_t p = 0; p < adapters.count; ++p) {
    if (adapters.any_dropout) product = empty;
    product.dropout = adapters.DropoutOf(p);
    float* z = args.z == nullptr ? nullptr : args.z + adapters.offsets[p];
    AddPart(&product, {adapters.all[p].a, z, adapters.all[p].rank, in, 1, 1.0f, nullptr});
    if (adapters.any_dropout && adapters.all[p].rank > 0) products->Add(product);
  }
  if (!adapters.any_dropout) products->Add(product);
}

// dz of the projections that have a gradient.
void AddDz(const RocitLoraLinearGradArgs& args, const Adapters& adapters, float* dz, ThinProducts* products) {
  for (int64_t p = 0; p < adapters.count; ++p) {
    const RocitLoraProjection& own = adapters.all[p];
    if (own.rank == 0 || args.dy[p] == nullptr) continue;
    ThinProduct product = {args.dtype, args.dy[p], false, args.num_rows, own.out_features, nullptr, 0, {}, own.rank,
                           adapters.total()};
    AddPart(&product, {own.b, dz == nullptr ? nullptr : dz + adapters.offsets[p], own.rank, 1, 1, own.scaling,
                       nullptr});
    products->Add(product);
  }
}

const float* BeforeOf(const float* const* before, int64_t p) { return before == nullptr ? nullptr : before[p]; }

// dA and dB: thin products of x and dy transposed, summed over the rows.
void AddAdapterGradients(const RocitLoraLinearGradArgs& args, const Adapters& adapters, const float* dz,
                         ThinProducts* products) {
  const int64_t in = args.in_features, total = adapters.total();
  const ThinProduct empty = {args.dtype, args.x, true, in, args.num_rows, nullptr, 0, {}, total, 1};
  ThinProduct of_a = empty;
  for (int64_t p = 0; p < adapters.count; ++p) {
    const RocitLoraProjection& own = adapters.all[p];
    if (own.rank == 0 || args.dy[p] == nullptr) continue;
    if (adapters.any_dropout) of_a = empty;
    of_a.dropout = adapters.DropoutOf(p);
    AddPart(&of_a, {dz == nullptr ? nullptr : dz + adapters.offsets[p], args.da[p], own.rank, 1, in, 1.0f,
                    BeforeOf(args.da_before, p)});
    if (adapters.any_dropout) products->Add(of_a);
    ThinProduct of_b = {args.dtype, args.dy[p], true, own.out_features, args.num_rows, nullptr, 0, {}, total, own.rank};
    AddPart(&of_b, {args.z == nullptr ? nullptr : args.z + adapters.offsets[p], args.db[p], own.rank, 1, 1, own.scaling,
                    BeforeOf(args.db_before, p)});
    products->Add(of_b);
  }
  if (!adapters.any_dropout && of_a.num_parts > 0) products->Add(of_a);
}

struct ForwardSpace {
  void* gemm;
  float* pieces;
  int64_t bytes;

  ForwardSpace(const RocitLoraLinearArgs& args, const Adapters& adapters, void* start) {
    ThinProducts products(nullptr, nullptr, true);
    AddZ(args, adapters, &products);
    Workspace workspace(start);
    gemm = workspace.Take<char>(GemmWorkspaceBytes());
    pieces = workspace.Take<float>(products.most_floats());
    bytes = workspace.bytes();
  }
};

struct BackwardSpace {
  void* gemm;
  float *dz, *pieces;
  int64_t bytes;

  BackwardSpace(const RocitLoraLinearGradArgs& args, const Adapters& adapters, void* start) {
    ThinProducts products(nullptr, nullptr, true);
    AddDz(args, adapters, nullptr, &products);
    AddAdapterGradients(args, adapters, nullptr, &products);
    Workspace workspace(start);
    gemm = workspace.Take<char>(GemmWorkspaceBytes());
    dz = workspace.Take<float>(args.num_rows * adapters.total());
    pieces = workspace.Take<float>(products.most_floats());
    bytes = workspace.bytes();
  }
};

RocitCudaStatus Project(const RocitLoraLinearArgs& args, const Adapters& adapters, int64_t p, const RocitCuda& cuda,
                        void* workspace) {
  const RocitLoraProjection& own = adapters.all[p];
  const int64_t in = args.in_features, out = own.out_features;
  const bool has_more = own.rank > 0 || own.bias != nullptr;
  if (has_more) {
    LowRank update = {args.dtype, false, args.num_rows, out, own.bias, args.y[p], own.rank > 0 ? 1 : 0, {}};
    update.terms[0] = {args.z + adapters.offsets[p], own.b, own.rank, adapters.total(), 1, own.rank, own.scaling, false, {}};
    const RocitCudaStatus status = LaunchLowRank(update, cuda.stream);
    if (status != 0) return status;
  }
  return CudaGemm({args.dtype, args.dtype, args.num_rows, out, in, args.x, own.weight, args.y[p], in, in, out, 0, 1,
                   has_more ? 1.0f : 0.0f},
                  cuda, workspace);
}

// The adapters' share of dx; whether there is any.
bool AdapterShare(const RocitLoraLinearGradArgs& args, const Adapters& adapters, const float* dz, LowRank* share) {
  const int64_t in = args.in_features;
  *share = {args.dtype, false, args.num_rows, in, nullptr, args.dx, 0, {}};
  for (int64_t p = 0; p < adapters.count; ++p) {
    if (adapters.all[p].rank == 0 || args.dy[p] == nullptr) continue;
    const Dropout* dropout = adapters.DropoutOf(p);
    share->terms[share->num_terms++] = {dz + adapters.offsets[p],
                                        adapters.all[p].a,
                                        adapters.all[p].rank,
                                        adapters.total(),
                                        in,
                                        1,
                                        dropout != nullptr ? dropout->scale : 1.0f,
                                        dropout != nullptr,
                                        dropout != nullptr ? *dropout : Dropout{}};
  }
  return share->num_terms > 0;
}

// Gradients without rows: what was there before, or zero.
RocitCudaStatus CopyOrZero(const float* before, float* to, int64_t count, const RocitCuda& cuda) {
  const size_t bytes = static_cast<size_t>(count) * sizeof(float);
  const auto stream = static_cast<cudaStream_t>(cuda.stream);
  if (bytes == 0) return 0;
  return static_cast<int>(before == nullptr ? cudaMemsetAsync(to, 0, bytes, stream)
                                            : cudaMemcpyAsync(to, before, bytes, cudaMemcpyDeviceToDevice, stream));
}

RocitCudaStatus Zero(void* to, int64_t bytes, const RocitCuda& cuda) {
  if (to == nullptr || bytes == 0) return 0;
  return static_cast<int>(cudaMemsetAsync(to, 0, static_cast<size_t>(bytes), static_cast<cudaStream_t>(cuda.stream)));
}

// dx passes through memory once a projection. Of a single one the adapter's share goes first and the library adds to it;
// of several it goes last, so that no partial sum is rounded at the size of a share that may cancel.
RocitCudaStatus InputGradient(const RocitLoraLinearGradArgs& args, const Adapters& adapters, const BackwardSpace& space,
                              const RocitCuda& cuda) {
  const int64_t in = args.in_features;
  int64_t num_products = 0;
  for (int64_t p = 0; p < adapters.count; ++p) num_products += args.dy[p] != nullptr ? 1 : 0;
  if (num_products == 0) return Zero(args.dx, args.num_rows * in * SizeOf(args.dtype), cuda);
  LowRank share;
  const bool has_share = AdapterShare(args, adapters, space.dz, &share);
  share.accumulates = num_products > 1;
  bool is_begun = has_share && !share.accumulates;
  RocitCudaStatus status = is_begun ? LaunchLowRank(share, cuda.stream) : 0;
  for (int64_t p = 0; p < adapters.count && status == 0; ++p) {
    if (args.dy[p] == nullptr) continue;
    const int64_t out = adapters.all[p].out_features;
    status = CudaGemm({args.dtype, args.dtype, args.num_rows, in, out, args.dy[p], adapters.all[p].weight, args.dx, out, in,
                       in, 0, 0, is_begun ? 1.0f : 0.0f},
                      cuda, space.gemm);
    is_begun = true;
  }
  if (status != 0 || !has_share || !share.accumulates) return status;
  return LaunchLowRank(share, cuda.stream);
}

}  // namespace
}  // namespace rocit

int64_t rocit_lora_linear_cuda_workspace(const RocitLoraLinearArgs* args) {
  const rocit::Adapters adapters(args->projections, args->num_projections);
  return rocit::ForwardSpace(*args, adapters, nullptr).bytes;
}

RocitCudaStatus rocit_lora_linear_cuda(const RocitLoraLinearArgs* args, const RocitCuda* cuda) {
  const rocit::Adapters adapters(args->projections, args->num_projections);
  const rocit::ForwardSpace space(*args, adapters, cuda->workspace);
  rocit::ThinProducts products(space.pieces, cuda->stream, false);
  rocit::AddZ(*args, adapters, &products);
  RocitCudaStatus status = products.status();
  for (int64_t p = 0; p < adapters.count && status == 0; ++p) status = rocit::Project(*args, adapters, p, *cuda, space.gemm);
  return status;
}

int64_t rocit_lora_linear_grad_cuda_workspace(const RocitLoraLinearGradArgs* args) {
  const rocit::Adapters adapters(args->projections, args->num_projections);
  return rocit::BackwardSpace(*args, adapters, nullptr).bytes;
}

RocitCudaStatus rocit_lora_linear_grad_cuda(const RocitLoraLinearGradArgs* args, const RocitCuda* cuda) {
  const rocit::Adapters adapters(args->projections, args->num_projections);
  const rocit::BackwardSpace space(*args, adapters, cuda->workspace);
  rocit::ThinProducts products(space.pieces, cuda->stream, false);
  rocit::AddDz(*args, adapters, space.dz, &products);
  rocit::AddAdapterGradients(*args, adapters, space.dz, &products);
  RocitCudaStatus status = products.status();
  for (int64_t p = 0; p < adapters.count && status == 0; ++p) {
    const RocitLoraProjection& own = adapters.all[p];
    if (own.rank == 0 || args->dy[p] != nullptr) continue;
    const int64_t in = args->in_features, out = own.out_features;
    status = rocit::CopyOrZero(rocit::BeforeOf(args->da_before, p), args->da[p], own.rank * in, *cuda);
    if (status != 0) break;
    status = rocit::CopyOrZero(rocit::BeforeOf(args->db_before, p), args->db[p], own.rank * out, *cuda);
  }
  if (status != 0 || args->dx == nullptr) return status;
  return rocit::InputGradient(*args, adapters, space, *cuda);
}
