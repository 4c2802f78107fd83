"""Refine the CAMs of a data set from Python."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import closedform_wsss
from closedform_wsss._checks import check_image, check_option, check_positive, check_probability
from closedform_wsss.cams.cues import CUES, Cue, as_cue, check_method
from closedform_wsss.cams.methods import DEFAULT, REFINERS
from closedform_wsss.cams.refined import (
    DEFAULT_THRESHOLD,
    RefineOptions,
    check_classes,
    refined_maps,
    write_results,
)
from closedform_wsss.io import from_array, read_image
from closedform_wsss.io._files.record import Caller, claim
from closedform_wsss.io._files.result_names import ResultNames, result_file
from closedform_wsss.io._maps.cams import checked_cam

FN = "refine_folder"
_SAMPLE = "(name, image, maps, classes) or (name, image, maps, classes, cues)"
KINDS = {"cams": ("cams",), "labels": ("labels",), "both": ("cams", "labels")}

Picture = str | os.PathLike[str] | Tensor | npt.NDArray[np.generic]
Maps = npt.ArrayLike | Tensor
Sample = tuple[str, Picture, Maps, Sequence[int]] | tuple[str, Picture, Maps, Sequence[int], Mapping[str, Cue]]


def refine_folder(
    samples: Iterable[Sample],
    folder: str | os.PathLike[str],
    *,
    method: str = DEFAULT,
    normalize: bool = False,
    threshold: float | None = None,
    power: float | None = None,
    margin: float = 0.0,
    write: str = "both",
    overwrite: bool = False,
) -> int:
    """Refine the CAMs of many images and write pseudo-labels, as ``closedform-wsss refine-cams`` does.

    For a loop that makes CAMs, with pytorch-grad-cam for example: a generator gives them one after the other, and
    nothing has to be stored before.

    Args:
        samples: (name, image, maps, classes) of each image: the name of its results, which may have folders in it; a
            file, a tensor ``(D, H, W)`` or an array ``(H, W, D)``, uint8 or in [0, 1], not normalised; ``(K, h, w)``
            maps of any size, or ``(h, w)`` of one class; and the K classes, numbers of a label map from 1 to 254. After
            them may come a dictionary of maps of other networks, "saliency", "boundaries" or both, each a grey image
            file, a tensor or an array ``(h, w)``, uint8 or in [0, 1], for
            :func:`~closedform_wsss.functional.refine_cam`.
        folder: For ``cams/NAME.npz`` and ``labels/NAME.png``. A name whose files are there is not refined again, so a
            loop that was stopped can be started again.
        method: "full" (default, :func:`~closedform_wsss.functional.refine_cam`) or another of the command's methods.
        normalize: Divide each map by its maximum. Default False: maps are in [0, 1].
        threshold: Pixels where no map exceeds it are background, in [0, 1]. Default 0.4, if there is no power.
        power: The background's score is (1 - largest map) to this power > 0. Give it or the threshold.
        margin: Label pixels 255 whose best score leads the second best by less, in [0, 1]. Default 0.
        write: "cams", "labels" or "both" (default).
        overwrite: Delete earlier results in the folder first.

    Returns:
        How many images were refined now.

    Raises:
        OSError: A file cannot be read or written.
        TypeError, ValueError: An option is out of range; the folder holds results that were made with other options; an
            image, its maps and its classes do not go together. The message names the sample.

    Example:
        >>> import pathlib, tempfile, torch
        >>> from closedform_wsss.cams import refine_folder
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> def samples():
        ...     for name in ("a", "b"):
        ...         yield name, torch.rand(3, 48, 64), torch.rand(2, 6, 8), [8, 15]
        >>> refine_folder(samples(), folder)
        2
        >>> sorted(path.name for path in (folder / "labels").iterdir())
        ['a.png', 'b.png']
    """
    check_option(FN, "method", method, tuple(REFINERS))
    check_option(FN, "write", write, tuple(KINDS))
    for name, flag in (("normalize", normalize), ("overwrite", overwrite)):
        check_option(FN, name, flag, (True, False))
    if threshold is not None and power is not None:
        raise ValueError(f"{FN}: threshold and power exclude each other, got {threshold} and {power}")
    if power is not None:
        check_positive(FN, "power", power)
    else:
        threshold = check_probability(FN, "threshold", DEFAULT_THRESHOLD if threshold is None else threshold)
    margin = check_probability(FN, "margin", margin)
    options = RefineOptions(method, normalize, "npz", threshold, power, margin)
    if not isinstance(samples, Iterable):
        raise TypeError(f"{FN}: samples must be an iterable of {_SAMPLE}, got {type(samples).__name__}")
    root, kinds = Path(folder), KINDS[write]
    made = {"closedform_wsss": closedform_wsss.__version__, "samples": "of Python"}
    claim(
        root / "refine-cams.json",
        {kind: {**made, **options.recorded(kind)} for kind in kinds},
        overwrite=overwrite,
        caller=Caller(f"{FN}: folder", "overwrite=True"),
    )
    refined, what, suffixes = 0, f"{FN}: names of samples", {"cams": ".npz", "labels": ".png"}
    names = ResultNames(what, tuple(suffixes.values()))
    for index, sample in enumerate(samples):
        try:
            name, image, cam, classes, *rest = sample
        except (TypeError, ValueError):
            count = f" of {len(sample)} parts" if isinstance(sample, Sequence) else ""
            raise ValueError(f"{FN}: samples[{index}] must be {_SAMPLE}, got {type(sample).__name__}{count}") from None
        if not isinstance(name, (str, os.PathLike)):
            raise TypeError(f"{what} must be texts, got {type(name).__name__} {name!r:.60}")
        name = os.fspath(name)
        names.add(name)
        results = {kind: result_file(what, root / kind, name, suffix) for kind, suffix in suffixes.items()}
        wanted = [results[kind] for kind in kinds]
        if all(path.exists() for path in wanted):
            continue
        try:
            ids, maps = checked_cam(cam, classes)
            check_classes(ids)
            found = refined_maps(options, _image(image), maps, _cues(method, rest))
        except (TypeError, ValueError) as error:
            raise type(error)(f"{FN}, sample {name!r}: {error}") from error
        for path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
        cams, labels = (results[kind] if kind in kinds else None for kind in ("cams", "labels"))
        write_results(options, ids, found, cams, labels, "npz")
        refined += 1
    return refined


def _cues(method: str, rest: Sequence[object]) -> dict[str, Tensor]:
    """The maps of a sample beside its CAMs, from what follows its classes."""
    if not rest:
        return {}
    cues = rest[0]
    if len(rest) > 1 or not isinstance(cues, Mapping):
        found = ", ".join(type(part).__name__ for part in rest)
        raise TypeError(f"what follows the classes must be a dictionary of maps, got {found}")
    for cue in cues:
        check_option(FN, "a map's name", cue, CUES)
    check_method(method, cues)
    return {cue: as_cue(cue, map) for cue, map in cues.items()}


def _image(image: Picture) -> Tensor:
    """uint8 or float ``(D, H, W)``."""
    if isinstance(image, (str, os.PathLike)):
        return read_image(image)
    found = image if isinstance(image, Tensor) else from_array(image)
    if found.ndim != 3:
        raise ValueError(f"an image must be (D, H, W), got shape {tuple(found.shape)}: without a batch dimension")
    found = found.detach().cpu()
    # Not each method looks at the values.
    return found if found.dtype == torch.uint8 else check_image(FN, found[None])[0].float()
