"""What the checks of tensors and numbers do for every function: narrow labels, ranges and their hints, one logit."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.arguments import calls
from torch import Tensor

import closedform_wsss
from closedform_wsss import MattingLaplacian, Superpixels
from closedform_wsss._ops import _define
from closedform_wsss.functional import (
    absent_class_loss,
    asam,
    calibrate_cam,
    closed_form_loss,
    dense_crf,
    dense_crf_loss,
    mark_loss,
    matting_filter,
    multi_label_loss,
    pseudo_labels,
    refine_cam,
    slic,
    soft_slic,
    solve_matting,
    superpixel_consistency_loss,
    superpixel_reconstruction_loss,
    superpixel_unpool,
)
from closedform_wsss.nn import MattingFilter
from closedform_wsss.training import SelfTrainingLoss, class_factors

with torch.random.fork_rng():
    torch.manual_seed(0)
    CALLS = {name: call for name, call in calls(2, 9, 11).items() if {"target", "ignore_index"} <= call[1].keys()}
NARROW = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.uint16, torch.uint32, torch.uint64)


def outcome(function: Any, arguments: dict[str, Any]) -> Any:
    """The result, or the message."""
    try:
        result = torch.as_tensor(function(**arguments))
        return result if result.is_floating_point() else result.to(torch.int64)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("ignore_index", [255, -1, 3, 300, 65535])
@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("name", CALLS)
def test_labels_of_every_type_are_compared_as_int64(name: str, dtype: torch.dtype, ignore_index: int) -> None:
    function, arguments = CALLS[name]
    labels = arguments["target"]
    narrow = torch.where(labels == 255, ignore_index, labels).to(dtype)  # -1 becomes 255, 300 becomes 44
    for target in (narrow, labels.to(dtype)):
        options = arguments | {"ignore_index": ignore_index}
        wide = target.to(torch.int64)
        if dtype == torch.uint64:  # the largest label that there is
            wide[wide < 0] = torch.iinfo(torch.int64).max
        expected = outcome(function, options | {"target": wide})
        found = outcome(function, options | {"target": target})
        assert torch.equal(found, expected) if isinstance(expected, Tensor) else found == expected


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([0, 255], r"got \[255\]: if that means unmarked, pass ignore_index=255"),
        ([0, 254], r"got \[254\]$"),
        ([0, 128, 255], r"got \[128, 255\]: 0, 128 and 255 are those of a trimap, see .*from_trimap"),
        ([1, 2, 3], r"got \[3\]: if 1 is the first class, subtract 1 from every marked pixel"),
        ([0, 3], r"got \[3\]$"),
    ],
)
def test_labels_out_of_range_have_a_cure(found: list[int], message: str) -> None:
    target = torch.tensor(found).repeat(6, 4)[None, :, :4]
    with pytest.raises(ValueError, match=rf"closed_form_loss: target must hold classes in \[0, 3\).*{message}"):
        closed_form_loss(torch.zeros(1, 3, 6, 4), target, torch.rand(1, 3, 6, 4), ignore_index=-1)


MARKS = torch.zeros(2, 8, 9, dtype=torch.long)
UNIT = torch.linspace(0, 1, 36).view(1, 1, 6, 6)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (UNIT * 255, "divide by 255, or pass uint8"),
        (UNIT * 65535, r"divide by 65535 if all 16 bits are used, else .*to_unit_range\(image, window=\(0, 65535\)\)"),
        (UNIT * 4095, r"to_unit_range\(image, window=\(0, 4095\)\)"),
        (UNIT * 2 - 1, r"before mean/std normalisation, \(image \+ 1\) / 2 if that was to \[-1, 1\]"),
        (UNIT * 6 - 3, r"normalisation, image \* std \+ mean, or .*to_unit_range\(image, percentiles=\(1, 99\)\)"),
        ((UNIT * 6 - 3).expand(1, 3, 6, 6), r"normalisation, image \* std \+ mean$"),
        (UNIT * 1500 - 1000, r"Hounsfield units .*to_unit_range\(image, window=\(low, high\)\)"),
        (UNIT * 1.1 - 0.05, r"overshoots\? Clamp it"),
        (UNIT / 0, "got (NaN|infinite) values"),
        (UNIT.expand(1, 1, 4, 6, 6), r"the slices of a volume as a batch, image.transpose\(1, 2\).flatten\(0, 1\)"),
        (UNIT[0], r"pass image\[None\] for one image, image\[:, None\] for a batch of grey ones"),
        (UNIT[0, 0], r"pass image\[None, None\]"),
        (torch.rand(6, 7, 3), r"pass image.permute\(2, 0, 1\)\[None\]"),
        (torch.rand(1, 20, 20, 3), r"pass image.permute\(0, 3, 1, 2\)"),
        ((UNIT * 1500).short(), r"got torch.int16: divide 16 bits by 65535; for Hounsfield units"),
    ],
)
def test_images_out_of_range_have_a_cure_that_fits(image: Tensor, message: str) -> None:
    for function in (lambda: MattingLaplacian(image), lambda: slic(image), lambda: soft_slic(image)):
        with pytest.raises((ValueError, TypeError), match=message):
            function()


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float32])
def test_one_hot_marks_have_a_cure_that_keeps_unmarked_pixels(dtype: torch.dtype) -> None:
    marks = torch.full((2, 6, 8), 4)
    marks[:, 1, 2:7], marks[1, 4] = 0, 2
    target = F.one_hot(marks, 5)[..., :3].movedim(3, 1).to(dtype)
    with pytest.raises(ValueError, match=r"closed_form_loss: target must be \(N, H, W\).* as labels, torch") as error:
        closed_form_loss(torch.zeros(2, 3, 6, 8), target, torch.rand(2, 3, 6, 8), ignore_index=4)
    cure = str(error.value).partition("as labels, ")[2]
    assert torch.equal(eval(cure, {"torch": torch, "target": target}), marks)


def test_maps_without_channels_have_two_cures() -> None:
    image = torch.rand(2, 3, 16, 20)
    for x in (torch.rand(3, 16, 20), torch.rand(2, 16, 20)):  # maps of one image, a map of each image
        with pytest.raises(ValueError, match=r"x\[None\] for one image, x\[:, None\] for a batch of single maps$"):
            matting_filter(x, image)


def test_the_cures_work() -> None:
    marks = torch.full((1, 6, 6), 255)
    marks[:, 0], marks[:, -1] = 0, 1
    expected = solve_matting(marks, UNIT, eps=1e-2).alpha
    for image in ((UNIT * 255).div(255), ((UNIT * 2 - 1) + 1) / 2, (UNIT[0, 0])[None, None], UNIT[0][None]):
        torch.testing.assert_close(solve_matting(marks, image, eps=1e-2).alpha, expected)
    volume = UNIT.expand(1, 1, 4, 6, 6)  # (N, C, D, H, W)
    slices = volume.transpose(1, 2).flatten(0, 1)
    alpha = solve_matting(marks.expand(4, -1, -1), slices, eps=1e-2).alpha
    torch.testing.assert_close(alpha, expected.expand(4, -1, -1, -1))


@pytest.mark.parametrize(
    ("cam", "message"),
    [
        (UNIT * 17, r"got values in \[0, 17\]: for raw activations relu\(\) and divide each map by its maximum"),
        (UNIT * 8 - 4, r"for logits sigmoid\(\) or softmax\(1\)"),
        (UNIT * 255, "divide by 255"),
        (UNIT * 1.1, r"overshoots\? Clamp them"),
        (UNIT * torch.nan, "got NaN values"),
        (UNIT * torch.inf, "got (NaN|infinite) values"),
    ],
)
def test_cams_out_of_range_have_a_cure_that_fits(cam: Tensor, message: str) -> None:
    image = torch.rand(1, 3, 6, 6)
    for function in (refine_cam, calibrate_cam):
        with pytest.raises(ValueError, match=rf"{function.__name__}: cam must be in \[0, 1\].*{message}"):
            function(cam, image)


def test_a_single_logit_is_refused_and_the_documented_way_is_right() -> None:
    torch.manual_seed(0)
    z, image = torch.randn(2, 1, 12, 14, dtype=torch.float64), torch.rand(2, 3, 12, 14, dtype=torch.float64)
    target = torch.full((2, 12, 14), 255)
    target[:, 2, 2:9], target[:, 9, 2:9] = 0, 1
    q = soft_slic(image, cell_size=4).assignment
    for loss in (
        lambda: closed_form_loss(z, target, image),
        lambda: closed_form_loss(z, target, image, activation="sigmoid"),
        lambda: superpixel_consistency_loss(z, target, Superpixels(q, 4)),
    ):
        with pytest.raises(ValueError, match=r"2 or more channels.*torch.cat\(\[torch.zeros_like\(z\), z\], 1\)"):
            loss()
    z.requires_grad_()
    two = torch.cat([torch.zeros_like(z), z], 1)
    maps = torch.cat([1 - z.sigmoid(), z.sigmoid()], 1)
    for form in ("residual", "energy"):
        found = closed_form_loss(two, target, image, form=form)
        expected = closed_form_loss(maps, target, image, form=form, activation=None)
        torch.testing.assert_close(found, expected)
        (slope,), (wanted,) = (torch.autograd.grad(v, z, retain_graph=True) for v in (found, expected))
        torch.testing.assert_close(slope, wanted)
        # Down at the background's marks, up at the foreground's.
        assert slope[:, 0, 2, 2:9].mean() > 0 > slope[:, 0, 9, 2:9].mean()
    weighted = superpixel_consistency_loss(two, target, torch.zeros(2, 12, 14, dtype=torch.long))
    labelled = target != 255
    entropy = F.binary_cross_entropy_with_logits(z[:, 0][labelled], target[labelled].double())
    torch.testing.assert_close(weighted, entropy)  # both classes on as many pixels: all weights are equal


ELSEWHERE = {"device": "meta"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, q: asam(x.to("meta"), q), "cam must be on the superpixels' device cpu, got meta"),
        (lambda x, q: asam(x[:1], q), "cam and superpixels must have the same batch size, got 1 and 2"),
        (
            lambda x, q: asam(x, q, class_present=torch.ones(2, 3, **ELSEWHERE)),
            "class_present must be on the cam's device",
        ),
        (
            lambda x, q: pseudo_labels(x, threshold=0.5, class_present=torch.ones(2, 3, **ELSEWHERE)),
            "class_present must be on the cam's device",
        ),
        (
            lambda x, q: absent_class_loss(x, torch.ones(2, 3, **ELSEWHERE)),
            "class_present must be on the logits' device",
        ),
        (
            lambda x, q: multi_label_loss(x[..., 0, 0], torch.ones(2, 3, **ELSEWHERE)),
            "present must be on the logits' device",
        ),
        (
            lambda x, q: superpixel_consistency_loss(x, torch.zeros(2, 8, 9, dtype=torch.long, **ELSEWHERE), q),
            "target must be on the logits' device",
        ),
        (
            lambda x, q: superpixel_consistency_loss(x, MARKS, q, class_weight=torch.ones(3, **ELSEWHERE)),
            "class_weight must be on the logits' device",
        ),
        (
            lambda x, q: superpixel_reconstruction_loss(q, x.to("meta")),
            "target must be on the superpixels' device",
        ),
        (
            lambda x, q: superpixel_reconstruction_loss(q, MARKS.to("meta")),
            "target must be on the superpixels' device",
        ),
        (
            lambda x, q: class_factors(x.softmax(1), torch.ones(3, **ELSEWHERE)),
            "fractions must be on the other tensors' device",
        ),
        (
            lambda x, q: superpixel_unpool(x, Superpixels(q.assignment.to("meta"), 4)),
            "assignment must be on the other tensors' device",
        ),
    ],
)
def test_errors_name_the_argument_whose_device_or_batch_is_another(call: Any, message: str) -> None:
    """Where there is no image, none is named."""
    x, q = torch.rand(2, 3, 8, 9), soft_slic(torch.rand(2, 3, 8, 9), cell_size=4)
    with pytest.raises(ValueError, match=message):
        call(x, q)


@pytest.mark.parametrize("form", ["energy", "residual"])
def test_a_single_independent_map_needs_no_other_where_there_are_no_marks(form: Any) -> None:
    z, image = torch.randn(2, 1, 12, 14, dtype=torch.float64), torch.rand(2, 3, 12, 14, dtype=torch.float64)
    z.requires_grad_()
    for loss in (
        lambda z, activation: closed_form_loss(z, None, image, form=form, activation=activation),
        lambda z, activation: dense_crf_loss(z, image, activation=activation),
    ):
        found, expected = loss(z, "sigmoid"), loss(z.sigmoid(), None)
        torch.testing.assert_close(found, expected)
        (slope,), (wanted,) = (torch.autograd.grad(v, z, retain_graph=True) for v in (found, expected))
        torch.testing.assert_close(slope, wanted)
        with pytest.raises(ValueError, match="2 or more channels"):
            loss(z, "softmax")


def test_probabilities_before_a_sigmoid_are_not_taken_for_those_of_a_softmax() -> None:
    marks, image = torch.full((2, 9, 11), 1), torch.rand(2, 3, 9, 11)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        closed_form_loss(PROBABILITIES, marks, image, activation="sigmoid")
        dense_crf_loss(PROBABILITIES, image, activation="sigmoid")


def test_numbers_of_numpy_are_numbers() -> None:
    cam, image = torch.rand(1, 2, 8, 8), torch.rand(1, 3, 16, 16)
    marks = torch.full((1, 16, 16), 255)
    marks[:, 0], marks[:, -1] = 0, 1
    one, five, some = np.float32(0.125), np.int64(5), np.float64(0.25)
    found = refine_cam(cam, image, num_iters=five, fidelity=one, level=some)
    assert torch.equal(found, refine_cam(cam, image, num_iters=5, fidelity=0.125, level=0.25))
    found = solve_matting(
        marks, image, num_classes=np.int32(3), mark_weight=one, eps=some, tol=one, max_iter=five
    ).alpha
    assert torch.equal(
        found, solve_matting(marks, image, num_classes=3, mark_weight=0.125, eps=0.25, tol=0.125, max_iter=5).alpha
    )
    q = soft_slic(image, cell_size=np.uint8(4)).assignment
    found = asam(cam, Superpixels(q, np.int16(4)), num_iters=five, restart=some)
    assert torch.equal(found, asam(cam, Superpixels(q, 4), num_iters=5, restart=0.25))


@pytest.mark.parametrize("wrong", ["3", 1.5, True])
def test_a_wrong_type_is_a_type_error(wrong: Any) -> None:
    x, image = torch.rand(1, 2, 8, 8), torch.rand(1, 3, 8, 8)
    for call in (
        lambda: refine_cam(x, image, num_iters=wrong),
        lambda: refine_cam(x, image, level="0.4"),
        lambda: matting_filter(x, image, max_iter=wrong),
        lambda: matting_filter(x, image, radius=wrong),
        lambda: soft_slic(image, cell_size=wrong),
        lambda: closedform_wsss.set_value_checks("no"),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match=r"^\w+: \w+ must be"):
            call()


def test_kernels_refuse_memory_that_they_would_misread() -> None:
    x = torch.rand(3, 4).T
    with pytest.raises(
        RuntimeError, match=r"closedform_wsss.asam_steps: tensors must be contiguous, got strides \(1, 4\)"
    ):
        _define.launch("asam_steps", x, x)


@pytest.mark.parametrize("name", ["matting_filter", "solve_matting", "slic"])
def test_solvers_compile_as_one_step(name: str) -> None:
    """Traced, their iterations take minutes and some dozen graphs."""
    image, maps = torch.rand(1, 3, 16, 20), torch.rand(1, 2, 16, 20)
    marks = torch.full((1, 16, 20), 255)
    marks[:, 3, 3:9], marks[:, 10, 3:9] = 0, 1
    function = {
        "matting_filter": lambda: MattingFilter()(maps, image, marks),
        "solve_matting": lambda: solve_matting(marks, image, num_classes=2).alpha,
        "slic": lambda: slic(image, cell_size=4).assignment,
    }[name]
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(), function())


def test_the_filter_has_its_gradient_when_compiled() -> None:
    image, maps = torch.rand(1, 3, 16, 20), torch.rand(1, 2, 16, 20, requires_grad=True)
    weight = torch.rand(1, 2, 16, 20)
    compiled = torch.compile(lambda x: (matting_filter(x, image) * weight).sum(), fullgraph=True, backend="aot_eager")
    (found,) = torch.autograd.grad(compiled(maps), maps)
    (expected,) = torch.autograd.grad((matting_filter(maps, image) * weight).sum(), maps)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found, matting_filter(weight, image), rtol=0, atol=2e-3)  # symmetric


PROBABILITIES = torch.rand(2, 3, 9, 11, generator=torch.Generator().manual_seed(0)).softmax(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(
    "loss",
    [
        lambda x, marks, image: closed_form_loss(x, marks, image),
        lambda x, marks, image: mark_loss(x, marks, image),
        lambda x, marks, image: dense_crf_loss(x, image),
        lambda x, marks, image: SelfTrainingLoss(3, total_steps=9)(x, marks, image),
        lambda x, marks, image: superpixel_consistency_loss(x, marks, soft_slic(image, cell_size=4)),
    ],
)
def test_probabilities_in_place_of_logits_are_noticed(loss: Any, dtype: torch.dtype) -> None:
    marks, image = torch.full((2, 9, 11), 1), torch.rand(2, 3, 9, 11)
    with pytest.warns(UserWarning, match="add up to 1 in every pixel"):
        loss(PROBABILITIES.to(dtype), marks, image)
    almost = PROBABILITIES.clone()
    almost[1, 0, 5, 5] += 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        loss(PROBABILITIES.log().to(dtype), marks, image)
        loss(almost.to(dtype), marks, image)


@pytest.mark.parametrize("value", [1e39, 1e-30, 1e300, pytest.param(10**400, id="1e400"), 2.5e18])
def test_numbers_that_float32_cannot_hold(value: float) -> None:
    """They gave NaN, wrong labels or errors of the C library."""
    image = torch.rand(1, 3, 8, 8)
    marks = torch.full((1, 8, 8), 255)
    marks[0, 0, 0], marks[0, 7, 7] = 0, 1
    for call in (
        lambda: solve_matting(marks, image, mark_weight=value),
        lambda: matting_filter(image, image, fidelity=value),
        lambda: soft_slic(image, cell_size=4, temperature=value),
        lambda: slic(image, cell_size=4, compactness=value),
    ):
        with pytest.raises(ValueError, match=r"must be (from 1e-18 to 1e\+18|a finite number > 0), got"):
            call()


def test_a_weight_that_float32_cannot_hold() -> None:
    with pytest.raises(ValueError, match=r"smoothness_weight must be at most 1e\+18, got 1e\+39"):
        dense_crf(torch.full((1, 2, 8, 8), 0.5), torch.rand(1, 3, 8, 8), smoothness_weight=1e39)


@pytest.mark.parametrize("kind", ["closed_form", "learning_based"])
def test_the_smallest_eps(kind: str) -> None:
    grey = torch.rand(1, 1, 9, 9).expand(-1, 3, -1, -1)
    assert MattingLaplacian(grey, kind=kind, eps=1e-15).diagonal().isfinite().all()
    for make in (MattingLaplacian, lambda image, **options: matting_filter(image, image, **options)):
        with pytest.raises(ValueError, match="eps must be at least 1e-15, got 1e-17"):
            make(grey, kind=kind, eps=1e-17)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("mark_weight", torch.ones(2, 30, 40), r"mark_weight must be a number >= 0, got Tensor of shape \(2, 30, 40\)"),
        ("eps", np.ones((30, 40)), r"eps must be a number > 0, got ndarray of shape \(30, 40\)"),
        ("ignore_index", torch.ones(9), r"ignore_index must be an integer, got Tensor of shape \(9,\)"),
        ("form", torch.ones(9), r"form must be one of 'energy', 'residual', got Tensor of shape \(9,\)"),
    ],
)
def test_a_message_holds_no_values_of_a_tensor(option: str, value: Any, message: str) -> None:
    logits, target, image = torch.randn(1, 2, 8, 9), torch.zeros(1, 8, 9, dtype=torch.long), torch.rand(1, 3, 8, 9)
    with pytest.raises((TypeError, ValueError), match=f"closed_form_loss: {message}$"):
        closed_form_loss(logits, target, image, **{option: value})
