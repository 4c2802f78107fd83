"""Every argument of every public function, one at a time, made wrong in every way that is wrong for its kind: an error
that starts with the function's name, never a crash, another exception or a result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from helpers.arguments import C, calls
from torch import Tensor

from closedform_wsss.metrics import (
    achievable_segmentation_accuracy,
    boundary_recall,
    connectivity_error,
    gradient_error,
    mse,
    sad,
    undersegmentation_error,
)

with torch.random.fork_rng():
    torch.manual_seed(0)
    CALLS = calls(2, 9, 11)


# An entry that counts: a marked pixel, the weight of a pixel's own cell, the class of a mark.
PLACES: dict[Any, tuple[int, ...]] = {
    **{1: (0,), 2: (0, 0), 3: (0, 2, 2)},
    **{(1,): (0, 0, 2, 2), (C,): (0, 0, 2, 2), (9,): (0, 4, 2, 2)},
}


def with_value(value: float) -> Callable[[Any], Any]:
    """The same tensor or array, one of whose entries is this."""

    def change(right: Any) -> Any:
        wrong = right.clone() if isinstance(right, Tensor) else right.copy()
        wrong[PLACES[wrong.shape[1:2] if wrong.ndim == 4 else wrong.ndim]] = value
        return wrong

    return change


def to(value: Any) -> Callable[[Any], Any]:
    return lambda _: value


NOT_TENSORS = {"a list": lambda x: x.tolist(), "text": to("text"), "a number": to(3), "None": to(None)}
SHAPES = {
    "one dimension less": lambda x: x[0],
    "one dimension more": lambda x: x[None],
    "flat": lambda x: x.reshape(-1),
    "no dimension": lambda x: x.reshape(-1)[0],
    "sparse": lambda x: x.to_sparse(),
    "nested": lambda x: torch.nested.as_nested_tensor(list(x)),
}
NOT_FINITE = {"NaN": with_value(float("nan")), "inf": with_value(float("inf")), "-inf": with_value(-float("inf"))}
BATCH = {"another batch": lambda x: x[:1], "no pixels": lambda x: x[..., :0]}
NOT_FLOATING = {
    str(dtype): (lambda x, dtype=dtype: x.to(dtype))
    for dtype in (torch.int64, torch.bool, torch.cfloat, torch.float8_e4m3fn)
}
NOT_INTEGERS = {str(dtype): (lambda x, dtype=dtype: x.to(dtype)) for dtype in (torch.bool, torch.cfloat)}

MAPS_WRONG = NOT_TENSORS | SHAPES | NOT_FINITE | BATCH | NOT_FLOATING
MARKS_WRONG = (
    NOT_TENSORS
    | SHAPES
    | BATCH
    | NOT_INTEGERS
    | {"a label too large": with_value(C), "far too large": with_value(2**40), "a negative label": with_value(-1)}
)
IMAGE_WRONG = MAPS_WRONG | {
    "above 1": with_value(1.5),
    "255": lambda x: x * 255,
    "below 0": with_value(-0.5),
    "no channels": lambda x: x[:, :0],
}
SHARES_WRONG = MAPS_WRONG | {"above 1": with_value(1.5), "below 0": with_value(-0.5)}
Q_WRONG = MAPS_WRONG | {"another sum": lambda x: x * 2, "eight": lambda x: x[:, :8], "negative": with_value(-5)}
NUMBER_WRONG = {
    name: to(value)
    for name, value in {
        **{"0": 0, "-1": -1, "NaN": float("nan"), "inf": float("inf"), "text": "1", "a list": [1.0], "True": True},
        **{"None": None, "a tensor": torch.ones(2)},
    }.items()
}
COUNT_WRONG = NUMBER_WRONG | {"1.5": to(1.5), "2.0": to(2.0)}
OPTION_WRONG = {
    name: to(value)
    for name, value in {
        **{"text": "no such", "1": 1, "a list": ["mean"], "b": b"mean", "an array": np.array(["mean", "energy"])},
        "a tensor": torch.ones(2),
    }.items()
}
CLASSES_WRONG = {"too few": lambda x: x[..., :2], "negative": with_value(-1), "NaN": with_value(float("nan"))}
MATTE_WRONG = {
    **{"text": to("text"), "None": to(None), "flat": lambda x: x.ravel(), "smaller": lambda x: x[1:]},
    **{"integers": lambda x: x.astype(int), "NaN": with_value(np.nan), "above 1": with_value(1.5)},
    "below 0": with_value(-0.5),
}
MASK_WRONG = {
    **{"text": to("text"), "None": to(None), "flat": lambda x: x.ravel(), "smaller": lambda x: x[1:]},
    **{"integers": lambda x: x.astype(int), "nothing": lambda x: ~x},
}
SEGMENTS_WRONG = {
    **{"text": to("text"), "None": to(None), "floating": lambda x: x.float(), "flat": lambda x: x.reshape(-1)},
    **{"smaller": lambda x: x[1:], "no pixels": lambda x: x[:0]},
}


def without(wrong: dict[str, Any], *names: str) -> dict[str, Any]:
    assert set(names) <= wrong.keys()
    return {name: change for name, change in wrong.items() if name not in names}


IGNORED_WRONG = {
    name: to(value)
    for name, value in {
        **{"a class": 1, "text": "255", "None": None, "1.5": 1.5},
        **{"above int64": 2**63, "below int64": -(2**63) - 1},
    }.items()
}

WRONG: dict[str, dict[str, Callable[[Any], Any]]] = {
    **{"logits": MAPS_WRONG, "x": MAPS_WRONG, "initial": without(MAPS_WRONG, "None"), "image": IMAGE_WRONG},
    "alpha": MAPS_WRONG | {"255": lambda x: x * 255, "several maps": lambda x: x[:, None].repeat(1, 2, 1, 1)},
    **{"s": MAPS_WRONG, "cam": MAPS_WRONG, "assignment": Q_WRONG},
    **{"target": MARKS_WRONG, "marks": MARKS_WRONG, "preds": MAPS_WRONG, "maps": MAPS_WRONG, "probs": SHARES_WRONG},
    "class_factors": {name: NOT_TENSORS[name] for name in ("a list", "text", "a number")}
    | {
        "too few": lambda x: x[:2],
        "negative": with_value(-0.5),
        "all zero": torch.zeros_like,
        "NaN": with_value(float("nan")),
    },
    "fractions": without(NOT_TENSORS, "a list")
    | {
        "a list": lambda x: x.tolist(),
        "counts": lambda x: x * 40,
        "NaN": with_value(float("nan")),
        "negative": with_value(-0.5),
    },
    **{"form": OPTION_WRONG, "kind": OPTION_WRONG, "activation": OPTION_WRONG},
    **{"reduction": OPTION_WRONG, "weighting": OPTION_WRONG, "color_space": OPTION_WRONG},
    **{
        "mark_weight": NUMBER_WRONG,
        "scale": NUMBER_WRONG,
        "eps": NUMBER_WRONG,
        "fidelity": NUMBER_WRONG,
        "gamma": NUMBER_WRONG,
    },
    **{
        name: without(NUMBER_WRONG, "0")
        for name in ("energy_weight", "crf_weight", "smoothness_weight", "appearance_weight", "gradient_weight")
    },
    "smoothness": NUMBER_WRONG,
    **{name: NUMBER_WRONG for name in ("smoothness_sigma", "position_sigma", "color_sigma")},
    **{"tol": NUMBER_WRONG, "compactness": NUMBER_WRONG, "temperature": NUMBER_WRONG, "power": NUMBER_WRONG},
    **{"position_weight": without(NUMBER_WRONG, "None"), "level": NUMBER_WRONG},
    **{"threshold": without(NUMBER_WRONG, "0"), "margin": without(NUMBER_WRONG, "0")},
    "restart": without(NUMBER_WRONG, "0"),
    **{"radius": COUNT_WRONG, "max_iter": COUNT_WRONG, "cell_size": COUNT_WRONG, "num_classes": COUNT_WRONG},
    **{"num_iters": COUNT_WRONG, "tolerance": without(COUNT_WRONG, "0")},
    "class_weight": without(NOT_TENSORS, "None") | CLASSES_WRONG | {"inf": with_value(float("inf"))},
    "class_present": without(NOT_TENSORS, "None") | CLASSES_WRONG | {"above 1": with_value(2)},
    "ignore_index": IGNORED_WRONG,
    "scales": {
        name: to(value)
        for name, value in {
            "none": (),
            "0": (0,),
            "NaN": (float("nan"),),
            "text": "12",
            "a number": 1.0,
            "None": None,
        }.items()
    },
    "refine": {"None": to(None), "text": to("asam")},
    "classes": {
        "too few": to([1]),
        "0": to([0, 1, 2]),
        "255": to([1, 2, 255]),
        "1.5": to([1.5, 2.0, 3.0]),
        "text": to("abc"),
        "names": to(["a", "b", "c"]),
        "ragged": to([[1], [2, 3], [4]]),
        "None inside": to([1, None, 2]),
        "a set": to({1, 2, 3}),
        "a number": to(5),
    },
    "present": {"a list": lambda x: x.tolist(), "other classes": lambda x: x[:, :2], "None": to(None)},
    "size": {
        name: to(value)
        for name, value in {"0": (0, 3), "one": (3,), "1.5": (1.5, 2), "text": "34", "None": None}.items()
    },
    "unknown": MASK_WRONG,
    **{
        name: without(SHARES_WRONG, "None") | {"two maps": lambda x: x.repeat(1, 2, 1, 1)}
        for name in ("saliency", "boundaries")
    },
}

# Names that stand for something else in one function.
SPECIAL = {
    **{
        (function.__name__, argument): wrong
        for functions, wrong in (
            ((sad, mse, gradient_error, connectivity_error), MATTE_WRONG),
            ((boundary_recall, undersegmentation_error, achievable_segmentation_accuracy), SEGMENTS_WRONG),
        )
        for function in functions
        for argument in ("preds", "target")
    },
    **{(name, "cam"): SHARES_WRONG for name in ("background_score", "pseudo_labels")},
    ("pseudo_labels", "class_present"): {"floating": lambda x: x.float(), "too few": lambda x: x[:, :2]},
}
# What is right for one function, though not for all.
RIGHT = {
    # Surely not this class; no pixels, no loss.
    *{
        (name, "logits", "-inf")
        for name in ("closed_form_loss", "superpixel_consistency_loss", "ConfusionMatrix", "dense_crf_loss")
    },
    *{(name, "preds", value) for name in ("ConfusionMatrix",) for value in ("-inf", "inf")},
    *{
        (name, "logits", "no pixels")
        for name in ("closed_form_loss", "absent_class_loss", "mark_loss", "dense_crf_loss")
    },
    *{("matting_filter", "x", "no pixels"), ("dense_crf", "probs", "no pixels")},
    *{(name, "cam", "no pixels") for name in ("calibrate_cam", "refine_cam", "background_score", "pseudo_labels")},
    # Nothing else is of the batch, or of the number of channels.
    *{(name, "image", "another batch") for name in ("slic", "soft_slic")},
    *{(name, "target", "another batch") for name in ("classes_present", "resize_marks")},
    *{("winning_fractions", "maps", "another batch"), ("class_factors", "probs", "another batch")},
    ("class_weights", "power", "0"),
    *{("asam_affinity", "assignment", "another batch"), ("background_score", "cam", "another batch")},
    # Sums may have any weights. The operator is linear: what is not finite comes out as it came in.
    *{("superpixel_pool", "assignment", name) for name in ("another sum", "negative")},
    *{("MattingLaplacian", "x", name) for name in ("NaN", "inf", "-inf")},
    # Options that can be left out, or take no step.
    *{(name, "num_classes", "None") for name in ("solve_matting", "superpixel_reconstruction_loss")},
    *{
        ("refine_prediction", name, value)
        for name, value in (("eps", "None"), ("marks", "None"), ("probs", "no pixels"))
    },
    *{("matting_filter", "target", "None"), ("asam", "tol", "None")},
    *{("refine_cam", option, "None") for option in ("level", "num_iters")},
    *{(name, "num_iters", "0") for name in ("soft_slic", "asam", "dense_crf")},
    *{("slic", "cell_size", name) for name in ("1.5", "2.0")},
    *{(name, option, "None") for name in ("solve_matting", "matting_filter") for option in ("eps", "radius")},
    *{("closed_form_loss", name, "None") for name in ("target", "eps", "radius", "scale")},
    ("closed_form_loss", "mark_weight", "0"),  # in the energy form
    ("ConfusionMatrix", "target", "torch.bool"),
    ("ConfusionMatrix", "preds", "torch.float8_e4m3fn"),  # it only compares
    *{("ConfusionMatrix", name, "a list") for name in ("preds", "target")},
    ("ConfusionMatrix", "ignore_index", "a class"),
}
CASES = [
    (name, argument, wrong)
    for name, (_, right) in CALLS.items()
    for argument in right
    for wrong in SPECIAL.get((name, argument), WRONG[argument])
    if (name, argument, wrong) not in RIGHT
]


@pytest.mark.parametrize("name", CALLS)
def test_right_arguments(name: str) -> None:
    function, right = CALLS[name]
    result = torch.as_tensor(function(**right))
    assert not result.is_floating_point() or bool(torch.isfinite(result).all())


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_wrong_arguments(case: tuple[str, str, str]) -> None:
    name, argument, wrong = case
    function, right = CALLS[name]
    change = SPECIAL.get((name, argument), WRONG[argument])[wrong]
    with pytest.raises((ValueError, TypeError)) as caught:
        function(**{**right, argument: change(right[argument])})
    assert str(caught.value).startswith((f"{name}: ", f"{name}.update: "))
