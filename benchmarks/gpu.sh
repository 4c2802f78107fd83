#!/usr/bin/env bash
# Everything that needs a GPU, in one command and a given time: build for this GPU, compare, measure, test, sanitize.
#
#     benchmarks/gpu.sh [--device cpu] OUTPUT [SECONDS]
#
# It ends within SECONDS (480). It needs a CUDA toolkit, nvidia-smi, g++, CMake, and a Python (PYTHON=..., default python3) with
# the package's requirements and a torch for CUDA. Nothing is downloaded. What is optional and missing is left out:
# pytest, hypothesis, compute-sanitizer. Three files go to OUTPUT: gpu.md, gpu.json and all.log.gz. The exit status is 1 if a
# stage failed or had no time. --device cpu runs the same stages without a GPU, at tiny sizes: a test of this script.
set -uo pipefail
usage() { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
export DEVICE=cuda
if [ "${1:-}" = --device ]; then
  DEVICE=${2:-}
  shift $(($# < 2 ? $# : 2))
fi
[[ $# -ge 1 && $# -le 2 && $DEVICE =~ ^(cpu|cuda)$ && ${2:-480} =~ ^[1-9][0-9]*$ ]] || usage
mkdir -p "$1" || exit 2
out=$(cd "$1" && pwd) budget=${2:-480}
reserve=5 # seconds to end a stage that takes too long, and to write the files

export root work site PYTHON
root=$(cd "$(dirname "$0")/.." && pwd)
PYTHON=$(command -v "${PYTHON:-python3}") || { echo "there is no ${PYTHON:-python3}" >&2; exit 2; }
# An installation of its own, so that neither the checkout nor the user's environment changes.
work=$(mktemp -d) site=$work/site
mkdir "$site" "$work/bench"
export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH} PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
export PATH=$(dirname "$PYTHON"):${CUDA_HOME:-/usr/local/cuda}/bin:$PATH
rm -f "$out"/gpu.md "$out"/gpu.json "$out"/all.log.gz
failed=()

# stage NAME SECONDS LINES COMMAND...: the last LINES of its output go to the screen, all of it to all.log.gz.
stage() {
  local name=$1 limit=$2 lines=$3 left=$((budget - reserve - SECONDS)) from=$SECONDS status text
  shift 3
  export STAGE_SECONDS=$((limit < left ? limit : left))
  echo "== $name"
  if [ "$STAGE_SECONDS" -lt 3 ]; then
    status=124 text="FAILED: no time is left"
  else
    (cd "$work" && timeout -k 2 "$STAGE_SECONDS" bash -c '"$@"' "$name" "$@") >"$work/log" 2>&1
    status=$?
    { echo "== $name"; cat "$work/log"; } | gzip >>"$out/all.log.gz" # members of one file: nothing is lost at an early end
    case $status in
      0) text=passed ;;
      124 | 137) text="FAILED: stopped after its $STAGE_SECONDS s" ;;
      *) text="FAILED with status $status" lines=$((lines < 30 ? 30 : lines)) ;;
    esac
    tail -n "$lines" "$work/log" | cut -c1-240 | sed 's/^/   /'
  fi
  report "$name" "$text" $((SECONDS - from))
  [ "$status" = 0 ] || failed+=("$name")
  return "$status"
}

left_out() {
  echo "== $1"
  report "$1" "left out: $2" 0
}

# report NAME TEXT SECONDS: on the screen and into the files, after every stage, as such a machine may be taken away.
report() {
  echo "   $2, $3 s; $SECONDS s of $budget"
  printf '%s\t%s\t%s\n' "$@" >>"$work/stages"
  {
    cat "$work"/bench/*.md
    [ ! -f "$work/probe.md" ] || printf '\n## Questions\n\n%s\n' "$(cat "$work/probe.md")"
    printf '\n## Stages\n\n'
    awk -F '\t' '{ printf "* %s: %s, %s s\n", $1, $2, $3 }' "$work/stages"
  } >"$out/gpu.md" 2>/dev/null
  "$PYTHON" -S -c '
import json, pathlib, sys
out, work = map(pathlib.Path, sys.argv[1:])
found = {}
for file in [*work.glob("bench/*.json"), *work.glob("probe.json")]:
    found.update(json.loads(file.read_text()))
lines = (line.split("\t") for line in (work / "stages").read_text().splitlines())
found["stages"] = [{"name": name, "result": result, "seconds": int(seconds)} for name, result, seconds in lines]
(out / "gpu.json").write_text(json.dumps(found, indent=1) + "\n")' "$out" "$work"
}

finish() {
  rm -rf "$work"
  if [ ${#failed[@]} = 0 ]; then
    echo "all stages passed in $SECONDS s; results in $out"
  else
    echo "FAILED: ${failed[*]}; $SECONDS s; results in $out"
    exit 1
  fi
}
trap finish EXIT

machine() {
  local name missing=()
  for name in g++ cmake ninja nvcc nvidia-smi compute-sanitizer cuobjdump; do
    echo "$name: $(command -v $name || echo none)"
  done
  for name in g++ cmake; do command -v $name >/dev/null || missing+=($name); done
  "$PYTHON" -c "import os, sysconfig; assert os.path.exists(os.path.join(sysconfig.get_path('include'), 'Python.h'))" ||
    missing+=(Python.h)
  if [ $DEVICE = cuda ]; then
    nvcc --version || missing+=(nvcc)
    nvidia-smi --query-gpu=name,compute_cap,driver_version,clocks.max.sm,clocks.sm,memory.total --format=csv || missing+=(nvidia-smi)
  fi
  "$PYTHON" -c "
import torch
print('torch', torch.__version__, 'for CUDA', torch.version.cuda)
assert bool((torch.ones(3, device='$DEVICE') + 1 == 2).all())" || missing+=("a torch that computes on $DEVICE")
  [ ${#missing[@]} = 0 ] || { echo "needed and missing: ${missing[*]}"; return 1; }
}

# For this GPU only, and for the CPU without AVX2 and AVX-512: these take most of the time. By CMake alone: pip would need more.
build() {
  local cuda=(-DCFW_CUDA=OFF -DCMAKE_CXX_FLAGS_RELEASE=-O0) generator=() # without a GPU it is a test: it need not be fast
  [ $DEVICE = cpu ] || cuda=(-DCFW_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=native)
  ! command -v ninja >/dev/null || generator=(-G Ninja)
  cmake -S "$root" -B "$work/build" "${generator[@]}" "${cuda[@]}" -DCFW_SIMD=OFF -DPython_EXECUTABLE="$PYTHON" || return
  cmake --build "$work/build" --parallel "$(nproc)" --target _C || return
  cp -r "$root/closedform_wsss" "$site" && rm -f "$site"/closedform_wsss/_C*.so && cp "$work"/build/_C*.so "$site/closedform_wsss" &&
    "$PYTHON" -c "
import os, sys, closedform_wsss
from closedform_wsss.cli import main
assert closedform_wsss.__file__.startswith(os.environ['site']), closedform_wsss.__file__
main(['info'])
sys.exit(os.environ['DEVICE'] == 'cuda' and closedform_wsss.build_info()['cuda_kernels'] != 'used')"
}

kernels() { "$PYTHON" "$root/tests/cuda_runner/every_kernel.py" --device $DEVICE "$@"; }

bench() {
  local quick=()
  [ $DEVICE = cuda ] || quick=(--quick)
  # It stops by itself in time for its table.
  "$PYTHON" "$root/benchmarks" gpu --device $DEVICE "${quick[@]}" --repeats 7 --seconds $((STAGE_SECONDS * 3 / 4)) \
    --output "$work/bench"
}

questions() {
  local quick=()
  [ $DEVICE = cuda ] || quick=(--quick)
  "$PYTHON" "$root/benchmarks" gpu.probe --device $DEVICE "${quick[@]}" --output "$work"
}

# The tests of the kernels that say something new here. On a CPU a few, but all of them are collected.
tests() {
  local which="cuda and not cuda_runner and not asan and not barriers" workers=()
  if [ $DEVICE = cpu ]; then
    which="cuda_runner and test_matting_product"
  elif "$PYTHON" -c "import xdist" 2>/dev/null; then
    workers=(-n $(($(nproc) < 8 ? $(nproc) : 8)))
  fi
  OMP_NUM_THREADS=1 "$PYTHON" -m pytest -p no:cacheprovider -c "$root/pyproject.toml" --rootdir "$root" "$root/tests" -q \
    "${workers[@]}" --maxfail 30 -k "$which"
}

# sanitize TOOL: the kernels with shared memory. Every tensor is an allocation of its own then, whose ends are seen. torch makes
# API calls that fail on purpose.
sanitize() {
  export PYTORCH_NO_CUDA_MEMORY_CACHING=1
  compute-sanitizer --tool "$1" "${@:2}" --error-exitcode 9 --print-limit 10 \
    "$PYTHON" "$root/tests/cuda_runner/every_kernel.py" --device $DEVICE --only asam_affinity matting_loss matting_product \
    matting_stencil superpixel_assign superpixel_dot superpixel_pool superpixel_unpool superpixel_update tile_product tile_relax
}

# timeout starts a shell of its own, which sees what is exported only.
export -f machine build kernels bench questions tests sanitize
stage machine 60 40 machine || exit
stage build 200 15 build || { gzip -dc "$out/all.log.gz" | tail -n 60; exit; }
stage kernels 60 20 kernels
stage bench 170 60 bench
stage questions 70 30 questions
missing=$("$PYTHON" -c "
import importlib.util
print(*(name for name in ('pytest', 'hypothesis') if importlib.util.find_spec(name) is None))")
if [ -z "$missing" ]; then
  stage tests 120 15 tests
else
  left_out tests "no $missing"
fi
if command -v compute-sanitizer >/dev/null; then
  stage memcheck 60 5 sanitize memcheck --report-api-errors no
  stage racecheck 60 5 sanitize racecheck
else
  left_out memcheck "no compute-sanitizer"
  left_out racecheck "no compute-sanitizer"
fi
