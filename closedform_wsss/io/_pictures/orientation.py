"""The EXIF orientation of a picture, applied or undone."""

from __future__ import annotations

from PIL import Image

from closedform_wsss._warn import warn_user
from closedform_wsss.io._warnings import OrientationWarning

_TAG = 0x0112
_TRANSPOSE = Image.Transpose
_METHODS = {
    2: _TRANSPOSE.FLIP_LEFT_RIGHT,
    3: _TRANSPOSE.ROTATE_180,
    4: _TRANSPOSE.FLIP_TOP_BOTTOM,
    5: _TRANSPOSE.TRANSPOSE,
    6: _TRANSPOSE.ROTATE_270,
    7: _TRANSPOSE.TRANSVERSE,
    8: _TRANSPOSE.ROTATE_90,
}
_INVERSE = {6: 8, 8: 6}  # each other method is its own inverse
_MEANING = {
    2: "mirrored left to right",
    3: "turned by 180 degrees",
    4: "mirrored top to bottom",
    5: "mirrored along the diagonal",
    6: "turned by 90 degrees to the right",
    7: "mirrored along the other diagonal",
    8: "turned by 90 degrees to the left",
}


def stored_orientation(image: Image.Image) -> int:
    """The orientation of an open file that is not decoded yet, 1 to 8; 1 if the file states no valid one."""
    try:
        value = image.getexif().get(_TAG, 1)
    except Exception:  # with damaged EXIF data Pillow's parser may raise any exception
        return 1
    return value if isinstance(value, int) and value in _METHODS else 1


def oriented(image: Image.Image, orientation: int, *, ignore: bool) -> Image.Image:
    """A copy of a decoded image, upright or as stored."""
    if hasattr(image, "tag_v2"):  # Pillow turns TIFF files itself
        method = _METHODS.get(_INVERSE.get(orientation, orientation)) if ignore else None
    else:
        method = None if ignore else _METHODS.get(orientation)
    return image.copy() if method is None else image.transpose(method)


def warn_of_orientation(caller: str, path: str, orientation: int) -> None:
    """Warns that an image was turned, and what may not fit it."""
    warn_user(
        f"{caller}: {path!r} was {_MEANING[orientation]}, as its EXIF orientation {orientation} says. Marks and CAMs "
        "that were made from the stored pixels, as torchvision and Image.open give them, do not fit: pass "
        "orientation='ignore' for those, orientation='apply' if this is right (--orientation on the command line)",
        OrientationWarning,
    )
