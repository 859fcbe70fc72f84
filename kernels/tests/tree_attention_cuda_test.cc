// tree_attention on the device: against the float64 twin, the same bits in every order, memory that is not aligned.
#include "cases/tree_attention.h"
#include "device_memory.h"

namespace {

using namespace tree_attention;

Outputs Run(const Case& c, const Inputs& in, int64_t shift, const std::string& name) {
  Tensors<device::OnDevice> t(c, in, shift);
  const RocitTreeAttentionArgs forward = t.Forward();
  const RocitTreeAttentionGradArgs backward = t.Backward(nullptr);
  device::Memory workspace(static_cast<size_t>(rocit_tree_attention_cuda_workspace(&forward.in)));
  device::Memory grad_workspace(static_cast<size_t>(rocit_tree_attention_grad_cuda_workspace(&forward.in)));
  const RocitCuda cuda = device::Cuda(workspace.data()), grad_cuda = device::Cuda(grad_workspace.data());
  device::IsDone(rocit_tree_attention_cuda(&forward, &cuda), name + " forward");
  device::IsDone(rocit_tree_attention_grad_cuda(&backward, &grad_cuda), name + " backward");
  return t.Read();
}

void TestCase(const Case& c, RocitDtype dtype, int64_t shift) {
  const Inputs in(c, dtype);
  const std::string name = c.Name(dtype) + (shift > 0 ? " not aligned" : "");
  const Outputs first = Run(c, in, shift, name);
  Twin(c, in).Compare(first, name);
  // Emulated, the larger ones take too long to run in each order.
  if (c.queries() * c.keys() * c.heads * c.size > 2000000) return;
  device::InEachOrder([&](const std::string& order) {
    check::That(Run(c, in, shift, name) == first, name + " has the same bits with " + order);
  });
}

// Bounds that the operation refuses on the host: whatever is in memory, nothing is read or written outside.
void TestBadBounds(RocitDtype dtype) {
  Case c = {"bad bounds", Sequences({150}), 4, 2, 16, 10};
  const Inputs in(c, dtype);
  check::Random random(11);
  for (int32_t& end : c.pack.subtree_end) end = static_cast<int32_t>(random.Bits());
  Run(c, in, 0, c.Name(dtype));
}

}  // namespace

int main() {
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const Case& c : Cases()) TestCase(c, dtype, 0);
    TestCase({"one sequence", Sequences({70}), 4, 2, 64}, dtype, 1);
    TestBadBounds(dtype);
  }
  return check::Finish("tree_attention_cuda");
}
