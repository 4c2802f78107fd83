"""The rows of the training benchmark: what each run is given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """Arguments of examples/train_segmentation.py, and the rows (lower, upper bound) between which it stands."""

    name: str
    title: str
    arguments: str
    marks: str = "scribbles"

    @property
    def targets(self) -> str:
        """The folder that it learns from."""
        return "labels" if self.marks == "masks" else self.marks


def _rows() -> list[Row]:
    rows = [Row("masks", "full masks (upper bound)", "--targets labels", "masks")]
    for marks in ("scribbles", "points"):
        start = f"--targets {marks}"
        rows += [
            Row(f"{marks}-ce", "cross-entropy on the marks (lower bound)", f"{start} --rounds 0", marks),
            Row(f"{marks}-recipe", "**recipe**: self-training with the matting filter", start, marks),
        ]
    once = "--targets scribbles --rounds 0"
    added = [
        ("energy", "+ closed-form energy, weight 10", "--loss energy=10"),
        ("residual", "+ closed-form residual, weight 1", "--loss residual=1"),
        ("learning-based", "+ learning-based energy, weight 10", "--loss learning_based=10"),
        ("gated-crf", "+ gated CRF loss, weight 0.1", "--loss gated_crf=0.1"),
        ("dense-crf", "+ dense CRF loss, weight 1", "--loss dense_crf=1"),
        ("normalized-cut", "+ normalised cut loss, weight 0.1", "--loss normalized_cut=0.1"),
        ("pairwise", "+ pairwise affinity loss, weight 1", "--loss pairwise_affinity=1"),
    ]
    rows += [Row(f"scribbles-{name}", title, f"{once} {loss}") for name, title, loss in added]
    rows += [
        Row("scribbles-recipe-energy", "recipe + energy, weight 10", "--targets scribbles --loss energy=10"),
        Row(
            "scribbles-recipe-superpixel",
            "recipe + superpixel consistency, weight 1",
            "--targets scribbles --loss superpixel=1",
        ),
        Row("scribbles-no-filter", "recipe without the filter", "--targets scribbles --set FILTER=none"),
        Row("scribbles-pamr", "recipe, PAMR for the filter", "--targets scribbles --set FILTER=pamr"),
        Row(
            "scribbles-mean-field", "recipe, a dense CRF for the filter", "--targets scribbles --set FILTER=mean_field"
        ),
        Row("scribbles-no-areas", "recipe without the areas", "--targets scribbles --set REPEATS=0"),
        Row(
            "scribbles-no-filter-no-areas",
            "recipe without either",
            "--targets scribbles --set FILTER=none --set REPEATS=0",
        ),
        Row(
            "scribbles-pamr-no-areas",
            "recipe, PAMR for the filter, without the areas",
            "--targets scribbles --set FILTER=pamr --set REPEATS=0",
        ),
        Row(
            "scribbles-mean-field-no-areas",
            "recipe, a dense CRF for the filter, without the areas",
            "--targets scribbles --set FILTER=mean_field --set REPEATS=0",
        ),
        Row("cams-ce", "cross-entropy on the labels (lower bound)", "--targets cams --rounds 0", "cams"),
        Row("cams-superpixel", "superpixel consistency", "--targets cams --rounds 0 --loss superpixel=1", "cams"),
        Row("cams-recipe", "recipe", "--targets cams", "cams"),
    ]
    return rows


ROWS = _rows()
