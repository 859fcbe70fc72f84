// adamw on the device: against the float64 twin, more tensors than one launch takes, memory that is not aligned, the same
// bits in every order, bad gradients.
#include "cases/adamw.h"
#include "device_memory.h"

namespace {

using namespace adamw;

struct DeviceList {
  std::vector<device::Tensor> tensors;
  std::vector<float*> pointers;

  void Add(device::Tensor tensor) {
    tensors.push_back(std::move(tensor));
    pointers.push_back(tensors.back().floats());
  }
  List Read() {
    List list;
    for (device::Tensor& tensor : tensors) list.push_back(tensor.Read());
    return list;
  }
};

DeviceList ToDevice(const List& list, int64_t shift) {
  DeviceList all;
  for (const Values& values : list) all.Add(device::Tensor(values, shift));
  return all;
}

DeviceList NewOnDevice(const std::vector<int64_t>& sizes, int64_t shift) {
  DeviceList all;
  for (const int64_t size : sizes) all.Add(device::Tensor(ROCIT_FLOAT32, size, shift));
  return all;
}

Step RunOnDevice(const State& before, const List& grads, const AdamwSettings& s, int64_t shift, const std::string& name) {
  const std::vector<int64_t> sizes = SizesOf(before.params);
  DeviceList p = ToDevice(before.params, shift), g = ToDevice(grads, shift), m = ToDevice(before.m, shift);
  DeviceList v = ToDevice(before.v, shift), new_p = NewOnDevice(sizes, shift), new_m = NewOnDevice(sizes, shift);
  DeviceList new_v = NewOnDevice(sizes, shift);
  RocitAdamwArgs args = ArgsOf(s, sizes);
  args.params = p.pointers.data(), args.grads = g.pointers.data(), args.m = m.pointers.data(), args.v = v.pointers.data();
  args.new_params = new_p.pointers.data(), args.new_m = new_m.pointers.data(), args.new_v = new_v.pointers.data();
  device::Memory workspace(static_cast<size_t>(rocit_adamw_cuda_workspace(&args)));
  device::Array<float> stats(2);
  const RocitCuda cuda = device::Cuda(workspace.data());
  device::IsDone(rocit_adamw_cuda(&args, stats.data(), &cuda), name);
  const std::vector<float> found = stats.Read();
  return {{new_p.Read(), new_m.Read(), new_v.Read()}, {found[0], static_cast<int64_t>(found[1])}};
}

// One rounding of a float: stats are floats.
constexpr double kNormBound = 1e-7;

void TestCase(const Case& c) {
  for (const int64_t shift : {0, 1}) {
    const std::string title = c.name + (shift > 0 ? " not aligned" : "");
    const Step first = RunOnDevice(c.Before(), c.Grads(), c.settings, shift, title);
    CompareWithTwin(c, first, kNormBound, title);
    device::InEachOrder([&](const std::string& order) {
      const Step again = RunOnDevice(c.Before(), c.Grads(), c.settings, shift, title);
      check::That(again.state == first.state && again.result.grad_norm == first.result.grad_norm,
                  title + " has the same bits with " + order);
    });
  }
}

}  // namespace

int main() {
  for (const Case& c : Cases()) TestCase(c);
  // Several launches of the norm and more of the update, with empty tensors where one ends.
  std::vector<int64_t> many(410, 3);
  for (const int i : {0, 57, 58, 199, 200, 409}) many[i] = 0;
  many[301] = 8193;
  TestCase({"adamw of many tensors", kFull, many});
  TestCase({"adamw of many empty tensors", kFull, std::vector<int64_t>(500, 0)});
  const Run run = [](const State& before, const List& grads, const AdamwSettings& s) {
    return RunOnDevice(before, grads, s, 0, "adamw");
  };
  TestBadGradients(run, "adamw");
  TestTenSteps(kPlain, run, "adamw");
  TestTenSteps(kFull, run, "adamw");
  return check::Finish("adamw_cuda");
}
