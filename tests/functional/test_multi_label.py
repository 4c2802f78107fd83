import numpy as np
import pytest
import torch

from closedform_wsss.functional import classes_present, closed_form_loss, multi_label_loss
from closedform_wsss.nn import MultiLabelHead


def test_classes_present():
    target = torch.tensor([[[0, 2], [2, 255]], [[255, 255], [255, 255]]])
    assert classes_present(target, 4).tolist() == [[True, False, True, False], [False] * 4]
    assert classes_present(torch.where(target == 255, -1, target), 4, ignore_index=-1).tolist()[0][2]
    with pytest.raises(ValueError, match=r"classes_present: target must hold classes in \[0, 2\)"):
        classes_present(target, 2)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_multi_label_loss_is_binary_cross_entropy(reduction):
    logits, present = torch.randn(4, 5, dtype=torch.float64), torch.rand(4, 5) < 0.5
    p = logits.sigmoid()
    expected = -(present * p.log() + ~present * (1 - p).log())
    expected = expected if reduction == "none" else getattr(expected, reduction)()
    torch.testing.assert_close(multi_label_loss(logits, present, reduction=reduction), expected)


def test_multi_label_loss_hard_input():
    assert multi_label_loss(torch.full((1, 2), 1e4), torch.zeros(1, 2)).isfinite()
    assert multi_label_loss(torch.zeros(0, 2, requires_grad=True), torch.zeros(0, 2)) == 0
    with pytest.raises(ValueError, match=r"logits and class_present must both be \(N, C\)"):
        multi_label_loss(torch.zeros(2, 3), torch.zeros(2, 4))


def test_the_papers_loss():
    """L = L_cfm + beta L_mlc on one backbone: both parts reach it."""
    backbone = torch.nn.Conv2d(3, 8, 3, padding=1)
    segment, head = torch.nn.Conv2d(8, 3, 1), MultiLabelHead(8, 3)
    image = torch.rand(2, 3, 16, 16)
    target = torch.full((2, 16, 16), 255)
    target[:, 3, 3:9], target[:, 12, 3:9] = 0, 2
    present = classes_present(target, 3)
    features = backbone(image).relu()
    loss = closed_form_loss(segment(features), target, image, class_present=present)
    (loss + 0.1 * multi_label_loss(head(features), present)).backward()
    for module in (backbone, segment, head):
        assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_head_is_two_layers_on_the_mean_of_the_features():
    torch.manual_seed(0)
    head, features = MultiLabelHead(5, 3, hidden_channels=4).double(), torch.randn(2, 5, 6, 7, dtype=torch.float64)
    first, _, second = head.layers
    hidden = (features.numpy().mean((2, 3)) @ first.weight.detach().numpy().T + first.bias.detach().numpy()).clip(0)
    expected = hidden @ second.weight.detach().numpy().T + second.bias.detach().numpy()
    np.testing.assert_allclose(head(features).detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        (torch.rand(2, 5), ValueError, r"features must be \(N, C, H, W\), got shape \(2, 5\)"),
        (torch.rand(2, 4, 6, 7), ValueError, r"features must have 5 channels, got shape \(2, 4, 6, 7\)"),
        (torch.rand(2, 5, 0, 7), ValueError, r"features must be .* with H and W >= 1, got shape \(2, 5, 0, 7\)"),
        (torch.ones(2, 5, 6, 7, dtype=torch.int64), TypeError, "features must be floating point, got torch.int64"),
    ],
)
def test_features_that_are_none(features, error, message):
    with pytest.raises(error, match=f"MultiLabelHead: {message}"):
        MultiLabelHead(5, 3)(features)


def test_the_head_checks_its_options():
    for arguments, name in (((0, 3), "in_channels"), ((5, 0), "num_classes"), ((5, 3, 0), "hidden_channels")):
        with pytest.raises(ValueError, match=f"MultiLabelHead: {name} must be an integer >= 1, got 0"):
            MultiLabelHead(*arguments)
