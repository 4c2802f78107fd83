"""csrc/binding.h: what the functions of the extension take, and the errors of everything else."""

from __future__ import annotations

from typing import Any

import pytest

from closedform_wsss import _C

PRODUCT = (0, 0, 0, 0, 0, 1, 3, 3, 1)  # no image: nothing is read


def test_what_fits_is_taken() -> None:
    assert _C.stencil_pitch(100) >= 100
    _C.matting_product_f32(*PRODUCT)
    _C.advise_huge_pages(0, 0)


@pytest.mark.parametrize(
    ("function", "arguments", "error"),
    [
        ("stencil_pitch", (), TypeError),
        ("stencil_pitch", (1, 2), TypeError),
        ("stencil_pitch", (1.5,), TypeError),
        ("stencil_pitch", ("1",), TypeError),
        ("stencil_pitch", (None,), TypeError),
        ("stencil_pitch", (2**64,), OverflowError),
        ("advise_huge_pages", (-1, 1), OverflowError),  # an address
        ("matting_product_f32", (*PRODUCT[:5], 2**31, *PRODUCT[6:]), OverflowError),  # an int of C
        ("matting_product_f32", (1.0, *PRODUCT[1:]), TypeError),
        ("set_level", (3,), TypeError),
        ("set_level", ("none of them",), ValueError),
    ],
)
def test_what_does_not_fit_is_an_error(function: str, arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        getattr(_C, function)(*arguments)


def test_a_flag_is_a_bool() -> None:
    """Not a number: in a call with arguments in the wrong order it would be one of them."""
    types = _C.matting_loss_f32.__doc__.splitlines()[0]
    assert types.count("bool") == 1
    arguments: list[Any] = [0] * (types.count(",") + 1)
    with pytest.raises(TypeError, match="expected a bool"):
        _C.matting_loss_f32(*arguments)


def test_keywords_are_refused() -> None:
    with pytest.raises(TypeError, match="keyword"):
        _C.stencil_pitch(width=3)  # type: ignore[call-arg]


def test_the_docstring_begins_with_the_types() -> None:
    assert _C.levels.__doc__ is not None and _C.levels.__doc__.startswith("levels() -> list[str]\n\n")
    assert _C.matting_product_f32.__doc__ == f"matting_product_f32({', '.join(['int'] * 9)}) -> None"
