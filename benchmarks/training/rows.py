"""The rows of the training benchmark: what a run is given.

A method may have several settings. Then the table also reports, for each data set, the setting that is best on the
other sets.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType

from closedform_wsss.training import area_correction, filtering, resolution

# The module, which the package hides behind the function of the same name.
MARK_LOSS = importlib.import_module("closedform_wsss.functional.mark_loss")
# Constants of the rules of self-training, which are no fields of its recipe, and one of mark_loss.
CONSTANTS: dict[str, ModuleType] = {
    **{"REACH": resolution, "EPS": filtering, "KEPT_RECALL": area_correction},
    "CLOSE_SIDE": MARK_LOSS,
}


@dataclass(frozen=True)
class Row:
    """Arguments of examples/train_segmentation.py. ``--set`` is an argument of the benchmark (training.py)."""

    name: str
    method: str
    setting: str
    arguments: str

    @property
    def title(self) -> str:
        return f"{self.method}, {self.setting}" if self.setting else self.method


# Its arguments are those that training.label_settings has chosen without the data set.
LEFT_OUT = Row("left-out", "PseudoLabeler, settings chosen on the other sets", "", "--method rounds")
ROUNDS = Row("rounds", "**PseudoLabeler**", "", "--method rounds")
LOSS = "--method loss"
# Each loss is added to the cross-entropy on the marks. The weights are a factor of 3 apart, round the one of the paper
# or, where that has none, round the one that makes the loss as large as the cross-entropy at the end of a training.
ADDED = (
    ("gated CRF loss", "gated_crf", (0.03, 0.1, 0.3)),
    ("dense CRF loss", "dense_crf", (0.3, 1, 3)),
    ("normalised cut loss", "normalized_cut", (0.03, 0.1, 0.3)),
    ("pairwise affinity loss", "pairwise_affinity", (0.3, 1, 3)),
    ("tree energy loss", "tree_energy", (0.4, 1.2, 4)),
    ("entropy", "entropy", (0.01, 0.03, 0.1)),
    ("mean teacher", "mean_teacher", (1, 3, 10)),
    ("closed-form energy, scale of the marks", "energy", (3,)),
    ("closed-form energy, full size", "energy_full", (3,)),
    ("learning-based energy, scale of the marks", "learning_based", (3,)),
    ("closed-form residual", "residual", (1,)),
    ("absent classes", "absent", (1,)),
)


def _rows() -> list[Row]:
    rows = [
        Row("ce", "cross-entropy on the marks (lower bound)", "", LOSS),
        ROUNDS,
        Row("online", "**SelfTrainingLoss**", "", "--method online"),
        Row("marks", "**mark_loss**", "", f"{LOSS} --loss marks=1"),
        Row(
            "marks-crf-1",
            "**mark_loss**",
            "dense CRF of weight 1 everywhere",
            f"{LOSS} --loss marks_crf_1=1 --set CLOSE_SIDE=8",
        ),
    ]
    for method, loss, weights in ADDED:
        rows += [
            Row(f"{loss}-{weight:g}", f"+ {method}", f"weight {weight:g}", f"{LOSS} --loss {loss}={weight:g}")
            for weight in weights
        ]
    rows += [
        Row("paper", "the paper's loss alone, with the classes of the marks", "", f"{LOSS} --loss paper=1"),
        Row("marks-plain", "mark_loss without energy and dense CRF", "", f"{LOSS} --loss marks_plain=1"),
        Row(
            "marks-dense-crf",
            "the same + dense CRF loss of others, weight 1",
            "",
            f"{LOSS} --loss marks_plain=1 --loss dense_crf=1",
        ),
        Row(
            "marks-tree",
            "the same + tree energy loss, weight 1.2",
            "",
            f"{LOSS} --loss marks_plain=1 --loss tree_energy=1.2",
        ),
        LEFT_OUT,
        Row("half", "PseudoLabeler at half of the size", "", "--set filter_scale=0.5"),
        Row("no-areas", "PseudoLabeler without the areas", "", "--set repeats=0"),
        Row("incomplete", "PseudoLabeler, all classes in all images", "", "--set complete_marks=False"),
        Row("no-filter", "PseudoLabeler without the filter", "", "--set filter=none"),
        Row("no-filter-no-areas", "PseudoLabeler without either", "", "--set filter=none --set repeats=0"),
        Row("pamr", "PseudoLabeler, PAMR for the filter", "", "--set filter=pamr"),
        Row("pamr-no-areas", "PseudoLabeler, PAMR, without the areas", "", "--set filter=pamr --set repeats=0"),
        Row("mean-field", "PseudoLabeler, a dense CRF for the filter", "", "--set filter=mean_field"),
        Row(
            "mean-field-no-areas",
            "PseudoLabeler, a dense CRF, without the areas",
            "",
            "--set filter=mean_field --set repeats=0",
        ),
    ]
    return rows


MASKS = Row("masks", "full masks (upper bound)", "", "--targets labels")
ROWS = _rows()
