#!/usr/bin/env bash
# Everything that needs a GPU, in one command: build for this GPU, test, sanitize, measure.
#
#     benchmarks/gpu.sh OUTPUT
#
# Needs a CUDA toolkit (or CFW_CUDA=PYPI in the environment) and a Python with a torch for CUDA (PYTHON=..., default python3);
# what else is missing comes from pip (PIP_FIND_LINKS=FOLDER PIP_NO_INDEX=1 where there is no network). All logs and results go
# to the folder OUTPUT. A stage that fails is reported and does not stop the later ones; the exit status is 1 then.
set -uo pipefail
[ $# = 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1" || exit 2
out=$(cd "$1" && pwd)
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 2
PYTHON=${PYTHON:-python3}
# An installation of its own, so that neither the checkout nor the user's environment changes; torch comes from the latter.
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
failed=()

# stage NAME SECONDS COMMAND...: its output goes to OUTPUT/NAME.log, and its end to the screen too.
stage() {
  local name=$1 limit=$2 started=$SECONDS status
  shift 2
  echo "== $name" | tee -a "$out/summary.txt"
  timeout "$limit" bash -c '"$@"' "$name" "$@" >"$out/$name.log" 2>&1
  status=$?
  tail -n 5 "$out/$name.log" | sed 's/^/   /'
  if [ $status = 0 ]; then
    echo "   passed in $((SECONDS - started)) s" | tee -a "$out/summary.txt"
  else
    echo "   FAILED with status $status after $((SECONDS - started)) s, see $name.log" | tee -a "$out/summary.txt"
    failed+=("$name")
  fi
  return $status
}

machine() {
  nvidia-smi || return
  "$PYTHON" -c "
import torch
print('torch', torch.__version__, 'for CUDA', torch.version.cuda)
assert torch.cuda.is_available(), 'torch sees no CUDA device'
print(torch.cuda.get_device_name(), torch.cuda.get_device_capability())
assert bool((torch.ones(3, device='cuda') + 1 == 2).all())"
}

# For this GPU only unless CUDAARCHS says otherwise; with pip's isolation where there is a network, otherwise without.
build() {
  local own
  own=${CUDAARCHS:-$("$PYTHON" -c "import torch; print(*torch.cuda.get_device_capability(), sep='')")} || return
  export CUDAARCHS=$own CFW_CUDA=${CFW_CUDA:-ON}
  echo "CUDAARCHS=$CUDAARCHS CFW_CUDA=$CFW_CUDA"
  local install=("$PYTHON" -m pip install --no-deps --target "$site" --config-settings "build-dir=$site/build")
  if "$PYTHON" -c "import scikit_build_core, pybind11"; then
    "${install[@]}" --no-build-isolation -v .
  else
    "${install[@]}" -v .
  fi
}

have() { "$PYTHON" -c "import $1" 2>/dev/null; }

# What tests and benchmarks import, each by itself: pip would otherwise put newer copies of what is here in front of it.
extras() {
  local need missing=()
  for need in pytest iniconfig pluggy pygments packaging hypothesis sortedcontainers pybind11 pymatting numba llvmlite scipy \
    skimage=scikit-image imageio lazy_loader=lazy-loader tifffile networkx PIL=pillow; do
    have "${need%=*}" || missing+=("${need#*=}")
  done
  [ ${#missing[@]} = 0 ] || "$PYTHON" -m pip install --no-deps --target "$site" "${missing[@]}"
}

info() { cd "$site" && "$PYTHON" -c "
import sys, closedform_wsss
from closedform_wsss.cli import main
main(['info'])
sys.exit(closedform_wsss.build_info()['cuda_kernels'] != 'used')"; }

# From another folder, so that the tests see the installed package and not the checkout's.
tests() { cd "$site" && "$PYTHON" -m pytest -p no:cacheprovider -c "$root/pyproject.toml" --rootdir "$root" "$root/tests" -q; }

sanitize() {
  cd "$site" || return
  "$sanitizer" --tool "$1" --error-exitcode 9 --print-limit 20 "${@:2}" "$PYTHON" "$root/tests/cuda_runner/every_kernel.py" \
    --device cuda
}

# timeout starts a shell of its own, which sees what is exported only.
export PYTHON out root site
export -f have machine build extras info tests sanitize
rm -f "$out/summary.txt"
stage machine 120 machine
stage build 1200 build
export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
stage extras 600 extras
stage info 120 info
# The figures come before the sanitizers: time on such a machine may run out.
stage kernels 600 "$PYTHON" "$root/tests/cuda_runner/every_kernel.py" --device cuda
stage bench 1200 "$PYTHON" "$root/benchmarks" gpu --output "$out"
stage tests 3600 tests
sanitizer=$(PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin:/usr/local/cuda/bin command -v compute-sanitizer)
if [ -n "$sanitizer" ]; then
  export sanitizer
  export PYTORCH_NO_CUDA_MEMORY_CACHING=1 # every tensor is an allocation of its own, whose ends are seen
  stage memcheck 1200 sanitize memcheck
  stage racecheck 1200 sanitize racecheck
  stage synccheck 1200 sanitize synccheck
  stage initcheck 1200 sanitize initcheck
else
  echo "== compute-sanitizer is not installed" | tee -a "$out/summary.txt"
fi

if [ ${#failed[@]} = 0 ]; then
  echo "all stages passed; results in $out" | tee -a "$out/summary.txt"
else
  echo "FAILED: ${failed[*]}; logs in $out" | tee -a "$out/summary.txt"
  exit 1
fi
