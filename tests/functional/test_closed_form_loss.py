"""closed_form_loss against a dense float64 oracle, in the ways that a training loop meets it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import oracle
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

import closedform_wsss
from closedform_wsss.functional import closed_form_loss, solve_matting
from closedform_wsss.laplacian import KINDS
from closedform_wsss.nn import ClosedFormLoss, RefineCAM, SoftSLIC

FORMS = ["residual", "energy"]


def problem(size=(8, 9), classes=3, n=2, dtype=torch.float64):
    image = torch.rand(n, 3, *size, dtype=dtype)
    logits = torch.randn(n, classes, *size, dtype=dtype)
    target = torch.where(torch.rand(n, *size) < 0.3, torch.randint(classes, (n, *size)), 255)
    return logits, target, image


@pytest.mark.filterwarnings("ignore:closed_form_loss. class_present should hold")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
@pytest.mark.parametrize("radius", [1, 2])
@pytest.mark.parametrize("laplacian", KINDS)
def test_agrees_with_the_definition(device, form, activation, radius, laplacian):
    logits, target, image = problem()
    weight, present = torch.tensor([0.5, 2.0, 1.0]), torch.tensor([[1, 1, 0], [1, 0, 1]]).bool()
    a = {"softmax": logits.softmax(1), "sigmoid": logits.sigmoid(), None: logits}[activation]
    expected = oracle.closed_form_loss(
        a.numpy(),
        target.numpy(),
        image.numpy(),
        form=form,
        eps=1e-4,
        radius=radius,
        kind=laplacian,
        weight=(weight * present).numpy(),
    )
    options = dict(form=form, kind=laplacian, activation=activation, radius=radius, eps=1e-4)
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        arguments = (logits.to(device, dtype), target.to(device), image.to(device))
        each = closed_form_loss(
            *arguments,
            **options,
            class_weight=weight.to(device),
            class_present=present.to(device),
            reduction="none",
        )
        assert each.dtype == dtype and each.shape == (2,)
        np.testing.assert_allclose(each.cpu().numpy(), expected, rtol=tolerance)
        for reduction in ("mean", "sum"):
            module = ClosedFormLoss(**options, class_weight=weight, reduction=reduction).to(device)
            value = module(*arguments, class_present=present.to(device))
            np.testing.assert_allclose(value.item(), getattr(expected, reduction)(), rtol=tolerance)


def test_the_papers_scaling():
    """mean over classes and pixels of r^2 = residual form * mark_weight / C, as the docstring says."""
    logits, target, image = problem(n=1)
    L = oracle.dense_laplacian(image[0].numpy())
    D, a = np.diag((target != 255).numpy().ravel() * 100.0), logits.softmax(1)[0].numpy().reshape(3, -1)
    r = [(L + D) @ a[c] - D @ (target == c).numpy().ravel() for c in range(3)]
    ours = ClosedFormLoss.paper()(logits, target, image) * 100 / 3
    np.testing.assert_allclose(ours.item(), np.mean(np.square(r)), rtol=1e-8)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("radius", [1, 2])
@pytest.mark.parametrize("laplacian", KINDS)
def test_gradients(form, radius, laplacian):
    logits, target, image = problem((5, 6), 2)

    def loss(v):
        options = dict(form=form, kind=laplacian, radius=radius, eps=1e-3, mark_weight=10)
        return closed_form_loss(v, target[: len(v)], image[: len(v)], **options)

    assert gradcheck(loss, logits.requires_grad_())
    assert gradgradcheck(loss, logits[:1].detach().requires_grad_())


@pytest.mark.parametrize("form", FORMS)
def test_least_at_the_closed_form_solution(form):
    _, target, image = problem((12, 13), n=1)
    alpha = solve_matting(target, image, num_classes=3, tol=1e-10, eps=1e-4).alpha
    alpha.requires_grad_()
    loss = closed_form_loss(alpha, target, image, form=form, activation=None, eps=1e-4)
    loss.backward()
    elsewhere = closed_form_loss(torch.full_like(alpha, 1 / 3), target, image, form=form, activation=None, eps=1e-4)
    assert alpha.grad.abs().max() < 1e-8
    assert loss < (1e-12 if form == "residual" else 0.1 * elsewhere)


@pytest.mark.parametrize("form", FORMS)
def test_size_depends_neither_on_resolution_nor_on_classes(form):
    """Smooth maps on a smooth image, the same share of marks: values of the same order, near 1."""
    values = []
    for size, classes in [(32, 2), (32, 21), (128, 2), (128, 21)]:
        ramp = torch.linspace(0, 1, size).expand(1, 3, size, size)
        target = torch.full((1, size, size), 255)
        target[:, size // 4 : size // 4 + size // 32, :] = 1
        zeros = torch.zeros(1, classes, size, size)
        values.append(closed_form_loss(zeros, target, ramp, form=form, scale=1).item())
    assert min(values) > 0.1 and max(values) < 10
    assert max(values) / min(values) < 2.5


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("classes", [2, 3])
def test_no_mark_at_all_leaves_a_zero_data_term_with_a_graph(form, classes):
    logits = torch.zeros(2, classes, 9, 10, requires_grad=True)
    loss = closed_form_loss(logits, torch.full((2, 9, 10), 255), torch.rand(2, 3, 9, 10), form=form)
    loss.backward()
    assert loss == 0 and (logits.grad == 0).all()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_empty_batch(reduction):
    logits = torch.zeros(0, 3, 8, 8, requires_grad=True)
    loss = closed_form_loss(
        logits,
        torch.zeros(0, 8, 8, dtype=torch.long),
        torch.zeros(0, 3, 8, 8),
        reduction=reduction,
        form="residual",
        eps=1e-7,
    )
    loss.sum().backward()
    assert loss.shape == ((0,) if reduction == "none" else ()) and loss.sum() == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 3)])
@pytest.mark.parametrize("form", FORMS)
def test_tiny_images(size, form):
    logits, target, image = problem(size)
    expected = oracle.closed_form_loss(
        logits.softmax(1).numpy(), target.numpy(), image.numpy(), form=form, eps=1e-4
    ).mean()
    assert closed_form_loss(logits, target, image, form=form, eps=1e-4, scale=1).item() == pytest.approx(
        expected, rel=1e-8
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    logits, target, image = problem(dtype=torch.float32)
    half = logits.to(dtype).requires_grad_()
    loss = closed_form_loss(half, target, image)
    loss.backward()
    assert loss.dtype == torch.float32 and half.grad.dtype == dtype and half.grad.isfinite().all()
    torch.testing.assert_close(loss, closed_form_loss(half.detach().float(), target, image))


def test_autocast():
    net = nn.Conv2d(3, 4, 3, padding=1)
    _, target, image = problem(classes=4, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = net(image)
        loss = closed_form_loss(logits, target, image)
    assert logits.dtype == torch.bfloat16 and loss.dtype == torch.float32
    loss.backward()
    assert net.weight.grad.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
def test_extreme_logits_are_finite(form):
    logits, target, image = problem(dtype=torch.float32)
    logits = (logits * 1e4).requires_grad_()
    loss = closed_form_loss(logits, target, image, form=form)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dynamic", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_compiles_in_one_graph(form, dynamic):
    compiled = torch.compile(closed_form_loss, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for size in ((8, 9), (11, 7)):
        logits, target, image = problem(size, dtype=torch.float32)
        logits.requires_grad_()
        ours = torch.autograd.grad(compiled(logits, target, image, form=form), logits)[0]
        eager = torch.autograd.grad(closed_form_loss(logits, target, image, form=form), logits)[0]
        torch.testing.assert_close(ours, eager)


def test_compiles_where_only_the_marks_have_any_number_of_images():
    logits, target, image = problem(dtype=torch.float32)
    torch._dynamo.maybe_mark_dynamic(target, 0)
    torch.compiler.reset()  # the number of graphs of one function is limited
    compiled = torch.compile(closed_form_loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(logits, target, image), closed_form_loss(logits, target, image))


def test_compiles_with_inductor():
    compiled = torch.compile(ClosedFormLoss(), fullgraph=True)
    logits, target, image = problem(dtype=torch.float32)
    torch.testing.assert_close(compiled(logits, target, image), closed_form_loss(logits, target, image))


def test_image_and_marks_follow_the_logits():
    logits, target, image = problem((8, 10), dtype=torch.float32)
    large_image = image.repeat_interleave(2, -1).repeat_interleave(2, -2)
    large_target = torch.full((2, 16, 20), 255)
    large_target[:, ::2, 1::2] = target  # one pixel of four: the votes keep it
    resized = torch.nn.functional.interpolate(
        large_image, (8, 10), mode="bilinear", align_corners=False, antialias=True
    )
    torch.testing.assert_close(
        closed_form_loss(logits, large_target, large_image),
        closed_form_loss(logits, target, resized),
    )
    small = closed_form_loss(logits, target[:, :4, :5], image[..., :4, :5])
    assert small.isfinite()


def test_uint8_images():
    logits, target, image = problem(dtype=torch.float32)
    integers = (image * 255).round().to(torch.uint8)
    torch.testing.assert_close(
        closed_form_loss(logits, target, integers),
        closed_form_loss(logits, target, integers.float() / 255),
    )


def test_strided_logits():
    logits, target, image = problem(dtype=torch.float32)
    expected = closed_form_loss(logits, target, image)
    for view in (logits.to(memory_format=torch.channels_last), logits.repeat_interleave(2, 1)[:, ::2]):
        torch.testing.assert_close(closed_form_loss(view, target.mT.contiguous().mT, image), expected)


def test_target_may_be_any_integer_type():
    logits, target, image = problem(dtype=torch.float32)
    expected = closed_form_loss(logits, target, image)
    for dtype in (torch.uint8, torch.int32, torch.int16):
        torch.testing.assert_close(closed_form_loss(logits, target.to(dtype), image), expected)
    moved = torch.where(target == 255, -100, target)
    torch.testing.assert_close(closed_form_loss(logits, moved, image, ignore_index=-100), expected)


LOGITS, TARGET, IMAGE = problem(n=1, dtype=torch.float32)


def wrong_label(value):
    target = TARGET.clone()
    target[0, 2, 3] = value
    return target


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"logits": LOGITS[0]}, ValueError, r"logits must be \(N, C, H, W\), got shape \(3, 8, 9\)"),
        ({"logits": LOGITS.long()}, TypeError, r"logits must be floating point, got torch.int64"),
        ({"logits": LOGITS * torch.nan}, ValueError, r"logits must be finite, got NaN values"),
        ({"logits": LOGITS.numpy()}, TypeError, r"logits must be a tensor \(N, C, H, W\), got ndarray$"),
        ({"logits": {"out": LOGITS}}, TypeError, r'logits must be a tensor \(N, C, H, W\), got dict: pass its "out"$'),
        (
            {"logits": SimpleNamespace(logits=LOGITS)},
            TypeError,
            r"logits must be .*, got SimpleNamespace: pass its logits$",
        ),
        ({"logits": LOGITS.repeat(2, 1, 1, 1)}, ValueError, r"logits and image .* batch size, got 2 and 1"),
        (
            {"target": TARGET[0]},
            ValueError,
            r"target must be \(N, H, W\) with N = 1 images, got shape \(8, 9\)",
        ),
        ({"target": TARGET[:, None]}, ValueError, r"target must be \(N, H, W\).*got shape \(1, 1, 8, 9\)"),
        (
            {"target": TARGET.float()},
            TypeError,
            r"target must be an integer tensor, got torch.float32: pass target.long\(\), or .* if ToTensor divided it",
        ),
        ({"target": TARGET == 0}, TypeError, r"target must be an integer tensor, got torch.bool$"),
        (
            {"target": wrong_label(3)},
            ValueError,
            r"target must hold classes in \[0, 3\) or ignore_index 255, got \[3\]",
        ),
        ({"target": wrong_label(-1)}, ValueError, r"target must hold .* got \[-1\]"),
        ({"target": TARGET.to("meta")}, ValueError, r"target must be on the image's device cpu, got meta"),
        (
            {"image": torch.rand(1, 24, 32, 3)},
            ValueError,
            r"image must be .* got shape \(1, 24, 32, 3\) with the channels last",
        ),
        ({"image": IMAGE[:, :, :0]}, ValueError, r"image must be \(N, D, H, W\) .*, got shape \(1, 3, 0, 9\)"),
        ({"target": TARGET[:, :0]}, ValueError, r"target must be \(N, H, W\).*got shape \(1, 0, 9\)"),
        ({"class_weight": [1, 1, 1]}, TypeError, r"class_weight must be a tensor, got list"),
        ({"class_present": [[1, 1, 1]]}, TypeError, r"class_present must be a tensor, got list"),
        ({"image": IMAGE[0]}, ValueError, r"image must be \(N, D, H, W\) in \[0, 1\], got shape \(3, 8, 9\)"),
        (
            {"image": IMAGE * 255},
            ValueError,
            r"image must be in \[0, 1\], got values .*divide by 255, or pass uint8",
        ),
        ({"image": IMAGE * 4 - 2}, ValueError, r"image must be in \[0, 1\].*before mean/std normalisation"),
        ({"image": IMAGE * torch.nan}, ValueError, r"image must be in \[0, 1\], got NaN"),
        (
            {"image": IMAGE.int()},
            TypeError,
            r"image must be floating point in \[0, 1\] or uint8, got torch.int32",
        ),
        ({"ignore_index": 0}, ValueError, r"ignore_index must not be a class, got 0 with 3 classes"),
        ({"eps": -1.0}, ValueError, r"eps must be a finite number > 0, got -1.0"),
        ({"mark_weight": -1.0}, ValueError, r"mark_weight must be a finite number >= 0, got -1.0"),
        ({"radius": 5}, ValueError, r"radius must leave a window .* image of 8 x 9"),
        ({"form": "levin"}, ValueError, r"form must be one of 'energy', 'residual', got 'levin'"),
        (
            {"activation": "relu"},
            ValueError,
            r"activation must be one of 'softmax', 'sigmoid', None, got 'relu'",
        ),
        ({"reduction": "avg"}, ValueError, r"reduction must be one of 'mean', 'sum', 'none', got 'avg'"),
        (
            {"class_weight": torch.ones(4)},
            ValueError,
            r"class_weight must be \(C,\) = \(3,\), got shape \(4,\)",
        ),
        ({"class_weight": -torch.ones(3)}, ValueError, r"class_weight must be >= 0 and finite, got"),
        (
            {"class_present": torch.ones(3)},
            ValueError,
            r"class_present must be \(N, C\) = \(1, 3\), got shape \(3,\)",
        ),
        ({"class_present": torch.full((1, 3), 2)}, ValueError, r"class_present must be bool or in \[0, 1\]"),
    ],
)
def test_bad_input(changes, error, message):
    arguments = {"logits": LOGITS, "target": TARGET, "image": IMAGE} | changes
    with pytest.raises(error, match="closed_form_loss: " + message):
        closed_form_loss(**arguments)


def test_value_checks_can_be_switched_off():
    closedform_wsss.set_value_checks(False)
    try:
        assert closed_form_loss(LOGITS * torch.nan, TARGET, IMAGE).isnan()
    finally:
        closedform_wsss.set_value_checks(None)


def test_repr_names_the_options():
    for module, chosen in ((ClosedFormLoss, "activation"), (RefineCAM, "level"), (SoftSLIC, "color_space")):
        assert f"{chosen}=None" in repr(module(**{chosen: None})) and "None" not in repr(module())
    assert repr(ClosedFormLoss(form="energy", eps=1e-5)) == (
        "ClosedFormLoss(form='energy', mark_weight=100.0, eps=1e-05, "
        "activation='softmax', ignore_index=255, reduction='mean')"
    )


def test_teaches_a_map():
    """Gradient descent on the loss alone takes a map to the closed-form solution."""
    image = torch.zeros(1, 3, 12, 16)
    image[..., 8:] = 1
    target = torch.full((1, 12, 16), 255)
    target[0, 6, 2], target[0, 6, 13] = 0, 1
    logits = torch.zeros(1, 2, 12, 16, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.1)
    for _ in range(200):
        optimiser.zero_grad()
        closed_form_loss(logits, target, image, form="energy", eps=1e-4).backward()
        optimiser.step()
    assert (logits.argmax(1)[0, :, 8:] == 1).all() and (logits.argmax(1)[0, :, :8] == 0).all()


def test_integers_of_numpy_are_integers() -> None:
    image, target = torch.rand(1, 3, 6, 7), torch.full((1, 6, 7), 254)
    target[0, 2] = 1
    logits = torch.randn(1, 2, 6, 7)
    loss = closed_form_loss(logits, target, image, ignore_index=np.int64(254))
    assert torch.equal(loss, closed_form_loss(logits, target, image, ignore_index=254))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("radius", [1, 2])
def test_without_a_target_no_pixel_is_marked(form, radius):
    logits, target, image = problem()
    expected = closed_form_loss(logits, torch.full_like(target, 255), image, form=form, radius=radius)
    assert closed_form_loss(logits, None, image, form=form, radius=radius) == expected > 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"form": "levin"}, ValueError, "form must be one of"),
        ({"kind": "knn"}, ValueError, "kind must be one of"),
        ({"mark_weight": 0, "form": "residual"}, ValueError, "mark_weight must be a finite number > 0"),
        ({"eps": -1.0}, ValueError, "eps must be a finite number > 0"),
        ({"radius": 0}, ValueError, "radius must be an integer >= 1"),
        ({"scale": 0.4}, ValueError, "scale must be 1, 1/2, 1/3, 1/4 ..., got 0.4"),
        ({"scale": 2}, ValueError, "scale must be 1, 1/2"),
        ({"scale": 0}, ValueError, "scale must be a finite number > 0"),
        ({"activation": "relu"}, ValueError, "activation must be one of"),
        ({"ignore_index": 2.5}, TypeError, "ignore_index must be an integer"),
        ({"reduction": "max"}, ValueError, "reduction must be one of"),
    ],
)
def test_the_module_checks_its_options_when_it_is_made(options, error, message):
    with pytest.raises(error, match=f"ClosedFormLoss: {message}"):
        ClosedFormLoss(**options)
