"""Images of any number of channels, such as several windows of a CT slice: what docs/medical.rst says of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.oracle import dense_laplacian

from closedform_wsss import MattingLaplacian, functional, nn
from closedform_wsss.training import PseudoLabeler, SelfTrainingLoss

SIZE = (18, 20)
MARKS = torch.full((2, *SIZE), 255)
MARKS[:, 2, 2:15], MARKS[:, 14, 3:18] = 0, 1
CHANNELS = [1, 2, 9]  # the preconditioner of tiles takes 8


def logits() -> torch.Tensor:
    return torch.randn(2, 2, *SIZE, requires_grad=True)


LOSSES = {
    "closed_form_loss": lambda image: functional.closed_form_loss(logits(), MARKS, image),
    "mark_loss": lambda image: functional.mark_loss(logits(), MARKS, image),
    "SelfTrainingLoss": lambda image: SelfTrainingLoss(2, 9)(logits(), MARKS, image),
    "ClosedFormLoss, residual": lambda image: nn.ClosedFormLoss.paper()(logits(), MARKS, image),
}


@pytest.mark.parametrize(("channels", "kind"), [*((c, "closed_form") for c in CHANNELS), (2, "learning_based")])
def test_solver_and_filter(channels, kind):
    image = torch.rand(2, channels, *SIZE, dtype=torch.float64)
    alpha = functional.solve_matting(MARKS, image, kind=kind, eps=1e-3, tol=1e-6).alpha
    probs = torch.rand(2, 3, *SIZE, dtype=torch.float64).softmax(1)
    smooth = functional.matting_filter(probs, image, kind=kind, eps=1e-3, fidelity=0.03, tol=1e-7)
    for n in range(2):
        L = dense_laplacian(image[n].numpy(), 1e-3, 1, kind)
        D = 100 * np.diag((MARKS[n] != 255).double().numpy().ravel())
        s = np.stack([(MARKS[n] == c).double().numpy().ravel() for c in range(2)], 1)
        np.testing.assert_allclose(alpha[n].reshape(2, -1).T.numpy(), np.linalg.solve(L + D, D @ s), atol=1e-4)
        x = probs[n].reshape(3, -1).T.numpy()
        expected = np.linalg.solve(L + 0.03 * np.eye(len(L)), 0.03 * x)
        np.testing.assert_allclose(smooth[n].reshape(3, -1).T.numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("channels", CHANNELS)
def test_equal_channels_are_one_grey_image(channels):
    """D equal channels are one whose contrast is sqrt(D) times as large: eps in proportion gives the same."""
    grey = torch.rand(2, 1, *SIZE, dtype=torch.float64)
    one = functional.solve_matting(MARKS, grey, eps=1e-3, tol=1e-7).alpha
    several = functional.solve_matting(MARKS, grey.expand(-1, channels, -1, -1), eps=1e-3 * channels, tol=1e-7).alpha
    torch.testing.assert_close(several, one, rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", LOSSES)
def test_losses(channels, name):
    loss = LOSSES[name](torch.rand(2, channels, *SIZE))
    loss.backward()
    assert loss.isfinite()


@pytest.mark.parametrize("channels", CHANNELS)
def test_refined_predictions_and_rounds(channels, tmp_path):
    image = torch.rand(2, channels, *SIZE)
    refined = functional.refine_prediction(torch.rand(2, 2, *SIZE).softmax(1), image, MARKS)
    torch.testing.assert_close(refined.sum(1), torch.ones(2, *SIZE))
    labeler = PseudoLabeler(tmp_path, num_classes=2)
    labeler.update(lambda x: torch.rand(len(x), 2, *x.shape[2:]), [(str(k), image[k], MARKS[k]) for k in range(2)])
    assert labeler.get("1", MARKS[1]).shape == SIZE


@pytest.mark.parametrize("channels", CHANNELS)
def test_dense_crf(channels):
    sharp = functional.dense_crf(torch.rand(2, 3, *SIZE).softmax(1), torch.rand(2, channels, *SIZE))
    torch.testing.assert_close(sharp.sum(1), torch.ones(2, *SIZE))


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_operator(channels):
    image = torch.rand(1, channels, *SIZE, dtype=torch.float64)
    x = torch.rand(1, 1, *SIZE, dtype=torch.float64)
    expected = dense_laplacian(image[0].numpy(), 1e-4) @ x.flatten().numpy()
    np.testing.assert_allclose((MattingLaplacian(image, eps=1e-4) @ x).flatten().numpy(), expected, atol=1e-9)
