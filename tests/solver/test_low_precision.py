"""The solver where float32 products are rounded to fewer bits: TF32 on a GPU, bfloat16 on some CPUs."""

import pytest
import torch
from helpers.low_precision import BFLOAT16, TF32, LowPrecisionProducts, rounded
from helpers.strokes import photograph, strokes

from closedform_wsss.functional import solve_matting

SIZE = (256, 256)


def solve(classes=4, **options):
    return solve_matting(strokes(SIZE, classes), photograph(SIZE).float(), **options)


@pytest.mark.parametrize("bits", [TF32, BFLOAT16])
def test_rounded(bits):
    end = 2.0**-bits
    x = torch.tensor([1, 1 + end, 1 + 0.4 * end, 1 + 0.6 * end, 1 + 0.5 * end, 1 + 1.5 * end, -3.0, 0.0])
    expected = torch.tensor([1, 1 + end, 1, 1 + end, 1, 1 + 2 * end, -3.0, 0.0])
    assert torch.equal(rounded(x, bits), expected)
    a, b = torch.randn(2, 5, 7, 7)
    with LowPrecisionProducts(bits) as mode:
        products = (a @ b, torch.einsum("nij,nkj->nik", a, b.mT), a[0] @ b[0])
    low = rounded(a, bits) @ rounded(b, bits)
    assert mode.count == 3 and not torch.allclose(low, a @ b, rtol=0, atol=end)
    for product, expected in zip(products, (low, low, low[0]), strict=True):
        torch.testing.assert_close(product, expected)


@pytest.mark.parametrize("bits", [TF32, BFLOAT16])
@pytest.mark.parametrize("options", [{"classes": 2}, {"classes": 4}, {"classes": 2, "radius": 2}], ids=str)
def test_low_precision_products_change_nothing(small_levels, options, bits):
    expected = solve(**options)
    with LowPrecisionProducts(bits) as mode:
        got = solve(**options)
    assert mode.count == 0  # no float32 product is left; and if one is, it does no harm:
    assert expected.converged and got.converged and abs(got.iterations - expected.iterations) <= 4
    torch.testing.assert_close(got.alpha, expected.alpha, rtol=0, atol=1e-3)


def test_results_do_not_depend_on_the_precision_of_products(small_levels, products):
    """The last is bfloat16 on CPUs that have it."""
    alphas = []
    for precision in ("highest", "high", "medium"):
        torch.set_float32_matmul_precision(precision)
        alphas.append(solve().alpha)
    assert torch.equal(alphas[0], alphas[1]) and torch.equal(alphas[0], alphas[2])
