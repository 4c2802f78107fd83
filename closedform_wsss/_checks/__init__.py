"""Checks of arguments, before any kernel runs.

``fn`` is the public function that was called. A message names it, the argument, what it must be, what it got, and where
possible a cure.

Checks of tensors return them as the function needs them: contiguous, so that results do not depend on the memory
layout, and marks and labels in int64, so that no comparison overflows.

Shapes and types are always checked. Checks that read values (range, NaN, labels) would make a CUDA stream wait, so by
default they run only for tensors on the CPU; :func:`set_value_checks` changes that.
"""

from closedform_wsss._checks.logits import (
    check_logits,
    check_num_classes,
    check_two_classes,
    check_two_probabilities,
)
from closedform_wsss._checks.marked_classes import warn_of_absent_marks
from closedform_wsss._checks.options import (
    check_count,
    check_integer,
    check_interval,
    check_names,
    check_not_negative,
    check_option,
    check_positive,
    check_probability,
    check_radius,
)
from closedform_wsss._checks.sizes import check_same_view
from closedform_wsss._checks.tensors import (
    as_compute_dtype,
    as_int64,
    check_class_present,
    check_class_weight,
    check_computable,
    check_dense,
    check_device,
    check_finite,
    check_image,
    check_maps,
    check_pixels,
    check_target,
    check_tensor,
    check_unit_range,
    compute_dtype,
)
from closedform_wsss._checks.values import reads_values, set_value_checks

__all__ = [
    "as_compute_dtype",
    "as_int64",
    "check_class_present",
    "check_class_weight",
    "check_computable",
    "check_count",
    "check_dense",
    "check_device",
    "check_finite",
    "check_image",
    "check_integer",
    "check_interval",
    "check_logits",
    "check_maps",
    "check_names",
    "check_not_negative",
    "check_num_classes",
    "check_option",
    "check_pixels",
    "check_positive",
    "check_probability",
    "check_radius",
    "check_same_view",
    "check_target",
    "check_tensor",
    "check_two_classes",
    "check_two_probabilities",
    "check_unit_range",
    "compute_dtype",
    "reads_values",
    "set_value_checks",
    "warn_of_absent_marks",
]
