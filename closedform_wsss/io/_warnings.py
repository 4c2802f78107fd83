"""The warnings of readers."""


class OrientationWarning(UserWarning):
    """An image was turned or mirrored as its EXIF data says, and the caller did not ask for it.

    Data made from the stored pixels, such as a class activation map from a loader that does not turn, does not fit the
    turned image. ``orientation="apply"`` or ``"ignore"`` of a reader chooses.

    Example:
        >>> import pathlib, tempfile, warnings
        >>> from PIL import Image
        >>> from closedform_wsss.io import read_image
        >>> exif = Image.Exif()
        >>> exif[0x0112] = 6
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "a.jpg"
        ...     Image.new("RGB", (30, 20)).save(path, exif=exif)
        ...     with warnings.catch_warnings(record=True) as caught:
        ...         warnings.simplefilter("always")
        ...         shape = read_image(path).shape
        ...     stored = read_image(path, orientation="ignore").shape
        >>> caught[0].category.__name__, shape, stored
        ('OrientationWarning', torch.Size([3, 30, 20]), torch.Size([3, 20, 30]))
    """


class ValueRangeWarning(UserWarning):
    """The value of white was assumed for a file with more than 8 bits a channel, or grey levels were lost.

    Example:
        >>> import pathlib, tempfile, warnings
        >>> import numpy as np
        >>> from PIL import Image
        >>> from closedform_wsss.io import read_image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "scan.png"
        ...     Image.fromarray(np.array([[0, 2048, 4095]], np.uint16)).save(path)
        ...     with warnings.catch_warnings(record=True) as caught:
        ...         warnings.simplefilter("always")
        ...         grey = read_image(path)[0, 0].tolist()
        >>> caught[0].category.__name__, grey
        ('ValueRangeWarning', [0, 128, 255])
    """
