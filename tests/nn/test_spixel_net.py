"""SpixelNet against a functional oracle with the published names, and its conventions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss._common.superpixel_grid import neighbours_inside
from closedform_wsss.nn import SpixelNet

CHANNELS = [16, 32, 64, 128, 256]


def published_state() -> dict[str, Tensor]:
    """Random weights with the names and shapes of the authors' checkpoints."""
    state: dict[str, Tensor] = {}

    def conv(name: str, inputs: int, outputs: int) -> None:
        state[f"{name}.0.weight"] = torch.randn(outputs, inputs, 3, 3) / (3 * inputs**0.5)
        for key in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.1.{key}"] = torch.rand(outputs) + 0.5
        state[f"{name}.1.num_batches_tracked"] = torch.tensor(300000)

    for level, channels in enumerate(CHANNELS):
        conv(f"conv{level}a", 3 if level == 0 else CHANNELS[level - 1], channels)
        conv(f"conv{level}b", channels, channels)
    for level in (3, 2, 1, 0):
        channels = CHANNELS[level]
        state[f"deconv{level}.0.weight"] = torch.randn(2 * channels, channels, 4, 4) / (4 * channels**0.5)
        state[f"deconv{level}.0.bias"] = torch.randn(channels)
        conv(f"conv{level}_1", 2 * channels, channels)
        state[f"pred_mask{level}.weight"] = torch.randn(9, channels, 3, 3) / channels
        state[f"pred_mask{level}.bias"] = torch.randn(9)
    return state


def oracle(state: dict[str, Tensor], image: Tensor) -> Tensor:
    """The network as a formula over the published names: logits of an image whose sizes 16 divides."""
    state = {key: value.double() for key, value in state.items()}

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        x = F.conv2d(x, state[f"{name}.0.weight"], stride=stride, padding=1)
        weight, bias, mean, var = (
            state[f"{name}.1.{key}"][:, None, None] for key in ("weight", "bias", "running_mean", "running_var")
        )
        return F.leaky_relu((x - mean) / (var + 1e-5).sqrt() * weight + bias, 0.1)

    x = image.double() - torch.tensor([0.411, 0.432, 0.45]).double()[:, None, None]
    skips = [conv(conv(x, "conv0a"), "conv0b")]
    for level in (1, 2, 3, 4):
        skips.append(conv(conv(skips[-1], f"conv{level}a", 2), f"conv{level}b"))
    x = skips[4]
    for level in (3, 2, 1, 0):
        wide = F.conv_transpose2d(
            x, state[f"deconv{level}.0.weight"], state[f"deconv{level}.0.bias"], stride=2, padding=1
        )
        x = conv(torch.cat([skips[level], F.leaky_relu(wide, 0.1)], 1), f"conv{level}_1")
    return F.conv2d(x, state["pred_mask0.weight"], state["pred_mask0.bias"], padding=1)


@pytest.mark.parametrize("wrapped", [False, True])
def test_published_weights_give_the_published_network(wrapped: bool) -> None:
    state, image = published_state(), torch.rand(2, 3, 48, 64)
    net = SpixelNet().double().eval()
    net.load_published({"epoch": 1, "state_dict": state} if wrapped else state)
    # Inside, where all nine neighbours exist, nothing is left out of the softmax.
    expected = oracle(state, image).softmax(1)[..., 16:-16, 16:-16]
    torch.testing.assert_close(net(image.double()).assignment[..., 16:-16, 16:-16], expected, atol=1e-6, rtol=1e-6)


def test_at_the_border_the_neighbours_inside_share_everything() -> None:
    state, image = published_state(), torch.rand(1, 3, 48, 48)
    net = SpixelNet().double().eval()
    net.load_published(state)
    own = oracle(state, image)[0, :, :16, :16].softmax(0)
    inside = [4, 5, 7, 8]  # own, right, below, below right of the first cell
    expected = torch.zeros_like(own)
    expected[inside] = own[inside] / own[inside].sum(0)
    torch.testing.assert_close(net(image.double()).assignment[0, :, :16, :16], expected, atol=1e-6, rtol=1e-6)


def test_weights_of_another_network_are_refused() -> None:
    state = published_state()
    del state["conv2b.1.running_mean"]
    with pytest.raises(RuntimeError, match=r"Missing key.*encoder\.2\.1\.1\.running_mean"):
        SpixelNet().load_published(state)


def naive_inside(height: int, width: int, cell_size: int) -> Tensor:
    rows, columns = -(-height // cell_size), -(-width // cell_size)
    inside = torch.zeros(9, height, width, dtype=torch.bool)
    for k in range(9):
        for y in range(height):
            for x in range(width):
                row, column = y // cell_size + k // 3 - 1, x // cell_size + k % 3 - 1
                inside[k, y, x] = 0 <= row < rows and 0 <= column < columns
    return inside


@pytest.mark.parametrize(("height", "width", "cell_size"), [(1, 1, 16), (5, 7, 2), (16, 1, 4), (9, 8, 1), (12, 33, 16)])
def test_neighbours_inside_against_a_loop(height: int, width: int, cell_size: int) -> None:
    found = neighbours_inside(height, width, cell_size, torch.device("cpu"))
    assert torch.equal(found, naive_inside(height, width, cell_size))


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (50, 35), (16, 16), (33, 64)])
@pytest.mark.parametrize("cell_size", [1, 8, 16])
def test_every_size_sums_to_one_inside_the_grid(size: tuple[int, int], cell_size: int, device: str) -> None:
    net = SpixelNet(cell_size=cell_size).eval().to(device)
    q = net(torch.rand(2, 3, *size, device=device)).assignment.detach().cpu()
    assert q.shape == (2, 9, *size)
    torch.testing.assert_close(q.sum(1), torch.ones(2, *size))
    assert ((q > 0) == naive_inside(*size, cell_size)).all()


def test_padding_does_not_change_what_is_far_from_it() -> None:
    # The receptive field reaches about 100 pixels; beyond it both see the same.
    net = SpixelNet().double().eval()
    image = torch.rand(1, 3, 16, 256).double()
    torch.testing.assert_close(net(image[..., :250]).assignment[..., :112], net(image).assignment[..., :112])


def test_the_border_is_repeated_up_to_a_multiple_of_16() -> None:
    net, image = SpixelNet(cell_size=8).eval(), torch.rand(1, 3, 40, 37)
    found = net(image).assignment
    repeated = net(F.pad(image, (0, 11, 0, 8), mode="replicate")).assignment
    # The cells of these pixels have all their neighbours in both images.
    torch.testing.assert_close(found[..., :32, :24], repeated[..., :32, :24], rtol=0, atol=1e-6)


def test_uint8_and_half_images_and_half_weights() -> None:
    image = (torch.rand(1, 3, 32, 32) * 255).to(torch.uint8)
    net = SpixelNet().eval()
    q = net(image).assignment
    torch.testing.assert_close(net(image.float() / 255).assignment, q)
    torch.testing.assert_close(net(image.half() / 255).assignment, q, atol=2e-2, rtol=0)
    low = net.to(torch.bfloat16)(image).assignment
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.sum(1), torch.ones(1, 32, 32))


def test_autocast_gives_float32() -> None:
    net = SpixelNet()
    with torch.autocast("cpu", torch.bfloat16):
        q = net(torch.rand(2, 3, 32, 48)).assignment
    assert q.dtype == torch.float32
    torch.testing.assert_close(q.sum(1), torch.ones(2, 32, 48))


def test_empty_batch() -> None:
    net = SpixelNet()
    for mode in (True, False):
        assert net.train(mode)(torch.rand(0, 3, 20, 30)).assignment.shape == (0, 9, 20, 30)


def test_every_parameter_gets_a_finite_gradient() -> None:
    net = SpixelNet()
    net(torch.rand(2, 3, 40, 40)).assignment.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_saves_and_loads_its_own_state() -> None:
    net, other, image = SpixelNet().eval(), SpixelNet().eval(), torch.rand(1, 3, 32, 32)
    other.load_state_dict(net.state_dict())
    assert torch.equal(net(image).assignment, other(image).assignment)
    assert "mean" not in net.state_dict()


def test_compiles_as_one_graph() -> None:
    net, image = SpixelNet().eval(), torch.rand(1, 3, 30, 40)
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(image), net(image))


def test_errors_and_repr() -> None:
    net = SpixelNet(cell_size=8)
    assert "cell_size=8" in repr(net)
    with pytest.raises(ValueError, match=r"SpixelNet: image must be \(N, 3, H, W\), got shape \(1, 4, 8, 8\)$"):
        net(torch.rand(1, 4, 8, 8))
    with pytest.raises(ValueError, match=r"got shape \(1, 1, 8, 8\): repeat a grey one"):
        net(torch.rand(1, 1, 8, 8))
    with pytest.raises(ValueError, match=r"SpixelNet: image must be in \[0, 1\]"):
        net(torch.rand(1, 3, 8, 8) * 255)
    for cell_size in (0, 8.0, True):
        with pytest.raises((TypeError, ValueError), match="SpixelNet: cell_size must be an integer >= 1"):
            SpixelNet(cell_size=cell_size)


def test_a_network_made_on_the_meta_device_is_complete_once_its_weights_are_loaded() -> None:
    """As large models are loaded: all that a forward pass needs is in the state."""
    net, image = SpixelNet().eval(), torch.rand(1, 3, 32, 48)
    with torch.device("meta"):
        again = SpixelNet().eval()
    again.load_state_dict(net.state_dict(), assign=True)
    assert torch.equal(again(image).assignment, net(image).assignment)
