// The N-API addon. Loading it registers our operations with TensorFlow through static initialisers; what it exports only
// describes: kernels { cpu, gpu }, cpuFeatures(), simdPath(), residentBytes(), computeSeconds(). It computes nothing itself.
#include <node_api.h>
#include <unistd.h>

#include <cstdio>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "compute_time.h"
#include "machine.h"
#include "tensorflow/core/framework/kernel_def.pb.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/types.h"

namespace {

napi_value MakeStrings(napi_env env, const std::vector<std::string>& items) {
  napi_value array;
  napi_create_array_with_length(env, items.size(), &array);
  for (uint32_t i = 0; i < items.size(); ++i) {
    napi_value text;
    napi_create_string_utf8(env, items[i].c_str(), items[i].size(), &text);
    napi_set_element(env, array, i, text);
  }
  return array;
}

// Names of our operations that have a kernel for this type of device.
std::vector<std::string> OwnKernels(const std::string& device) {
  const auto kernels = tensorflow::GetFilteredRegisteredKernels([&](const tensorflow::KernelDef& kernel) {
    return kernel.op().rfind("Rocit", 0) == 0 && kernel.device_type() == device;
  });
  std::set<std::string> names;
  for (const auto& kernel : kernels.kernel()) names.insert(kernel.op());
  return {names.begin(), names.end()};
}

napi_value CpuFeatures(napi_env env, napi_callback_info) {
  std::istringstream words(rocit_cpu_features());
  std::vector<std::string> items;
  for (std::string word; words >> word;) items.push_back(word);
  return MakeStrings(env, items);
}

napi_value SimdPath(napi_env env, napi_callback_info) {
  napi_value text;
  napi_create_string_utf8(env, rocit_path_name(rocit_path()), NAPI_AUTO_LENGTH, &text);
  return text;
}

// Memory of the process that is in RAM, in bytes; 0 where the system does not say.
napi_value ResidentBytes(napi_env env, napi_callback_info) {
  long total = 0, resident = 0;
  if (FILE* file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%ld %ld", &total, &resident) != 2) resident = 0;
    std::fclose(file);
  }
  napi_value number;
  napi_create_double(env, static_cast<double>(resident) * sysconf(_SC_PAGESIZE), &number);
  return number;
}

// How long our kernels themselves have computed so far.
napi_value ComputeSeconds(napi_env env, napi_callback_info) {
  napi_value number;
  napi_create_double(env, static_cast<double>(rocit::compute_nanoseconds.load()) * 1e-9, &number);
  return number;
}

void Export(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
  napi_set_named_property(env, exports, name, function);
}

}  // namespace

NAPI_MODULE_INIT() {
  napi_value kernels;
  napi_create_object(env, &kernels);
  napi_set_named_property(env, kernels, "cpu", MakeStrings(env, OwnKernels(tensorflow::DEVICE_CPU)));
  napi_set_named_property(env, kernels, "gpu", MakeStrings(env, OwnKernels(tensorflow::DEVICE_GPU)));
  napi_set_named_property(env, exports, "kernels", kernels);
  Export(env, exports, "cpuFeatures", CpuFeatures);
  Export(env, exports, "simdPath", SimdPath);
  Export(env, exports, "residentBytes", ResidentBytes);
  Export(env, exports, "computeSeconds", ComputeSeconds);
  return exports;
}
