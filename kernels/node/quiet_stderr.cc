// Holds back what libraries write to stderr while they load: TensorFlow announces itself there before any log level
// counts. hold() starts, release() ends and returns the text, so that the caller can pass on what matters.
#include <node_api.h>
#include <stdio.h>
#include <unistd.h>

#include <string>

namespace {

int saved_stderr = -1;
FILE* held = nullptr;

napi_value Hold(napi_env, napi_callback_info) {
  if (held != nullptr) return nullptr;
  held = tmpfile();
  if (held == nullptr) return nullptr;
  fflush(stderr);
  saved_stderr = dup(STDERR_FILENO);
  dup2(fileno(held), STDERR_FILENO);
  return nullptr;
}

napi_value Release(napi_env env, napi_callback_info) {
  std::string text;
  if (held != nullptr) {
    fflush(stderr);
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    rewind(held);
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, held)) > 0;) text.append(chunk, n);
    fclose(held);
    held = nullptr;
  }
  napi_value result;
  napi_create_string_utf8(env, text.data(), text.size(), &result);
  return result;
}

void Export(napi_env env, napi_value exports, const char* name, napi_callback function) {
  napi_value value;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &value);
  napi_set_named_property(env, exports, name, value);
}

}  // namespace

NAPI_MODULE_INIT() {
  Export(env, exports, "hold", Hold);
  Export(env, exports, "release", Release);
  return exports;
}
