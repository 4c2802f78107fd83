"""The tables of the CAM benchmark."""

from __future__ import annotations

from typing import Any

from common.harness import table

_TITLES = {
    "voc_scribbles": "VOC with careful labels, 20 classes and background",
    "voc_mini": "VOC mini, 20 classes and background",
    "ecssd": "ECSSD, object and background",
}


def _rows(payload: dict[str, Any], data: str, part: str) -> str:
    """One table: a data set, or the subset of it."""
    timed = part == "all"
    head = ["method", "even to odd", "odd to even", "cross", "above raw", "best on all", "thresholds"]
    reference = payload["rows"]["raw"][data][part]["cross"]
    cells = []
    for name, row in payload["rows"].items():
        found = row[data][part]
        thresholds = [f"{found['thresholds'][half]:.2f}" for half in ("even", "odd")]
        cells.append(
            [
                f"{name} (default)" if name == payload["default"] else name,
                f"{found['even_to_odd']:.4f}",
                f"{found['odd_to_even']:.4f}",
                f"{found['cross']:.4f}",
                f"{100 * (found['cross'] - reference):+.1f}",
                f"{found['best']:.4f}",
                ", ".join(thresholds),
                *([f"{row[data]['milliseconds']:.1f}"] if timed else []),
            ]
        )
    return table([*head, "ms an image"] if timed else head, cells)


def _scales(payload: dict[str, Any], scales: tuple[float, ...]) -> str:
    """Cross at every scale of the image."""
    head = ["method", *(f"{_TITLES[data].split(',')[0]} x {scale:g}" for data in _TITLES for scale in scales)]
    cells = [
        [name, *(f"{value:.4f}" for data in _TITLES for value in found[data])]
        for name, found in payload["scales"].items()
    ]
    return table(head, cells)


_DESCRIPTIONS = {
    "raw": "`raw`: the CAM, resized.",
    "asam-paper": "`asam-paper-20`, `-40`: ASAM with the settings of its paper, 20 and 40 steps.",
    "closed-form": "`closed-form`: closed-form mattes at half size of the pixels with a class above 0.6 or none above "
    "0.1.",
    "pamr": "`pamr`: the formula of Araslanov and Roth (CVPR 2020) at full size, 10 iterations; `pamr-program`: at a "
    "quarter of the size and with the scale of their program; both in plain PyTorch.",
    "guided": "`guided`: the guided filter of He et al., windows of radius 8 or 20 at half size and eps 1e-3.",
    "bilateral": "`bilateral`: the joint bilateral filter at half size, a twentieth or three twentieths of the longer "
    "side and a tenth of the colours' range.",
    "random-walk": "`random-walk`: 32 or 256 steps of IRN's random walk (radius 5, a quarter of the size) on colours "
    "(deviation 0.05) in place of learned boundaries.",
    "pydensecrf": "`pydensecrf`: {dense_crf}, 10 iterations; `weak` has kernels of weight 4, 67 pixels, 3 of 255 in "
    "colour, and of weight 3, 1 pixel; `strong` of 10, 80, 13, and of 3, 3; the number is the power of the "
    "background's score in the unary term.",
}


def _descriptions(payload: dict[str, Any]) -> str:
    """What the rows of the table are, and why those of pydensecrf are missing if they are."""
    text = ""
    for name, description in _DESCRIPTIONS.items():
        if any(row.startswith(name) for row in payload["rows"]):
            text += description.format(dense_crf=payload["dense_crf"]) + " "
    return text if payload["dense_crf"] else text + "pydensecrf was left out: pydensecrf2 is not installed. "


def markdown(payload: dict[str, Any], scales: tuple[float, ...]) -> str:
    """What was measured, and a table for each data set."""
    own = ", ".join(f"`{name}`" for name in payload["own"]) or "none here"
    text = (
        "Mean IoU of the pseudo-labels over the classes that occur, all pixels in one confusion matrix, at the truth's "
        f"size; {payload['machine']['threads']} thread(s). A pixel is background where no CAM exceeds the threshold. "
        "`even to odd`: the threshold that is best on every second image by name, from the first on, measured on the "
        "others; `odd to even` the other way round. **cross**: both halves in one matrix, each with the other half's "
        "threshold; the column to compare by, and `above raw` in points of it. `best on all` chose the threshold on "
        "the images that it is measured on. Times are medians, one image at a time.\n\n"
        f"Of `refine-cams`: {own}. {_descriptions(payload)}"
        "No method was trained on these images, but the steps of `refine-cams` were chosen by looking at VOC mini and "
        "ECSSD, and the weights of `calibrate_cam` on all three sets: the table of the benchmark `cams.calibration` "
        "has each set with the choice of the others.\n"
    )
    if payload.get("kept"):
        rows = ", ".join(f"`{name}` (commit {commit})" for name, commit in payload["kept"].items())
        text += f"\nOf an earlier run on the same images: {rows}.\n"
    for data, title in _TITLES.items():
        count = len(payload["images"][data])
        text += f"\n## {title}: {count} images\n\n{_rows(payload, data, 'all')}\n"
        if data == "voc_mini" and "subset" in payload["rows"]["raw"][data]:
            text += (
                f"\n## VOC mini, the {len(payload['careful'])} images labelled with care\n\nThose with a void border "
                "round every object; in the others objects are missing from the labels. The halves are every second "
                f"one of these.\n\n{_rows(payload, data, 'subset')}\n"
            )
    if payload["scales"]:
        text += (
            "\n## Images of other sizes\n\n`cross` where the method gets the image at half, once and twice its size "
            "(bicubic) with the same CAM, measured at the truth's size.\n\n" + _scales(payload, scales)
        )
    return text.rstrip()
