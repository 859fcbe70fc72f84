#!/usr/bin/env bash
# Checks and times the CUDA kernels on a machine with a GPU, nvcc and g++ and nothing of ours installed: builds the core
# for that GPU, runs every test against the float64 twins, then the benches, and prints one table.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/gpu_check.sh [options]

Builds kernels/ with nvcc and g++ for the first GPU, runs all CUDA tests against the float64 twins, then the benches
against cuBLASLt, a device copy and, where `python3 -c "import torch"` works, PyTorch's fused kernels, then one LoRA step
of LLaMA-7B's shape. Results on stdout, progress on stderr.

  --only WORD    only the tests and benches whose name holds WORD; may be repeated
  --quick        fewer shapes, fewer repeats, a LLaMA of four layers
  --tests-only   no benches
  --out FILE     the tables as markdown
  --json FILE    the same as JSON
  --jobs N       compile N files at a time (default: one a core)
  --build-only   compile and stop; with --arch no GPU is needed
  --arch sm_NN   compile for this architecture instead of that of the GPU
  --emulate      no GPU and no nvcc: the same sources, compiled by g++ and run by the emulator, at tiny sizes
  --help         this text

Environment: NVCC, CXX: the compilers (default nvcc, g++). CUDA_VISIBLE_DEVICES picks the GPU.
Exit code: 0 all values are right; 1 a value is wrong or a program failed; 2 the machine or the call is not fit for it.
TEXT
}

say() { printf '%s\n' "$*" >&2; }
stop() {
  say "gpu_check: $*"
  exit 2
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
kernels=$root/kernels
only=() is_quick=0 tests_only=0 build_only=0 emulate=0
markdown='' json='' arch=''
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 4)

while (($# > 0)); do
  option=$1
  shift
  case $option in
    --help | -h) usage && exit 0 ;;
    --quick) is_quick=1 ;;
    --tests-only) tests_only=1 ;;
    --build-only) build_only=1 ;;
    --emulate) emulate=1 ;;
    --only | --out | --json | --jobs | --arch)
      (($# > 0)) || stop "$option: expected a value, got none; see --help."
      case $option in
        --only) only+=("$1") ;;
        --out) markdown=$1 ;;
        --json) json=$1 ;;
        --jobs) jobs=$1 ;;
        --arch) arch=$1 ;;
      esac
      shift
      ;;
    *) stop "expected an option of --help, got $option." ;;
  esac
done
[[ $jobs =~ ^[1-9][0-9]*$ ]] || stop "--jobs: expected a number, got $jobs."

CXX=${CXX:-g++}
command -v "$CXX" >/dev/null || stop "expected a C++17 compiler, got no $CXX; install g++ or set CXX."

# --- the machine ---

device='' driver='' runtime='' nvcc='' nvcc_version='' library_flags=()

find_nvcc() {
  local candidate
  for candidate in "${NVCC:-}" nvcc "${CUDA_HOME:-/nowhere}/bin/nvcc" /usr/local/cuda/bin/nvcc; do
    [[ -n $candidate ]] || continue
    if nvcc=$(command -v "$candidate"); then return; fi
    [[ $candidate != "${NVCC:-}" ]] || stop "NVCC: expected a compiler, got $NVCC."
  done
  stop 'expected nvcc of CUDA 12.4 or newer, got none in PATH, CUDA_HOME or /usr/local/cuda; install the CUDA toolkit or set NVCC.'
}

check_nvcc() {
  nvcc_version=$("$nvcc" --version 2>&1 | sed -n 's/.*release \([0-9][0-9]*\.[0-9][0-9]*\).*/\1/p' | head -n 1) || true
  [[ -n $nvcc_version ]] || stop "$nvcc: expected nvcc, got a program that names no release."
  local major=${nvcc_version%%.*} minor=${nvcc_version#*.}
  ((major > 12 || (major == 12 && minor >= 4))) || stop "expected nvcc 12.4 or newer, got $nvcc_version ($nvcc); install a newer CUDA toolkit or set NVCC."
}

# Where toolkits keep the libraries, in case nvcc does not look there.
find_libraries() {
  local toolkit place
  toolkit=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
  for place in "$toolkit/lib64" "$toolkit/lib" "$toolkit/targets/x86_64-linux/lib" "$toolkit/targets/sbsa-linux/lib"; do
    [[ ! -d $place ]] || library_flags+=("-L$place" -Xlinker "-rpath=$place")
  done
}

# 12040 → 12.4
version_of() { printf '%d.%d' $(($1 / 1000)) $(($1 % 1000 / 10)); }

# Fills device, driver, runtime and arch from a program that only asks.
probe() {
  local log=$folder/probe.log fields
  "$nvcc" -ccbin "$CXX" -o "$folder/probe" "$kernels/bench/cuda_probe.cc" "${library_flags[@]}" >"$log" 2>&1 ||
    stop "expected nvcc $nvcc_version to compile a program of CUDA's runtime, got: $(head -n 1 "$log")"
  IFS=$'\t' read -r -a fields < <("$folder/probe" 2>&1 | head -n 1) || true
  if [[ ${fields[0]:-} == device ]]; then
    device=${fields[1]} driver=$(version_of "${fields[3]}") runtime=$(version_of "${fields[4]}")
    [[ -n $arch ]] || arch=sm_${fields[2]}
    ((fields[2] >= 80)) || stop "expected a GPU of compute capability 8.0 or newer, got $device with ${fields[2]%?}.${fields[2]: -1}."
    if command -v nvidia-smi >/dev/null; then
      driver="$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1 || true) (CUDA $driver)"
    else
      driver="CUDA $driver"
    fi
    return
  fi
  [[ ${fields[0]:-} == error ]] || stop "expected an answer about the GPU, got: ${fields[*]:-nothing}"
  if ((fields[2] == 0 || fields[1] == 100)); then
    stop "expected an NVIDIA GPU with its driver, got none (${fields[4]}); --emulate runs the tests without one."
  elif ((fields[1] == 35 || fields[2] < fields[3] / 1000 * 1000)); then
    stop "expected a driver for CUDA $(version_of "${fields[3]}"), got one for CUDA $(version_of "${fields[2]}"); update the driver or use an older toolkit (12.4 or newer)."
  fi
  stop "expected a GPU that works, got error ${fields[1]}: ${fields[4]}."
}

check_arch() {
  [[ $arch =~ ^sm_[0-9]+a?$ ]] || stop "--arch: expected sm_NN, got $arch."
  [[ $arch == sm_90 ]] && arch=sm_90a
  "$nvcc" --list-gpu-code 2>/dev/null | grep -qx "${arch%a}" || stop "expected an nvcc that compiles for ${arch%a}, got $nvcc_version; install a newer CUDA toolkit."
}

base=$root/build/gpu_check
if ((emulate)); then
  folder=$base/emulated
  mkdir -p "$folder"
  device='emulator (times mean nothing)' driver=none runtime="none, $("$CXX" --version | head -n 1)"
else
  find_nvcc
  check_nvcc
  find_libraries
  folder=$base/nvcc_$nvcc_version
  mkdir -p "$folder"
  if ((build_only)) && [[ -n $arch ]]; then say "not probed: compiling for $arch"; else probe; fi
  check_arch
  folder=${folder}_$arch
  mkdir -p "$folder"
fi

# --- the build ---

cpu_flags=(-std=gnu++17 -Wno-psabi -ffp-contract=off -fno-math-errno "-I$kernels/include")
host_flags=("-I$kernels/include" "-I$kernels/tests" "-I$kernels/cuda")
link_flags=()
if ((emulate)); then
  cpu_flags+=(-O1)
  host_flags+=(-std=gnu++17 -O1 -Wno-psabi -DROCIT_CUDA_EMULATION=1)
  link_flags+=(-pthread)
else
  cpu_flags+=(-O3)
  host_flags+=(-ccbin "$CXX" -std=c++17 -O3 "-arch=$arch" -Xcompiler -Wno-psabi)
  link_flags+=("${library_flags[@]}" -lcublasLt -lpthread -ldl)
fi

library=$folder/librocit.a

# True when `object` is newer than its source and every header.
is_fresh() {
  local object=$1 source=$2
  [[ -e $object && ! $source -nt $object && ! ${BASH_SOURCE[0]} -nt $object ]] &&
    [[ -z $(find "$kernels" -name '*.h' -newer "$object" -print -quit) ]]
}

# compile OUTPUT SOURCE COMMAND…: runs the command with -o OUTPUT beside others, unless OUTPUT is fresh.
compile() {
  local output=$1 source=$2
  shift 2
  is_fresh "$output" "$source" && return
  while (($(jobs -rp | wc -l) >= jobs)); do wait -n || true; done
  {
    if "$@" -o "$output.part" >"$output.log" 2>&1; then mv "$output.part" "$output"; else touch "$output.failed"; fi
  } &
}

# Waits for all compilers; shows what the first one that failed said.
finish_compiling() {
  wait
  local failed
  failed=$(find "$folder" -name '*.failed' | sort | head -n 1)
  [[ -n $failed ]] || return 0
  cat "${failed%.failed}.log" >&2
  say "gpu_check: expected ${failed%.failed} to compile, got the errors above."
  exit 1
}

is_wanted() {
  ((${#only[@]} == 0)) && return
  local word
  for word in "${only[@]}"; do [[ $1 != *"$word"* ]] || return 0; done
  return 1
}

# compile_device OUTPUT SOURCE [argument …]: CUDA and what calls its runtime.
compile_device() {
  local output=$1 source=$2 language=()
  shift 2
  if ((!emulate)); then
    compile "$output" "$source" "$nvcc" "${host_flags[@]}" "$source" "$@"
  else
    [[ $source != *.cu ]] || language=(-x c++)
    compile "$output" "$source" "$CXX" "${host_flags[@]}" "${language[@]}" "$source" -x none "$@"
  fi
}

build_core() {
  local source object objects=() sources=("$kernels"/cuda/*.cu)
  rm -f "$folder"/*.failed
  for source in "$kernels"/cpu/*.cc; do
    object=$folder/cpu_$(basename "$source" .cc).o
    objects+=("$object")
    compile "$object" "$source" "$CXX" "${cpu_flags[@]}" -c "$source"
  done
  if ((emulate)); then sources+=("$kernels"/cuda/emulation/*.cc "$kernels/tests/device_memory_emulated.cc")
  else sources+=("$kernels/tests/device_memory_cuda.cc"); fi
  for source in "${sources[@]}"; do
    object=$folder/$(basename "$(dirname "$source")")_$(basename "${source%.*}").o
    objects+=("$object")
    compile_device "$object" "$source" -c
  done
  finish_compiling
  for object in "${objects[@]}"; do
    [[ ! $object -nt $library ]] || rm -f "$library"
  done
  [[ -e $library ]] || ar rcs "$library" "${objects[@]}"
}

tests=() benches=() sources=()
choose_programs() {
  local source name
  for source in "$kernels"/tests/*_cuda_test.c[cu] "$kernels"/bench/*_cuda_bench.cc; do
    name=$(basename "${source%.*}")
    is_wanted "$name" || continue
    if [[ $name == *_test ]]; then tests+=("$name"); elif ((tests_only)); then continue; else benches+=("$name"); fi
    sources+=("$source")
  done
  ((${#sources[@]} > 0)) || stop "--only: expected part of the name of a test or bench, got ${only[*]}."
}

build_programs() {
  local source name
  for source in "${sources[@]}"; do
    name=$(basename "${source%.*}")
    [[ ! -e $folder/$name || ! $library -nt $folder/$name ]] || rm -f "$folder/$name"
    compile_device "$folder/$name" "$source" "$library" "${link_flags[@]}"
  done
  finish_compiling
}

choose_programs
say "compiling in $folder …"
build_core
build_programs
if ((build_only)); then
  say "built ${#tests[@]} tests and ${#benches[@]} benches in $folder"
  exit 0
fi

# --- tests and benches ---

wrong=() passed=0 failed=0 skipped=0
rows=$folder/rows.tsv

# run NAME [argument …]: its output goes to $folder/NAME.out; false when it fails or takes more than half an hour.
run() {
  local name=$1 status=0
  shift
  say "$name …"
  timeout 1800 "$folder/$name" "$@" >"$folder/$name.out" 2>"$folder/$name.err" || status=$?
  ((status == 0)) && cat "$folder/$name.err" >&2 && return
  grep -h '^FAILED' "$folder/$name.out" | head -n 20 >&2 || true
  tail -n 5 "$folder/$name.err" >&2
  say "$name: expected right values and exit code 0, got $status."
  wrong+=("$name")
  return 1
}

for name in "${tests[@]}"; do
  run "$name" || true
  counts=$(sed -n 's/^[^ ]*: \([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$folder/$name.out" | tail -n 1)
  read -r a b c <<<"${counts:-0 1 0}"
  passed=$((passed + a)) failed=$((failed + b)) skipped=$((skipped + c))
done

: >"$rows"
for name in "${benches[@]}"; do
  arguments=()
  ((is_quick)) && arguments+=(--quick)
  run "$name" "${arguments[@]}" || true
  grep -hE '^(bench|step|share)	' "$folder/$name.out" >>"$rows" || true
done

torch='no PyTorch'
: >"$folder/torch.jsonl"
if ((!emulate)) && grep -q '^bench' "$rows"; then
  if torch=$(python3 -c 'import torch; assert torch.cuda.is_available(); print("PyTorch", torch.__version__)' 2>/dev/null); then
    say "$torch …"
    python3 "$kernels/bench/torch_baselines.py" "$rows" >"$folder/torch.jsonl" || say 'torch_baselines.py: some baselines are missing, see above.'
  else
    torch='no PyTorch with CUDA'
  fi
fi

# --- the tables ---

# Rows of the benches with PyTorch's time joined by op, dtype and shape: op … ratio, torch kernel, torch ms, torch ratio.
joined=$folder/joined.tsv
awk -F '\t' -v OFS='\t' -v lines="$folder/torch.jsonl" '
  BEGIN {
    while ((getline line < lines) > 0) {
      split(line, part, "\"")  # {"op": "…", "dtype": "…", "shape": "…", "baseline": "…", "ms": 1.5}
      key = part[4] OFS part[8] OFS part[12]
      kernel[key] = part[16]
      match(line, /"ms": [0-9.e+-]+/)
      ms[key] = substr(line, RSTART + 6, RLENGTH - 6)
    }
  }
  $1 == "bench" {
    key = $2 OFS $3 OFS $4
    has = key in ms
    $1 = $1
    print $2, $3, $4, $5, $6, $7, $8, $9, $10, has ? kernel[key] : "-", has ? sprintf("%.3f", ms[key]) : "-", has ? sprintf("%.2f", ms[key] / $5) : "-"
  }' "$rows" >"$joined"

bench_head=$'op\tdtype\tshape\tms\trate\tunit\tbaseline\tms\tratio\tPyTorch\tms\tratio'
step_head=$'LoRA step\tms\ttokens/s\tTFLOP/s\tpeak GB\ttaken from the device GB\tloss\tgrad norm'
share_head=$'op\tcalls\tms\tshare %\tof'

# table HEAD: stdin's columns aligned, numbers to the right.
table() {
  { printf '%s\n' "$1" && cat; } | awk -F '\t' '
    { for (i = 1; i <= NF; i++) { cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i) } columns = NF }
    END {
      for (r = 1; r <= NR; r++) {
        text = ""
        for (i = 1; i <= columns; i++) {
          is_number = cell[r, i] ~ /^-?[0-9.]+$/
          text = text (i > 1 ? "  " : "") sprintf(is_number ? "%" width[i] "s" : "%-" width[i] "s", cell[r, i])
        }
        sub(/ +$/, "", text)
        print text
      }
    }'
}
markdown_table() {
  { printf '%s\n' "$1" && cat; } | awk -F '\t' '
    { text = "|"; for (i = 1; i <= NF; i++) text = text " " $i " |"; print text }
    NR == 1 { text = "|"; for (i = 1; i <= NF; i++) text = text "---|"; print text }'
}

# print_all table|markdown_table
print_all() {
  local as=$1
  printf '%s, driver %s, CUDA %s%s, %s, %s\n\n' "$device" "$driver" "$runtime" "${nvcc_version:+, nvcc $nvcc_version}" "$torch" "${arch:-no architecture}"
  printf 'tests: %d passed, %d failed, %d skipped (programs: %d)\n' "$passed" "$failed" "$skipped" "${#tests[@]}"
  [[ ! -s $joined ]] || { printf '\n' && "$as" "$bench_head" <"$joined"; }
  if grep -q '^step' "$rows"; then printf '\n' && grep '^step' "$rows" | cut -f 2- | "$as" "$step_head"; fi
  if grep -q '^share' "$rows"; then printf '\n' && grep '^share' "$rows" | cut -f 2- | "$as" "$share_head"; fi
}

write_json() {
  awk -F '\t' -v device="$device" -v driver="$driver" -v runtime="$runtime" -v nvcc="$nvcc_version" -v torch="$torch" \
    -v arch="$arch" -v passed="$passed" -v failed="$failed" -v skipped="$skipped" -v wrong="${wrong[*]-}" '
    function text(s) { gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); return "\"" s "\"" }
    function value(s) { return s ~ /^-?[0-9]+(\.[0-9]+)?$/ ? s : s == "-" ? "null" : text(s) }
    function object(names, first,   list, n, i, s) {
      n = split(names, list, " ")
      for (i = 1; i <= n; i++) s = s (i > 1 ? ", " : "") text(list[i]) ": " value($(first + i - 1))
      return "{" s "}"
    }
    FILENAME == ARGV[1] { benches = benches (benches ? ",\n    " : "") object("op dtype shape ms rate unit baseline baseline_ms ratio torch torch_ms torch_ratio", 1) }
    FILENAME == ARGV[2] && $1 == "step" { steps = steps (steps ? ",\n    " : "") object("step ms tokens_per_second tflops peak_gb device_gb loss grad_norm", 2) }
    FILENAME == ARGV[2] && $1 == "share" { shares = shares (shares ? ",\n    " : "") object("op calls ms share_percent step", 2) }
    END {
      printf "{\n  \"device\": %s, \"driver\": %s, \"cuda\": %s, \"nvcc\": %s, \"arch\": %s, \"torch\": %s,\n", text(device), text(driver), text(runtime), text(nvcc), text(arch), text(torch)
      printf "  \"tests\": {\"passed\": %d, \"failed\": %d, \"skipped\": %d}, \"wrong\": %s,\n", passed, failed, skipped, text(wrong)
      printf "  \"benches\": [\n    %s\n  ],\n  \"steps\": [\n    %s\n  ],\n  \"shares\": [\n    %s\n  ]\n}\n", benches, steps, shares
    }' "$joined" "$rows"
}

print_all table
[[ -z $markdown ]] || print_all markdown_table >"$markdown"
[[ -z $json ]] || write_json >"$json"
if ((${#wrong[@]} > 0 || failed > 0 || passed + ${#benches[@]} == 0)); then
  say "gpu_check: expected right values everywhere, got wrong ones from ${wrong[*]-}."
  exit 1
fi
