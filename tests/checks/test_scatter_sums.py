"""Sums by index: integers against floating point."""

import torch

from closedform_wsss._scatter_sums import scatter_sums, sums_in_order, sums_of_integers


def test_integers_give_the_sums_whatever_the_order():
    values = torch.randn(3, 5000, dtype=torch.float64).clamp(-4, 4)
    index = torch.randint(7, (3, 5000))
    expected = scatter_sums(values, index, 7, 4.0)
    got = sums_of_integers(values, index, 7, 4.0)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)
    order = torch.randperm(5000)
    assert torch.equal(sums_of_integers(values[:, order], index[:, order], 7, 4.0), got)


def test_a_million_values_of_float32_that_cancel():
    values = torch.rand(1, 1_000_000)
    both = torch.cat([values + 0.5, -values], 1)
    exact = both.double().sum().item()
    assert abs(scatter_sums(both, torch.zeros(1, 2_000_000, dtype=torch.long), 1, 1.5).item() - exact) < 0.05


def test_the_largest_values_fit():
    for largest in (1.0, 3.5):
        values = torch.full((1, 4097), largest)
        assert sums_of_integers(values, torch.zeros(1, 4097, dtype=torch.long), 1, largest).item() == 4097 * largest


def test_what_is_no_number_shows():
    values = torch.zeros(2, 4)
    values[1, 2] = torch.inf
    got = sums_of_integers(values, torch.zeros(2, 4, dtype=torch.long), 2, 1.0)
    assert (got[0] == 0).all() and got[1].isnan().all()
    assert sums_of_integers(values[:, :0], torch.zeros(2, 0, dtype=torch.long), 2, 1.0).tolist() == [[0, 0], [0, 0]]


def test_additions_in_order_are_a_cumulative_sum():
    for dtype in (torch.float32, torch.float64):
        values = torch.randn(2, 5, 42, dtype=dtype)
        assert torch.equal(sums_in_order(values), values.cumsum(-1))
