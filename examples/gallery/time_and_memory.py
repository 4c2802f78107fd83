"""
Time and memory against resolution
==================================

The losses and filters read an image a few times, so time and memory should be proportional to the number of pixels.
The measurements are from the machine below, at the time when this page was built. Run the program on your own machine.
:doc:`/performance` explains the results, and :doc:`/benchmarks` compares with baselines.
"""

# %%
# Each case runs in a separate process. The process reports its peak memory minus the memory before the call, as Linux
# counts it, and the median time of three calls after the first.

import json
import platform
import subprocess
import sys

import matplotlib.pyplot as plt
import torch

CHILD = """
import json, statistics, sys, time
import torch
from skimage import data
from torch.nn.functional import interpolate
from closedform_wsss.functional import closed_form_loss, matting_filter, soft_slic, solve_matting
from closedform_wsss.io import from_array

case, height, width = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(1)
photograph = from_array(data.coffee())[None] / 255
image = interpolate(photograph, (height, width), mode="bilinear", antialias=True).clamp(0, 1)
marks = torch.full((1, height, width), 255)
for label, (y, left, right) in enumerate([(0.02, 0.02, 0.98), (0.27, 0.35, 0.6), (0.68, 0.38, 0.55)]):
    marks[0, int(y * height), int(left * width) : int(right * width)] = label  # the wall, the coffee, the cup
scores = interpolate(3 * torch.randn(1, 4, height // 16, width // 16), (height, width), mode="bilinear")

def loss():
    logits = scores.detach().requires_grad_()
    closed_form_loss(logits, marks, image).backward()

def cross_entropy():
    logits = scores.detach().requires_grad_()
    torch.nn.functional.cross_entropy(logits, marks, ignore_index=255).backward()

calls = {
    "cross_entropy": cross_entropy,
    "closed_form_loss": loss,
    "matting_filter": lambda: matting_filter(scores.softmax(1), image, tol=1e-2),
    "soft_slic": lambda: soft_slic(image),
    "solve_matting": lambda: solve_matting(marks, image, eps=1e-5, tol=1e-2),
}

def peak():  # MiB; getrusage would count the parent, too
    status = dict(line.split(":") for line in open("/proc/self/status"))
    return int(status["VmHWM"].split()[0]) / 1024

before = peak()
calls[case]()
seconds = []
while len(seconds) < 3:
    start = time.perf_counter()
    calls[case]()
    seconds.append(time.perf_counter() - start)
print(json.dumps([statistics.median(seconds), peak() - before]))
"""


def measure(case: str, height: int, width: int) -> tuple[float, float]:
    """Seconds a call, and MiB."""
    command = [sys.executable, "-c", CHILD, case, str(height), str(width)]
    return tuple(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


print(f"{platform.machine()}, 1 thread, Python {platform.python_version()}, torch {torch.__version__}")

# %%
# A batch of one photograph, four classes
# ---------------------------------------

SIZES = [(120, 180), (240, 360), (480, 720)]
CASES = ["cross_entropy", "closed_form_loss", "matting_filter", "soft_slic", "solve_matting"]
results = {case: [measure(case, *size) for size in SIZES] for case in CASES}

megapixels = [height * width / 1e6 for height, width in SIZES]
figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for case, measured in results.items():
    seconds, mebibytes = zip(*measured, strict=True)
    axes[0].loglog(megapixels, seconds, "o-", label=case)
    axes[1].loglog(megapixels, mebibytes, "o-", label=case)
axes[0].set(xlabel="megapixels", ylabel="seconds a call")
axes[1].set(xlabel="megapixels", ylabel="MiB at the worst moment")
axes[0].legend()
for ax in axes:
    ax.set_xticks(megapixels, [f"{value:.2f}" for value in megapixels])
    ax.minorticks_off()
    ax.grid(alpha=0.3)

# %%
print(f"{'':<18}" + "".join(f"{height} x {width:<13}" for height, width in SIZES))
for case, measured in results.items():
    print(f"{case:<18}" + "".join(f"{seconds * 1e3:6.1f} ms {mebibytes:5.0f} MiB " for seconds, mebibytes in measured))
