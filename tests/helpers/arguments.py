"""Every public function with arguments that are right, for images of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from closedform_wsss import MattingLaplacian, Superpixels, functional, training
from closedform_wsss.metrics import (
    ConfusionMatrix,
    achievable_segmentation_accuracy,
    boundary_recall,
    connectivity_error,
    gradient_error,
    mse,
    sad,
    undersegmentation_error,
)

C = 3  # classes
CELL = 4  # side of a superpixel's cell

Calls = dict[str, tuple[Callable[..., Any], dict[str, Any]]]


def product(image: Tensor, x: Tensor, **options: Any) -> Tensor:
    return MattingLaplacian(image, **options) @ x


def count(preds: Tensor, target: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    matrix = ConfusionMatrix(num_classes, ignore_index)
    matrix.update(preds, target)
    return matrix.matrix


def solved(marks: Tensor, image: Tensor, **options: Any) -> Tensor:
    return functional.solve_matting(marks, image, **options).alpha


def assignment_of(function: Callable[..., Superpixels]) -> Callable[..., Tensor]:
    """The same function, its tensor alone."""
    return lambda *arguments, **options: function(*arguments, **options).assignment


slic, soft_slic = assignment_of(functional.slic), assignment_of(functional.soft_slic)


def on_assignment(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same function of an assignment, so that tests of layouts and dtypes reach it."""

    def call(*, assignment: Tensor, cell_size: int, **arguments: Any) -> Tensor:
        return function(superpixels=Superpixels(assignment, cell_size), **arguments)

    return call


def first(x: Tensor, image: Tensor) -> Tensor:
    return x


def calls(n: int, h: int, w: int) -> Calls:
    """By its name each function, and arguments for n images of h x w pixels: tensors are random and contiguous."""
    image, maps, present = torch.rand(n, 3, h, w), torch.rand(n, C, h, w), torch.rand(n, C)
    # Every image has a mark, of class 0, also in its third row and column if there are such.
    target = torch.tensor([255, 255, 0, 2])[torch.randint(4, (n, h, w))]
    target[:, :3:2, :3:2] = 0
    if h * w > 1:  # and a pixel without
        target[:, -1 if h > 1 else 0, -1 if h == 1 else 0] = 255
    q = functional.soft_slic(image, cell_size=CELL).assignment
    values = torch.rand(n, C, -(-h // CELL), -(-w // CELL))
    labels = (torch.arange(h * w).view(1, h, w) // 10).repeat(max(n, 1), 1, 1)
    matte = torch.rand(h, w, dtype=torch.float64).numpy()
    unknown = np.ones((h, w), bool)
    return {
        "closed_form_loss": (
            functional.closed_form_loss,
            {
                **{"logits": maps, "target": target, "image": image, "form": "energy", "kind": "closed_form"},
                **{
                    "mark_weight": 100.0,
                    "eps": 1e-4,
                    "radius": 1,
                    "scale": 1.0,
                    "class_weight": torch.ones(C),
                    "class_present": present,
                },
                **{"activation": "softmax", "ignore_index": 255, "reduction": "mean"},
            },
        ),
        "solve_matting": (
            solved,
            {
                **{"image": image, "marks": target, "num_classes": C, "kind": "closed_form", "mark_weight": 100.0},
                **{"eps": 1e-4, "radius": 1, "tol": 0.1, "max_iter": 500, "initial": maps, "ignore_index": 255},
            },
        ),
        "matting_filter": (
            functional.matting_filter,
            {
                **{"x": maps, "image": image, "target": target, "mark_weight": 10.0, "fidelity": 0.1},
                **{
                    "kind": "closed_form",
                    "eps": 1e-4,
                    "radius": 1,
                    "tol": 0.1,
                    "max_iter": 500,
                    "ignore_index": 255,
                },
            },
        ),
        "dense_crf": (
            functional.dense_crf,
            {
                **{"probs": maps.softmax(1), "image": image, "num_iters": 2, "smoothness_weight": 3.0},
                **{"smoothness_sigma": 2.0, "appearance_weight": 5.0, "position_sigma": 10.0, "color_sigma": 0.2},
            },
        ),
        "dense_crf_loss": (
            functional.dense_crf_loss,
            {
                **{"logits": maps, "image": image, "position_sigma": 10.0, "color_sigma": 0.2},
                **{"activation": "softmax", "reduction": "mean"},
            },
        ),
        "estimate_foreground": (
            functional.estimate_foreground,
            {
                **{"image": image, "alpha": maps[:, 0], "smoothness": 5e-3, "gradient_weight": 0.1, "num_iters": 10},
            },
        ),
        "slic": (slic, {"image": image, "cell_size": CELL, "compactness": 10.0, "num_iters": 2}),
        "soft_slic": (
            soft_slic,
            {
                **{"image": image, "cell_size": CELL, "num_iters": 2, "compactness": 10.0, "temperature": 20.0},
                **{"color_space": "lab"},
            },
        ),
        "superpixel_pool": (
            on_assignment(functional.superpixel_pool),
            {"x": maps, "assignment": q, "cell_size": CELL, "reduction": "mean"},
        ),
        "superpixel_unpool": (
            on_assignment(functional.superpixel_unpool),
            {"s": values, "assignment": q, "cell_size": CELL},
        ),
        "superpixel_consistency_loss": (
            on_assignment(functional.superpixel_consistency_loss),
            {
                **{"logits": maps, "target": target, "assignment": q, "cell_size": CELL, "weighting": "agreement"},
                **{"gamma": 1.0, "class_weight": torch.ones(C), "ignore_index": 255, "reduction": "mean"},
            },
        ),
        "superpixel_reconstruction_loss": (
            on_assignment(functional.superpixel_reconstruction_loss),
            {
                **{"assignment": q, "target": target, "cell_size": CELL, "position_weight": 0.1, "num_classes": C},
                **{"ignore_index": 255, "reduction": "mean"},
            },
        ),
        "asam_affinity": (on_assignment(functional.asam_affinity), {"assignment": q, "cell_size": CELL}),
        "asam": (
            on_assignment(functional.asam),
            {
                **{"cam": maps, "assignment": q, "cell_size": CELL, "num_iters": 2, "restart": 0.1, "tol": 0.1},
                **{"class_present": present},
            },
        ),
        "test_time_augmentation": (
            functional.test_time_augmentation,
            {"refine": first, "x": maps, "image": image, "scales": (1.0,)},
        ),
        "calibrate_cam": (functional.calibrate_cam, {"cam": maps, "image": image, "level": 0.4}),
        "refine_cam": (
            functional.refine_cam,
            {
                **{"cam": maps, "image": image, "saliency": maps[:, :1].clone(), "boundaries": maps[:, 1:2].clone()},
                **{"num_iters": 2, "fidelity": 0.1, "level": 0.4},
            },
        ),
        "refine_prediction": (
            functional.refine_prediction,
            {
                **{"probs": maps.softmax(1), "image": image, "marks": target, "class_factors": torch.ones(C)},
                **{"class_present": present},
                **{"fidelity": 0.1, "mark_weight": 10.0, "eps": 1e-4, "tol": 0.1, "ignore_index": 255},
            },
        ),
        "background_score": (functional.background_score, {"cam": maps, "power": 2.0}),
        "pseudo_labels": (
            functional.pseudo_labels,
            {
                **{"cam": maps, "threshold": 0.4, "margin": 0.1, "class_present": present > 0.3},
                **{"classes": [1, 2, 7], "ignore_index": 255},
            },
        ),
        "classes_present": (functional.classes_present, {"target": target, "num_classes": C, "ignore_index": 255}),
        "multi_label_loss": (
            functional.multi_label_loss,
            {"logits": present, "class_present": present, "reduction": "mean"},
        ),
        "mark_loss": (
            functional.mark_loss,
            {
                **{"logits": maps, "target": target, "image": image, "energy_weight": 10.0, "crf_weight": 1.0},
                **{"class_present": present},
                **{"ignore_index": 255},
            },
        ),
        "absent_class_loss": (
            functional.absent_class_loss,
            {"logits": maps, "class_present": present, "reduction": "mean"},
        ),
        "resize_marks": (
            functional.resize_marks,
            {"target": target, "size": (max(h // 2, 1), w + 2), "num_classes": C, "ignore_index": 255},
        ),
        "winning_fractions": (training.winning_fractions, {"maps": maps}),
        "class_factors": (
            training.class_factors,
            {"probs": maps.softmax(1), "fractions": torch.tensor([0.5, 0.4, 0.1]), "num_iters": 5},
        ),
        "class_weights": (training.class_weights, {"fractions": torch.tensor([0.5, 0.4, 0.1]), "power": 0.5}),
        "MattingLaplacian": (product, {"image": image, "x": maps, "kind": "closed_form", "eps": 1e-4, "radius": 1}),
        "ConfusionMatrix": (count, {"preds": maps, "target": target, "num_classes": C, "ignore_index": 255}),
        **{
            function.__name__: (function, {"preds": matte, "target": matte, "unknown": unknown})
            for function in (sad, mse, gradient_error, connectivity_error)
        },
        "boundary_recall": (boundary_recall, {"preds": labels[0], "target": labels[0], "tolerance": 1}),
        "undersegmentation_error": (undersegmentation_error, {"preds": labels[0], "target": labels[0]}),
        "achievable_segmentation_accuracy": (
            achievable_segmentation_accuracy,
            {"preds": labels[0], "target": labels[0]},
        ),
    }
