"""Every public function and module on every memory layout and under every default dtype: the same bits.

A new function has to be in the table, or to be named among those that take no tensors or arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from helpers.arguments import CELL, C, assignment_of, calls, on_assignment, soft_slic, solved
from helpers.layouts import LAYOUTS, expanded
from torch import Tensor

from closedform_wsss import functional, io, metrics, nn, training
from closedform_wsss.laplacian import KINDS

# More than a tile of the solver and a cell of every grid, less than the smallest window, and none at all in some sense.
SIZES = ((2, 37, 50), (1, 5, 6), (3, 1, 7), (1, 1, 1))
DEFAULTS = (torch.float64, torch.float16, torch.bfloat16)
CLASSES = (
    "ConvergenceWarning",
    "Solution",
    "SuggestedSettings",
    "SegmentationScores",
    "PseudoLabeler",
    "Recipe",
    "Report",
)
FILES = (
    *("read_image", "read_label_png", "read_marks", "read_scribbles", "read_scribblesup_xml", "guess_kind", "read_cam"),
    *("write_cam", "write_label_png", "from_points", "from_lines", "from_polygons", "from_array", "voc_palette"),
    *("read_annotations", "read_label_colors", "Annotations", "LabelColors"),
    *("read_volume", "read_label_volume", "write_volume", "Volume"),
    *("read_probabilities", "write_probabilities", "read_tags"),
    *("CAM_FORMATS", "IGNORE_INDEX", "KINDS", "PALETTES", "VOC_CLASSES", "OrientationWarning", "ValueRangeWarning"),
)


def modules(n: int, h: int, w: int) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """By its name each module, made anew for every call with the same weights, and its inputs."""
    image, maps, features = torch.rand(n, 3, h, w), torch.rand(n, C, h, w), torch.rand(n, 8, h, w)
    target = torch.tensor([255, 255, 0, 2])[torch.randint(4, (n, h, w))]
    q = soft_slic(image, cell_size=CELL)

    def made(module: Callable[..., torch.nn.Module], *arguments: Any, **options: Any) -> Callable[..., Any]:
        with torch.random.fork_rng(), default_dtype(torch.float32):
            torch.manual_seed(0)
            return module(*arguments, **options).eval()

    def labels_of_the_step(logits: Tensor, marks: Tensor, image: Tensor) -> Tensor:
        criterion = training.SelfTrainingLoss(C, 1, training.Recipe(num_images=1)).to_empty(device="cpu")
        return criterion(logits, marks, image)

    loss = {"logits": maps, "target": target, "image": image}
    return {
        "ASAM": (on_assignment(made(nn.ASAM, num_iters=3)), {"cam": maps, "assignment": q, "cell_size": CELL}),
        "ClosedFormLoss": (made(nn.ClosedFormLoss, class_weight=torch.ones(C)), loss),
        "DenseCRF": (made(nn.DenseCRF), {"probs": maps.softmax(1), "image": image}),
        "DenseCRFLoss": (made(nn.DenseCRFLoss), {"logits": maps, "image": image}),
        "MarkLoss": (made(nn.MarkLoss), loss),
        "MattingFilter": (made(nn.MattingFilter), {"x": maps, "image": image, "target": target}),
        "MultiLabelHead": (made(nn.MultiLabelHead, 8, C), {"features": features}),
        "RefineCAM": (made(nn.RefineCAM), {"cam": maps, "image": image}),
        "SelfTrainingLoss": (labels_of_the_step, {"logits": maps, "marks": target, "image": image}),
        "SLIC": (assignment_of(made(nn.SLIC, cell_size=CELL)), {"image": image}),
        "SoftSLIC": (assignment_of(made(nn.SoftSLIC, cell_size=CELL)), {"image": image}),
        "SpixelNet": (assignment_of(made(nn.SpixelNet, cell_size=CELL)), {"image": image}),
        "SuperpixelConsistencyLoss": (
            on_assignment(made(nn.SuperpixelConsistencyLoss)),
            {"logits": maps, "target": target, "assignment": q, "cell_size": CELL},
        ),
        "SuperpixelReconstructionLoss": (
            on_assignment(made(nn.SuperpixelReconstructionLoss)),
            {"assignment": q, "target": maps, "cell_size": CELL},
        ),
    }


def arrays(h: int, w: int) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """By its name each function of arrays and tensors in :mod:`closedform_wsss.io`."""
    image = np.random.default_rng(0).integers(60, 200, (h, w, 3)).astype(np.uint8)
    scribbled, layer = image.copy(), np.zeros((h, w, 4), np.uint8)
    scribbled[: h // 2 + 1], layer[: h // 2 + 1] = (255, 0, 0), (255, 0, 0, 255)
    trimap = np.array([0, 128, 255], np.uint8)[np.arange(h * w).reshape(h, w) % 3]
    return {
        "from_scribbles": (io.from_scribbles, {"image": image, "scribbled": scribbled, "colors": [(255, 0, 0)]}),
        "from_layer": (io.from_layer, {"layer": layer}),
        "from_layer-tensor": (io.from_layer, {"layer": io.from_array(layer)}),
        "from_trimap": (io.from_trimap, {"trimap": trimap}),
        "from_trimap-tensor": (io.from_trimap, {"trimap": torch.tensor(trimap)}),
        "remap_labels": (io.remap_labels, {"labels": trimap, "mapping": {128: 1}}),
        "remap_labels-tensor": (io.remap_labels, {"labels": torch.tensor(trimap), "mapping": {128: 1}}),
        "to_unit_range": (io.to_unit_range, {"x": torch.rand(2, h, w) * 900, "percentiles": (10, 90)}),
        "to_unit_range-array": (io.to_unit_range, {"x": image.astype(np.float32), "window": (80.0, 150.0)}),
    }


def table(n: int, h: int, w: int) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    torch.manual_seed(0)
    entries = calls(n, h, w) | modules(n, h, w) | arrays(h, w)
    regions = (torch.arange(h * w).view(1, h, w) // 10).repeat(n, 1, 1)
    tight = {"tol": 1e-3, "max_iter": 2000}  # as a user solves, so that iterations count
    target = torch.tensor([255, 255, 0, 2])[torch.randint(4, (n, h, w))]
    entries["suggest_settings"] = (settings, {"images": torch.rand(n, 1, h, w), "marks": target})
    for name, more in (
        ("solve_matting", tight),
        ("matting_filter", tight),
        ("matting_filter", {"num_iters": 5}),
        ("refine_prediction", {"scale": 0.5}),
        ("superpixel_pool", {"assignment": regions, "num_superpixels": h * w}),
        ("superpixel_unpool", {"s": torch.rand(n, C, h * w), "assignment": regions}),
        ("superpixel_consistency_loss", {"assignment": regions}),
        ("superpixel_reconstruction_loss", {"target": torch.rand(n, 2, h, w), "num_classes": None}),
        ("closed_form_loss", {"form": "residual", "activation": "sigmoid"}),
        ("dense_crf_loss", {"activation": "sigmoid"}),
        ("MattingLaplacian", {"kind": "learning_based"}),
        ("test_time_augmentation", {"refine": smooth, "scales": (0.5, 1.0), "flip": True}),
    ):
        entries[f"{name}-{'-'.join(more)}"] = (entries[name][0], entries[name][1] | more)
    if min(h, w) >= 5:
        for name in ("closed_form_loss", "matting_filter", "solve_matting", "MattingLaplacian"):
            entries[f"{name}-radius"] = (entries[name][0], entries[name][1] | {"radius": 2})
    return entries


def settings(images: Tensor, marks: Tensor) -> Tensor:
    found = functional.suggest_settings(images, marks)
    return torch.tensor([found.eps, found.fidelity, found.scale, found.noise], dtype=torch.float64, device="cpu")


def smooth(x: Tensor, image: Tensor) -> Tensor:
    return functional.matting_filter(x, image, fidelity=0.1)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


CASES = [(name, size) for size in SIZES for name in table(*size)]
each_case = pytest.mark.parametrize(
    ("name", "size"), CASES, ids=[f"{name}-{'x'.join(map(str, size))}" for name, size in CASES]
)


def changed(arguments: dict[str, Any], change: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """With all tensors and arrays changed."""

    def of(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return change(torch.from_numpy(value)).numpy()
        return change(value) if isinstance(value, Tensor) else value

    return {name: of(value) for name, value in arguments.items()}


def outcome(function: Callable[..., Any], arguments: dict[str, Any]) -> list[Tensor]:
    """The result and its gradients in all that can have one; of a solve, its iterations too."""
    if function is solved:
        solution = functional.solve_matting(**arguments)
        return [solution.alpha, torch.tensor(solution.iterations)]
    leaves = {
        name: x.detach().requires_grad_() if isinstance(x, Tensor) and x.is_floating_point() else x
        for name, x in arguments.items()
    }
    result = function(**leaves)
    if isinstance(result, tuple):
        return list(result)
    if isinstance(result, np.ndarray):
        return [torch.from_numpy(result)]
    if not isinstance(result, Tensor):  # a metric
        return [torch.tensor(result, dtype=torch.float64)]
    if not result.requires_grad:
        return [result]
    wanted = [x for x in leaves.values() if isinstance(x, Tensor) and x.requires_grad]
    weight = torch.linspace(1, 2, result.numel(), dtype=result.dtype).view(result.shape)
    gradients = torch.autograd.grad((result * weight).sum(), wanted, materialize_grads=True, allow_unused=True)
    return [result.detach(), *gradients]


def same(found: list[Tensor], expected: list[Tensor]) -> bool:
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_every_public_function_is_in_the_table() -> None:
    public = {*functional.__all__, *metrics.__all__, *nn.__all__, *io.__all__, *training.__all__} - {*CLASSES, *FILES}
    assert public <= set(table(1, 5, 6))


@each_case
def test_every_layout_gives_the_same_bits(name: str, size: tuple[int, int, int]) -> None:
    function, arguments = table(*size)[name]
    expected = outcome(function, arguments)
    for layout in LAYOUTS:
        assert same(outcome(function, changed(arguments, layout)), expected), layout.__name__


@each_case
def test_expanded_tensors_are_their_copies(name: str, size: tuple[int, int, int]) -> None:
    """What lies beyond the memory of an expanded tensor is not its."""
    function, arguments = table(*size)[name]
    for key in [key for key, value in arguments.items() if isinstance(value, Tensor)]:
        if key in ("assignment", "target", "marks", "fractions"):  # which would be wrong in themselves
            continue
        laid = {**arguments, key: expanded(arguments[key])}
        assert same(outcome(function, laid), outcome(function, changed(laid, Tensor.contiguous))), key


@each_case
def test_every_default_dtype_gives_the_same_bits(name: str, size: tuple[int, int, int]) -> None:
    function, arguments = table(*size)[name]
    expected = outcome(function, arguments)
    for dtype in DEFAULTS:
        with default_dtype(dtype):
            found = outcome(function, arguments)
        assert same(found, expected), dtype


@each_case
def test_another_default_device_does_not_matter(name: str, size: tuple[int, int, int]) -> None:
    """Where a user has told torch to make tensors on a GPU; the meta device stands in for one."""
    function, arguments = table(*size)[name]

    def result() -> list[Tensor]:
        found = function(**arguments)
        return [torch.as_tensor(part, device="cpu") for part in (found if isinstance(found, tuple) else (found,))]

    expected = result()
    try:
        torch.set_default_device("meta")
        found = result()
    finally:
        torch.set_default_device(None)
    assert same(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_solve_takes_as_many_iterations_on_every_layout(kind: Any) -> None:
    """On an image of several tiles, where a preconditioner made from other values than the image's shows."""
    torch.manual_seed(0)
    rows, columns = torch.meshgrid(torch.linspace(0, 6, 96), torch.linspace(0, 8, 128), indexing="ij")
    picture = torch.stack([torch.sin(rows + columns), torch.cos(2 * rows), torch.sin(columns * rows / 3)])[None]
    image = (0.5 + 0.4 * picture + 0.05 * torch.rand_like(picture)).clamp(0, 1)
    marks = torch.full((1, 96, 128), 255)
    marks[:, 10:13, 10:100], marks[:, 50:53, 40:120], marks[:, 80:83, 10:60] = 0, 1, 2
    solution = functional.solve_matting(marks, image, kind=kind)
    alpha = solution.alpha
    assert solution.converged and solution.iterations <= 80
    for layout in LAYOUTS:
        how = functional.solve_matting(layout(marks), layout(image), kind=kind)
        found = how.alpha
        assert how.iterations == solution.iterations and torch.equal(found, alpha), layout.__name__
    grey = image[:, :1]
    solution = functional.solve_matting(marks, grey.repeat(1, 3, 1, 1), kind=kind)
    expected = solution.alpha
    how = functional.solve_matting(marks, grey.expand(1, 3, -1, -1), kind=kind)
    found = how.alpha
    assert how.iterations == solution.iterations and torch.equal(found, expected)
