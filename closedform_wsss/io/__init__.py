"""Files to tensors in the layout that the functions take, and back: images, marks, labels, class activation maps.

Images are uint8 ``(3, H, W)``, the slices of a volume float32 ``(S, 1, H, W)``. Marks (scribbles, points or trimaps:
sparse labels) and labels are int64 ``(H, W)``; 255 means unmarked or void. Class activation maps are float32
``(K, h, w)``. ``[None]`` adds the batch dimension. Functions that make marks give tensors too, from arrays or tensors.
Writers take both, on any device.
"""

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.io._annotations.annotations import Annotations, read_annotations
from closedform_wsss.io._drawing.lines import from_lines, from_polygons
from closedform_wsss.io._drawing.points import from_points
from closedform_wsss.io._labels.label_colors import LabelColors, read_label_colors
from closedform_wsss.io._labels.label_png import VOC_CLASSES, read_label_png, write_label_png
from closedform_wsss.io._labels.palette import PALETTES, voc_palette
from closedform_wsss.io._labels.remap_labels import remap_labels
from closedform_wsss.io._maps.cams import CAM_FORMATS, read_cam, write_cam
from closedform_wsss.io._maps.probabilities import read_probabilities, write_probabilities
from closedform_wsss.io._marks.read_marks import KINDS, guess_kind, read_marks
from closedform_wsss.io._marks.scribblesup import read_scribblesup_xml
from closedform_wsss.io._marks.trimap import from_trimap
from closedform_wsss.io._pictures.image import read_image
from closedform_wsss.io._pictures.unit_range import to_unit_range
from closedform_wsss.io._strokes.layer import from_layer
from closedform_wsss.io._strokes.scribbles import from_scribbles, read_scribbles
from closedform_wsss.io._tags import read_tags
from closedform_wsss.io._tensors import from_array
from closedform_wsss.io._volumes.label_volume import read_label_volume
from closedform_wsss.io._volumes.volume import Volume, read_volume
from closedform_wsss.io._volumes.write_volume import write_volume
from closedform_wsss.io._warnings import OrientationWarning, ValueRangeWarning

__all__ = [
    "CAM_FORMATS",
    "IGNORE_INDEX",
    "KINDS",
    "PALETTES",
    "VOC_CLASSES",
    "Annotations",
    "LabelColors",
    "OrientationWarning",
    "ValueRangeWarning",
    "Volume",
    "from_array",
    "from_layer",
    "from_lines",
    "from_points",
    "from_polygons",
    "from_scribbles",
    "from_trimap",
    "guess_kind",
    "read_annotations",
    "read_cam",
    "read_image",
    "read_label_colors",
    "read_label_png",
    "read_label_volume",
    "read_marks",
    "read_probabilities",
    "read_scribbles",
    "read_scribblesup_xml",
    "read_tags",
    "read_volume",
    "remap_labels",
    "to_unit_range",
    "voc_palette",
    "write_cam",
    "write_label_png",
    "write_probabilities",
    "write_volume",
]
