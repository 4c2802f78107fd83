"""The reconstruction loss against loops over pixels and superpixels in float64."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.superpixels import gridded
from torch import Tensor

from closedform_wsss import Superpixels
from closedform_wsss._common.superpixel_grid import neighbours_inside
from closedform_wsss.functional import superpixel_reconstruction_loss as loss


def association(n: int, height: int, width: int, cell_size: int, sharpness: float = 1.0) -> Tensor:
    logits = sharpness * torch.randn(n, 9, height, width, dtype=torch.float64)
    inside = neighbours_inside(height, width, cell_size, torch.device("cpu"))
    return logits.masked_fill(~inside, -math.inf).softmax(1)


def matrix(q: Tensor, cell_size: int) -> Tensor:
    """One image's association ``(9, H, W)`` as a dense matrix ``(H W, h w)``."""
    _, height, width = q.shape
    rows, columns = -(-height // cell_size), -(-width // cell_size)
    dense = torch.zeros(height * width, rows * columns, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            for k in range(9):
                row, column = y // cell_size + k // 3 - 1, x // cell_size + k % 3 - 1
                if 0 <= row < rows and 0 <= column < columns:
                    dense[y * width + x, row * columns + column] = q[k, y, x]
    return dense


def naive(q: Tensor, features: Tensor, cell_size: int, weight: float, ignore_index: int = 255) -> Tensor:
    """``(N,)``, pixel by pixel."""
    values = []
    for association, feature in zip(q, features, strict=True):
        dense = matrix(association, cell_size)
        height, width = association.shape[1:]
        position = torch.tensor([[y, x] for y in range(height) for x in range(width)], dtype=torch.float64)

        def rebuild(x: Tensor, own: Tensor) -> Tensor:
            total = own.sum(0)[:, None]
            return dense @ torch.where(total > 0, own.T @ x / total, 0)  # noqa: B023

        if feature.is_floating_point():
            flat = feature.double().flatten(1).T
            distance = (flat - rebuild(flat, dense)).norm(dim=1).mean()
        else:
            label, parts = feature.flatten().tolist(), []
            known = torch.tensor([c != ignore_index for c in label])
            one_hot = torch.tensor([[float(c == d) for d in sorted(set(label))] for c in label], dtype=torch.float64)
            mix = rebuild(one_hot, dense * known[:, None])
            for p, c in enumerate(label):
                if c != ignore_index:
                    parts.append(-math.log(mix[p, sorted(set(label)).index(c)]))
            distance = torch.tensor(sum(parts) / max(len(parts), 1), dtype=torch.float64)
        values.append(distance + weight / cell_size * (position - rebuild(position, dense)).norm(dim=1).mean())
    return torch.stack(values) if values else torch.zeros(0, dtype=torch.float64)


SIZES = [(7, 9, 3), (1, 11, 4), (6, 6, 16), (5, 4, 1)]


@pytest.mark.parametrize(("height", "width", "cell_size"), SIZES)
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_maps_against_loops(height: int, width: int, cell_size: int, channels: int) -> None:
    q = association(2, height, width, cell_size)
    features = torch.rand(2, channels, height, width, dtype=torch.float64)
    for weight in (0.1, 2.0):
        found = loss(Superpixels(q, cell_size), features, position_weight=weight, reduction="none")
        torch.testing.assert_close(found, naive(q, features, cell_size, weight))


@pytest.mark.parametrize(("height", "width", "cell_size"), SIZES)
@pytest.mark.parametrize("ignored", [0.0, 0.4, 1.0])
def test_labels_against_loops(height: int, width: int, cell_size: int, ignored: float) -> None:
    q = association(2, height, width, cell_size)
    labels = torch.randint(0, 4, (2, height, width))
    labels[torch.rand(labels.shape) < ignored] = 255
    expected = naive(q, labels, cell_size, 0.003)
    found = loss(Superpixels(q, cell_size), labels, reduction="none")
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(loss(Superpixels(q, cell_size), labels, num_classes=4, reduction="none"), expected)


def test_names_of_labels_do_not_matter() -> None:
    q, labels = association(2, 8, 8, 4), torch.randint(0, 3, (2, 8, 8))
    renamed = torch.tensor([70000, 255, 3])[labels]
    same = loss(Superpixels(q, 4), renamed, ignore_index=-1)
    torch.testing.assert_close(same, loss(Superpixels(q, 4), labels))
    torch.testing.assert_close(loss(Superpixels(q, 4), labels.to(torch.uint8)), same)
    assert loss(Superpixels(q, 4), renamed) != same  # 255 is then no label


def test_defaults_of_the_position_weight() -> None:
    q, labels, maps = association(1, 8, 8, 4), torch.randint(0, 3, (1, 8, 8)), torch.rand(1, 3, 8, 8)
    assert loss(Superpixels(q, 4), labels) == loss(Superpixels(q, 4), labels, position_weight=0.003)
    assert loss(Superpixels(q, 4), maps) == loss(Superpixels(q, 4), maps, position_weight=0.1)


def test_superpixels_within_segments_rebuild_their_labels() -> None:
    own_cell = torch.zeros(1, 9, 16, 16)
    own_cell[:, 4] = 1
    labels = torch.zeros(1, 16, 16, dtype=torch.int64)
    labels[..., 8:] = 1
    within = loss(Superpixels(own_cell, 8), labels, position_weight=1e-9)
    across = loss(Superpixels(own_cell, 16), labels, position_weight=1e-9)
    assert within < 1e-6
    torch.testing.assert_close(across.item(), math.log(2), atol=1e-6, rtol=0)


def test_reductions_and_empty_batches() -> None:
    q, maps = association(3, 8, 8, 4), torch.rand(3, 2, 8, 8)
    each = loss(Superpixels(q, 4), maps, reduction="none")
    assert each.shape == (3,)
    torch.testing.assert_close(loss(Superpixels(q, 4), maps), each.mean())
    torch.testing.assert_close(loss(Superpixels(q, 4), maps, reduction="sum"), each.sum())
    for features in (maps[:0], torch.zeros(0, 8, 8, dtype=torch.int64)):
        empty = q[:0].clone().requires_grad_()
        value = loss(Superpixels(empty, 4), features)
        assert value == 0
        value.backward()
        assert loss(Superpixels(empty, 4), features, reduction="none").shape == (0,)


@pytest.mark.parametrize("kind", ["maps", "labels"])
def test_gradcheck(kind: str) -> None:
    logits = torch.randn(1, 9, 3, 4, dtype=torch.float64, requires_grad=True)
    features = torch.rand(1, 2, 3, 4).double() if kind == "maps" else torch.randint(0, 3, (1, 3, 4))
    inside = neighbours_inside(3, 4, 2, torch.device("cpu"))

    def value(x: Tensor) -> Tensor:
        return loss(Superpixels(x.masked_fill(~inside, -math.inf).softmax(1), 2), features)

    assert torch.autograd.gradcheck(value, (logits,))


@pytest.mark.parametrize("sharpness", [0.0, 1.0, 1e3])
@pytest.mark.parametrize("kind", ["flat maps", "one label", "labels", "none"])
def test_gradients_are_finite_where_a_distance_is_zero(kind: str, sharpness: float) -> None:
    """Flat maps are rebuilt exactly, cells of one pixel and hard associations rebuild everything."""
    features = {
        "flat maps": torch.full((1, 3, 6, 7), 0.25),
        "one label": torch.zeros(1, 6, 7, dtype=torch.int64),
        "labels": torch.randint(0, 3, (1, 6, 7)),
        "none": torch.full((1, 6, 7), 255),
    }[kind]
    for cell_size in (1, 3):
        q = association(1, 6, 7, cell_size, sharpness).float().requires_grad_()
        value = loss(Superpixels(q, cell_size), features)
        value.backward()
        assert value.isfinite() and q.grad is not None and q.grad.isfinite().all()


def test_a_superpixel_that_the_network_has_nearly_left_has_its_gradient() -> None:
    """Its weights are 1e-11, and what it holds is still their mean: without this it could not grow again."""
    features = torch.rand(1, 2, 3, 6, dtype=torch.float64)
    small = 1e-11 * torch.rand(3, 6, dtype=torch.float64)
    q = torch.zeros(1, 9, 3, 6, dtype=torch.float64)
    q[0, 4, :, :3], q[0, 5, :, :3] = small[:, :3], 1 - small[:, :3]  # of the two cells, the left one
    q[0, 3, :, 3:], q[0, 4, :, 3:] = small[:, 3:], 1 - small[:, 3:]
    q.requires_grad_()
    values = (loss(Superpixels(q, 3), features, position_weight=0.1), naive(q, features, 3, 0.1)[0])
    found, expected = (torch.autograd.grad(value, q)[0] for value in values)
    torch.testing.assert_close(found[:, 3:6], expected[:, 3:6])


def test_the_value_does_not_depend_on_the_resolution() -> None:
    values = []
    for cell_size in (8, 16, 32):
        size = 6 * cell_size
        q = torch.zeros(1, 9, size, size)
        q[:, 4] = 1
        ramp = torch.linspace(0, 1, size).expand(1, 1, size, size)
        values.append(loss(Superpixels(q, cell_size), ramp).item())
    assert values == pytest.approx([values[0]] * 3, rel=0.02)


def test_gradient_descent_finds_the_edge() -> None:
    """An edge beside the border of the cells: associations learn to follow it, from labels and from colours."""
    labels = torch.zeros(1, 16, 32, dtype=torch.int64)
    labels[..., 13:] = 1
    inside = neighbours_inside(16, 32, 16, torch.device("cpu"))
    for features in (labels, labels[:, None].float()):
        logits = torch.zeros(1, 9, 16, 32)
        logits[:, 4] = 1
        logits.requires_grad_()
        optimizer = torch.optim.Adam([logits], lr=0.3)
        for _ in range(60):
            optimizer.zero_grad()
            loss(Superpixels(logits.masked_fill(~inside, -math.inf).softmax(1), 16), features).backward()
            optimizer.step()
        best = logits.detach().masked_fill(~inside, -math.inf).argmax(1)
        superpixel = torch.arange(32) // 16 + best % 3 - 1
        assert set(superpixel[labels == 0].tolist()).isdisjoint(superpixel[labels == 1].tolist())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    q, maps = association(1, 32, 32, 8).to(dtype), torch.rand(1, 3, 32, 32)
    found = loss(Superpixels(q, 8), maps.to(dtype))
    assert found.dtype == torch.float32
    assert found == loss(Superpixels(q.float(), 8), maps.to(dtype).float())
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(Superpixels(q.float(), 8), maps).dtype == torch.float32


def test_compiles_as_one_graph() -> None:
    q, labels = association(2, 12, 10, 4).float(), torch.randint(0, 3, (2, 12, 10))
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    superpixels = Superpixels(q, 4)
    torch.testing.assert_close(compiled(superpixels, labels, num_classes=3), loss(superpixels, labels, num_classes=3))


def test_devices(device: str) -> None:
    q, maps, labels = association(2, 12, 10, 4), torch.rand(2, 3, 12, 10).double(), torch.randint(0, 3, (2, 12, 10))
    for features in (maps, labels):
        found = loss(Superpixels(q.to(device), 4), features.to(device))
        torch.testing.assert_close(found.cpu(), loss(Superpixels(q, 4), features))


GOOD = {
    "superpixels": torch.eye(9)[4][None, :, None, None].expand(1, 9, 4, 4),
    "target": torch.rand(1, 3, 4, 4),
}


@pytest.mark.parametrize(
    ("argument", "error", "message"),
    [
        ({"superpixels": [1.0]}, TypeError, r"superpixels must be Superpixels\(assignment, cell_size\)"),
        (
            {"superpixels": torch.zeros(1, 9, 4, 4, dtype=torch.int64)},
            ValueError,
            "assignment must be soft .* floating point",
        ),
        (
            {"superpixels": torch.rand(9, 4, 4)},
            ValueError,
            r"assignment must be soft \(N, 9, H, W\), got shape \(9, 4, 4\)",
        ),
        (
            {"superpixels": torch.rand(1, 9, 0, 4)},
            ValueError,
            r"assignment must be soft \(N, 9, H, W\), got shape \(1, 9, 0, 4\)",
        ),
        (
            {"superpixels": torch.rand(1, 8, 4, 4)},
            ValueError,
            r"assignment must be soft \(N, 9, H, W\), got shape \(1, 8, 4, 4\)",
        ),
        (
            {"superpixels": torch.full((1, 9, 4, 4), math.nan)},
            ValueError,
            "assignment must add up to 1 .* got nan",
        ),
        ({"superpixels": torch.full((1, 9, 4, 4), 0.2)}, ValueError, "assignment must add up to 1"),
        (
            {  # in a row that the check of their sum does not read
                "superpixels": torch.eye(9)[4][None, :, None, None]
                .repeat(1, 1, 8, 8)
                .index_fill(2, torch.tensor(1), math.nan),
                "target": torch.rand(1, 3, 8, 8),
            },
            ValueError,
            "superpixels.assignment must be finite, got NaN",
        ),
        ({"target": "rgb"}, TypeError, "target must be a tensor"),
        ({"target": torch.rand(1, 4, 4)}, ValueError, "target must be maps .* got torch.float32 of shape"),
        ({"target": torch.tensor(0.5)}, ValueError, r"target must be maps .* got torch.float32 of shape \(\)"),
        ({"target": torch.rand(1, 3, 1, 4, 4)}, ValueError, r"target must be maps .* of shape \(1, 3, 1, 4, 4\)"),
        ({"target": torch.rand(1)}, ValueError, r"target must be maps .* of shape \(1,\)"),
        ({"target": torch.tensor(1)}, ValueError, r"target must be maps .* got torch.int64 of shape \(\)"),
        ({"target": torch.zeros(1, 3, 4, 4, dtype=torch.int64)}, ValueError, r"integer labels \(1, 4, 4\)"),
        ({"target": torch.rand(1, 3, 4, 5)}, ValueError, r"target must be maps \(1, D, 4, 4\)"),
        ({"target": torch.rand(2, 3, 4, 4)}, ValueError, r"target must be maps \(1, D, 4, 4\)"),
        ({"target": torch.full((1, 3, 4, 4), math.inf)}, ValueError, "target must be finite"),
        ({"target": torch.full((1, 4, 4), 7), "num_classes": 3}, ValueError, r"classes in \[0, 3\)"),
        ({"target": torch.full((1, 4, 4), -1)}, ValueError, "target must hold classes >= 0"),
        ({"target": torch.zeros(1, 4, 4, dtype=torch.bool)}, TypeError, "must be an integer tensor, got torch.bool"),
        ({"position_weight": 0.0}, ValueError, "position_weight must be a finite number > 0"),
        (
            {"superpixels": Superpixels(torch.ones(1, 9, 4, 4) / 9, 0)},
            ValueError,
            "cell_size must be an integer >= 1, got 0",
        ),
        ({"reduction": "max"}, ValueError, "reduction must be one of"),
    ],
)
def test_errors_name_function_and_argument(argument: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"superpixel_reconstruction_loss: .*{message}"):
        arguments = GOOD | argument
        loss(**(arguments | {"superpixels": gridded(arguments["superpixels"])}))
