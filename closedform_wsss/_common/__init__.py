"""What operators, reference implementations and functions share: memory layouts and window arithmetic, each file with
the name of its header in ``csrc/common``, and the label of pixels that do not count.
"""

IGNORE_INDEX = 255  # in marks: unmarked; in labels: void. As in PASCAL VOC
