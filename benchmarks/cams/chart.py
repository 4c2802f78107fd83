"""A chart of results/cam_curves.json: mean IoU of refined CAMs over the threshold, and the oracle's.

python benchmarks cams.chart CURVES.svg
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from common.chart import FAINT, INK
from common.harness import RESULTS

from cams.curves import DEFAULT, ORACLE, TITLES

COLOURS = {"raw": "#999999", "asam+matting": "#56B4E9", "full": "#D55E00", "full, saliency": "#009E73"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("curves", metavar="CURVES", type=Path)
    args = parser.parse_args()
    plt.rcParams.update({"font.size": 8, "svg.fonttype": "none", "svg.hashsalt": "cams", "text.color": INK})
    sets = json.loads((RESULTS / "cam_curves.json").read_text())["sets"]
    figure, panels = plt.subplots(1, len(sets), figsize=(3.1 * len(sets), 3.0), squeeze=False)
    for (name, found), axes in zip(sets.items(), panels[0], strict=True):
        for method, colour in COLOURS.items():
            if method not in found:
                continue
            axes.plot(*zip(*found[method]["curve"], strict=True), color=colour, label=method)
            if method in ORACLE:
                axes.axhline(found[ORACLE[method]]["mean_iou"], color=colour, linestyle=":", linewidth=1)
        axes.axvline(DEFAULT, color=FAINT, linewidth=0.5)
        axes.set_title(TITLES[name], fontsize=9)
        axes.set_xlabel("threshold")
        axes.grid(color=FAINT, alpha=0.3)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    panels[0][0].set_ylabel("mean IoU of the labels")
    handles, labels = max((axes.get_legend_handles_labels() for axes in panels[0]), key=lambda pair: len(pair[0]))
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False, fontsize=8)
    figure.subplots_adjust(left=0.06, right=0.99, top=0.9, bottom=0.26, wspace=0.2)
    figure.savefig(args.curves, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
