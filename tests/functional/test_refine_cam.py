"""Refined CAMs and averaged views: on hard inputs, errors."""

import sys

import pytest
import torch
import torch.nn.functional as F
from helpers.pictures import photo

from closedform_wsss import _ops, functional
from closedform_wsss._resize import resize_image
from closedform_wsss.cams.methods import REFINERS
from closedform_wsss.functional import ConvergenceWarning, asam, matting_filter, refine_cam, soft_slic
from closedform_wsss.io import from_array


def disk(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture with a bright disk, and a smooth map that is high on it and weak all over."""
    y, x = torch.meshgrid(torch.arange(size) - size / 2, torch.arange(size) - size / 2, indexing="ij")
    inside = (x**2 + y**2).sqrt() < size / 4
    image = from_array(photo(size, size)) / 255 * 0.3
    image = image + 0.6 * inside
    cam = torch.exp(-((x + 4) ** 2 + y**2) / (2 * (size / 3.5) ** 2))
    return image[None].clamp(0, 1), F.avg_pool2d(cam[None, None], 8), inside


def iou(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a & b).sum() / (a | b).sum()).item()


def test_refined_cam_finds_the_object():
    image, cam, inside = disk(128)
    raw = F.interpolate(cam, (128, 128), mode="bilinear")[0, 0] > 0.4
    refined = refine_cam(cam, image)
    assert refined.shape == (1, 1, 128, 128)
    assert iou(raw, inside) < 0.65  # at this threshold the raw map spills over
    assert iou(refined[0, 0] > 0.4, inside) > 0.9


HARD = {
    "one pixel": (1, 1),
    "one pixel wide": (1, 40),
    "one pixel high": (40, 1),
    "odd": (33, 47),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size(name, channels):
    image, cam = torch.rand(2, channels, *HARD[name]), torch.rand(2, 3, 3, 5)
    out = refine_cam(cam, image)
    assert out.shape == (2, 3, *HARD[name]) and out.dtype == torch.float32
    assert torch.isfinite(out).all() and out.min() >= 0 and out.max() <= 1


@pytest.mark.parametrize(("fidelity", "largest"), [(0.1, 0.04), (3e-3, 0.04), (9e-4, 0.01), (1e-4, 0.01)])
def test_the_filter_is_exact_enough(fidelity, largest):
    """In steps, or until a tolerance of 0.03 where these would be too many; the error is a third of it or less."""
    image = from_array(photo(120, 160))[None] / 255
    quarter = resize_image(image, (30, 40)).clamp(0, 1).double()
    cam = torch.rand(1, 12, 6, 8)
    out = refine_cam(cam, image, num_iters=0, fidelity=fidelity, level=None)
    start = F.interpolate(cam, (30, 40), mode="bilinear")
    exact = matting_filter(start.double(), quarter, fidelity=fidelity, tol=1e-6).clamp(0, 1)
    error = (out - F.interpolate(exact, (120, 160), mode="bilinear")).abs().max()
    assert error < largest < (start - exact).abs().max() / 3


@pytest.mark.parametrize(("fidelity", "steps"), [(0.03, [35]), (3e-3, [110]), (1e-3, [190]), (1e-4, [])])
def test_the_filter_takes_fixed_steps_unless_they_are_many(fidelity, steps, monkeypatch):
    taken, chebyshev = [], _ops.matting_chebyshev
    monkeypatch.setattr(_ops, "matting_chebyshev", lambda *args: taken.append(args[-1]) or chebyshev(*args))
    refine_cam(torch.rand(1, 2, 5, 7), torch.rand(1, 3, 40, 56), fidelity=fidelity)
    assert taken == steps


@pytest.mark.parametrize(("size", "steps"), [((96, 144), 6), ((192, 288), 24), ((384, 576), 96), ((8, 8), 1)])
def test_superpixel_steps_follow_the_area(size, steps, monkeypatch):
    """Twice the size is four times the superpixels, across which values must spread."""
    taken, run = [], _ops.asam_steps
    monkeypatch.setattr(_ops, "asam_steps", lambda *args: taken.append(args[2]) or run(*args))
    refine_cam(torch.rand(1, 2, 5, 7), torch.rand(1, 3, *size))
    assert taken == [steps]


def test_an_image_is_refined_alike_at_any_size():
    image, cam, inside = disk(64)
    small = refine_cam(cam, image)
    for scale in (2, 6):
        large = refine_cam(cam, F.interpolate(image, scale_factor=scale, mode="bicubic").clamp(0, 1))
        assert iou(large[0, 0, ::scale, ::scale] > 0.4, inside) > iou(small[0, 0] > 0.4, inside) - 0.05


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_flat_images_and_constant_maps(value):
    for image in (torch.zeros(1, 3, 24, 24), torch.full((1, 3, 24, 24), 0.5), torch.rand(1, 3, 24, 24)):
        out = refine_cam(torch.full((1, 2, 4, 4), value), image, level=None)
        torch.testing.assert_close(out, torch.full((1, 2, 24, 24), value), rtol=0, atol=1e-5)
        assert torch.isfinite(refine_cam(torch.full((1, 2, 4, 4), value), image)).all()


def test_dtypes_and_empty_batches():
    image, cam = torch.rand(1, 3, 40, 40), torch.rand(1, 2, 5, 5)
    expected = refine_cam(cam, image)
    assert refine_cam(cam.double(), image).dtype == torch.float64
    half = refine_cam(cam.half(), image)
    assert half.dtype == torch.float32 and (half - expected).abs().mean() < 0.02
    byte = (image * 255).round().byte()
    torch.testing.assert_close(refine_cam(cam, byte), refine_cam(cam, byte.float() / 255))
    assert refine_cam(cam[:0], image[:0]).shape == (0, 2, 40, 40)


@pytest.mark.parametrize("shape", [(0, 2, 5, 5), (1, 0, 5, 5), (1, 0, 40, 40), (1, 0, 0, 0), (1, 2, 0, 5)])
def test_empty_maps(shape):
    cam = torch.rand(shape, requires_grad=True)
    out = refine_cam(cam, torch.rand(shape[0], 3, 40, 40))
    assert out.shape == (*shape[:2], 40, 40) and out.dtype == torch.float32 and not out.any()
    out.sum().backward()


def test_gradients_flow():
    image, cam = torch.rand(1, 3, 24, 24), torch.rand(1, 2, 6, 6, requires_grad=True)
    refine_cam(cam, image).sum().backward()
    assert torch.isfinite(cam.grad).all() and (cam.grad != 0).any()


@pytest.mark.parametrize("method", REFINERS)
def test_methods_of_the_command(method):
    image = from_array(photo(50, 70))[None]
    cam = torch.rand(1, 2, 7, 9)
    out = REFINERS[method](image, cam)
    assert out.shape == (1, 2, 50, 70) and out.min() >= 0 and out.max() <= 1
    assert torch.equal(out, REFINERS[method](image, cam))
    nothing = REFINERS[method](image, torch.zeros(1, 2, 7, 9))
    assert nothing.max() == 0
    assert torch.isfinite(REFINERS[method](image, torch.full((1, 1, 7, 9), 0.3))).all()


def test_a_square_cam_as_high_as_half_the_image():
    image, cam = torch.rand(1, 3, 32, 48), torch.rand(1, 2, 16, 16)
    for name, method in REFINERS.items():
        assert method(image, cam).shape == (1, 2, 32, 48), name


def test_dense_crf_method():
    image, cam, inside = disk(64)
    byte = (image * 255).round().byte()
    refined = REFINERS["dense-crf"](byte, cam)[0, 0]
    raw = F.interpolate(cam, (64, 64), mode="bilinear")
    assert iou(refined > 0.4, inside) > iou(raw[0, 0] > 0.4, inside) + 0.1
    scores = torch.cat([(1 - raw) ** 2, raw], 1)
    q = functional.dense_crf(scores / scores.sum(1, keepdim=True), byte)[0].double()
    torch.testing.assert_close(refined.double(), 1 / (1 + (q[0] / q[1]) ** 0.1), rtol=0, atol=1e-5)


def test_average_views():
    image, x = torch.rand(1, 3, 32, 48), torch.rand(1, 2, 8, 12)

    def refine(maps, view):
        assert maps.shape[-2:] == view.shape[-2:]
        return asam(maps, soft_slic(view, cell_size=8), num_iters=3)

    full = F.interpolate(x, (32, 48), mode="bilinear")
    own = refine(full, image)
    torch.testing.assert_close(functional.test_time_augmentation(refine, x, image), own)
    mirrored = refine(full.flip(-1), image.flip(-1)).flip(-1)
    torch.testing.assert_close(functional.test_time_augmentation(refine, x, image, flip=True), (own + mirrored) / 2)
    half = F.interpolate(image, (16, 24), mode="bilinear", antialias=True)
    small = F.interpolate(refine(F.interpolate(x, (16, 24), mode="bilinear"), half), (32, 48), mode="bilinear")
    torch.testing.assert_close(functional.test_time_augmentation(refine, x, image, scales=(0.5, 1)), (own + small) / 2)


@pytest.mark.parametrize("of_x", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("of_image", [torch.uint8, torch.float32, torch.float64])
def test_averaged_views_are_as_precise_as_the_maps(of_x, of_image):
    x, image = torch.rand(1, 2, 16, 24, dtype=torch.float64), torch.rand(1, 3, 16, 24)
    seen = []

    def refine(maps, view):
        seen.append((maps.dtype, view.dtype))
        return maps

    image = (image * 255).to(of_image) if of_image == torch.uint8 else image.to(of_image)
    found = functional.test_time_augmentation(refine, x.to(of_x), image)
    wanted = torch.float64 if of_x == torch.float64 else torch.float32
    assert found.dtype == wanted and seen == [(wanted, wanted)]
    assert torch.equal(found, x.to(of_x).to(wanted))
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        as_dtype = functional.test_time_augmentation(lambda m, _, dtype=dtype: m.to(dtype), x.to(of_x), image)
        assert as_dtype.dtype == wanted


def test_a_function_that_writes_into_its_arguments_may_be_augmented() -> None:
    x, image = torch.rand(1, 2, 4, 6), torch.rand(1, 3, 8, 12)
    kept = x.clone(), image.clone()
    found = functional.test_time_augmentation(lambda m, i: m.mul_(0.5).add_(i.mul_(2)[:, :1]), x, image, flip=True)
    expected = functional.test_time_augmentation(lambda m, i: m * 0.5 + i[:, :1] * 2, x, image, flip=True)
    assert torch.equal(found, expected) and torch.equal(x, kept[0]) and torch.equal(image, kept[1])


def test_views_of_images_without_classes_are_averaged():
    x, image = torch.rand(2, 0, 4, 6), torch.rand(2, 3, 8, 12)
    found = functional.test_time_augmentation(lambda m, _: m, x, image, scales=(0.5, 1.0), flip=True)
    assert found.shape == (2, 0, 8, 12)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda x: x[:1], "the result of refine and x must have the same batch size, got 1 and 2"),
        (lambda x: x[:, :1], r"the result of refine must be maps of the 3 classes of x, .* got shape \(2, 1, 16, 24\)"),
        (lambda x: x[0], r"the result of refine must be \(N, C, H, W\), got shape \(3, 16, 24\)"),
        (lambda x: x.argmax(1, keepdim=True), "the result of refine must be floating point, got torch.int64"),
        (lambda x: x[..., :0], "the result of refine must be .* with H and W >= 1"),
        (lambda x: (x,), r"the result of refine must be a tensor \(N, C, H, W\), got tuple"),
        (lambda x: None, r"the result of refine must be a tensor \(N, C, H, W\), got NoneType"),
    ],
)
def test_averaged_views_must_be_maps_like_the_input(result, message):
    """Not what broadcasting makes of others: the first image's result for all of the batch."""
    with pytest.raises((TypeError, ValueError), match=f"test_time_augmentation: {message}"):
        functional.test_time_augmentation(lambda x, _: result(x), torch.rand(2, 3, 8, 12), torch.rand(2, 3, 16, 24))


IMAGE, CAM = torch.rand(1, 3, 16, 16), torch.rand(1, 2, 4, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: refine_cam(CAM[0], IMAGE), r"refine_cam: cam must be \(N, C, H, W\)"),
        (lambda: refine_cam(CAM, IMAGE * 255), r"refine_cam: image must be in \[0, 1\]"),
        (lambda: refine_cam(CAM * torch.nan, IMAGE), r"refine_cam: cam must be in \[0, 1\], got NaN"),
        (lambda: refine_cam(CAM, IMAGE[:, :2]), "refine_cam: image must have 1 or 3 channels"),
        (lambda: refine_cam(CAM, IMAGE, fidelity=0), "refine_cam: fidelity must be a finite number > 0"),
        (lambda: refine_cam(CAM, IMAGE, num_iters=-1), "refine_cam: num_iters must be an integer >= 0"),
        (lambda: refine_cam(CAM, IMAGE, level=1.0), r"refine_cam: level must be a number in \(0, 1\), got 1.0"),
        (
            lambda: functional.test_time_augmentation(asam, CAM, IMAGE, scales=()),
            "test_time_augmentation: scales must hold at least one number",
        ),
        (
            lambda: functional.test_time_augmentation(asam, CAM, IMAGE, scales=(0.0,)),
            "scales must be a finite number > 0",
        ),
        (lambda: functional.test_time_augmentation(asam, CAM, IMAGE, flip="no"), "flip must be one of True, False"),
    ],
)
def test_errors(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_a_warning_names_the_function_and_an_option_that_it_has(monkeypatch):
    monkeypatch.setattr(sys.modules[refine_cam.__module__], "MAX_ITER", 1)
    cam = torch.rand(1, 2, 8, 8, requires_grad=True)
    with pytest.warns(ConvergenceWarning, match="^refine_cam: stopped .*: raise fidelity$"):
        refined = refine_cam(cam, torch.rand(1, 3, 64, 64), fidelity=1e-5, num_iters=0)
    with pytest.warns(ConvergenceWarning, match="^refine_cam: stopped .*: raise fidelity$"):
        refined.sum().backward()


def test_public_names():
    for name in ("test_time_augmentation", "calibrate_cam", "refine_cam", "matting_filter", "asam", "soft_slic"):
        assert name in functional.__all__
