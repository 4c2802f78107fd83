"""Writes the pictures beside it with many programs, as their users would, so that tests need none of them.

``python tests/files/make_files.py`` needs Pillow, OpenCV, imageio, tifffile, ImageMagick 6, GraphicsMagick, netpbm,
libvips, pngquant and exiftool; ``programs.txt`` says which versions wrote the files that are here. What is in them is
in ``tests/helpers/stored_pictures.py``. A name starts with the program and the content.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import imageio.v3 as imageio
import numpy as np
import tifffile
from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import stored_pictures as stored  # noqa: E402

CONVERT = "/usr/bin/convert"


def run(*command: object, into: Path | None = None) -> None:
    output = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE).stdout
    if into is not None:
        into.write_bytes(output)


def versions() -> str:
    lines = [f"{name} {importlib.metadata.version(name)}" for name in ("pillow", "imageio", "tifffile")]
    lines.append(f"opencv {cv2.__version__}")
    for command in ([CONVERT, "-version"], ["gm", "version"], ["vips", "--version"], ["pngquant", "--version"]):
        lines.append(subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0].split(" http")[0])
    netpbm = subprocess.run(["pamtopng", "--version"], capture_output=True, text=True).stderr
    lines.append(next(line.split("Using ")[-1] for line in netpbm.splitlines() if "Netpbm" in line))
    exiftool = subprocess.run(["exiftool", "-ver"], capture_output=True, text=True).stdout.strip()
    return "\n".join([*lines, f"exiftool {exiftool}", ""])


def palettes(work: Path) -> None:
    """VOC colours in palettes whose order is the program's own, and with VOC's own order."""
    colors = stored.voc_palette()[stored.VOC]
    rgb = work / "rgb.png"
    Image.fromarray(colors).save(rgb)
    Image.fromarray(colors).quantize(256, dither=Image.Dither.NONE).save(HERE / "pillow_voc_quantized.png")
    Image.fromarray(colors).save(HERE / "pillow_voc_rgb.gif")
    ordered = Image.fromarray(stored.VOC)
    ordered.putpalette(stored.voc_palette().tobytes())
    ordered.save(work / "ordered.png")
    imageio.imwrite(HERE / "imageio_voc_rgb.gif", colors)
    cv2.imwrite(str(HERE / "opencv_voc_rgb.png"), colors[..., ::-1])
    for program, command in (("imagemagick", [CONVERT]), ("graphicsmagick", ["gm", "convert"])):
        run(*command, rgb, "-strip", f"png8:{HERE / f'{program}_voc_png8.png'}")
        run(*command, rgb, "-strip", HERE / f"{program}_voc_rgb.gif")
    run(CONVERT, rgb, "-strip", "-type", "Palette", f"BMP3:{HERE / 'imagemagick_voc_palette.bmp'}")
    run(CONVERT, rgb, "-strip", "-depth", 16, "-define", "png:color-type=2", "-define", "png:bit-depth=16",
        HERE / "imagemagick_voc_rgb16.png")  # fmt: skip
    run(CONVERT, rgb, "-strip", HERE / "imagemagick_voc_rgb.png")
    run("pngquant", "--strip", "--force", "--output", HERE / "pngquant_voc.png", 256, rgb)
    run("vips", "pngsave", rgb, HERE / "vips_voc_palette.png", "--palette", "--dither", 0, "--strip")
    # A picture that shows black and VOC's grey alone is written as a grey file.
    Image.fromarray(stored.voc_palette()[stored.CAR]).save(work / "car.png")
    run(CONVERT, work / "car.png", "-strip", HERE / "imagemagick_car_grey.png")


def few_bits(work: Path) -> None:
    """Grey label maps of 1, 2 and 4 bits a sample."""
    for bits, labels in ((1, stored.ONE_BIT), (2, stored.TWO_BITS), (4, stored.FOUR_BITS)):
        maximum = 2**bits - 1
        plain = work / f"{bits}.pgm"
        rows = "\n".join(" ".join(map(str, row)) for row in labels.tolist())
        plain.write_text(f"P2\n{stored.WIDTH} {stored.HEIGHT}\n{maximum}\n{rows}\n")
        run("pamtopng", plain, into=HERE / f"netpbm_grey{bits}.png")
        if bits > 1:
            run("pamtotiff", "-none", "-truecolor", plain, into=HERE / f"netpbm_grey{bits}.tif")
            run("pamdepth", maximum, plain, into=HERE / f"netpbm_grey{bits}.pgm")
            run("pnmtoplainpnm", plain, into=HERE / f"netpbm_plain{bits}.pgm")
        run(CONVERT, plain, "-strip", "-depth", bits, "-define", "png:color-type=0", "-define",
            f"png:bit-depth={bits}", HERE / f"imagemagick_grey{bits}.png")  # fmt: skip
        run(CONVERT, plain, "-strip", "-depth", bits, "-compress", "none", HERE / f"imagemagick_grey{bits}.tif")
        run(CONVERT, plain, "-strip", "-depth", bits, "-compress", "none", "-define", "quantum:polarity=min-is-white",
            HERE / f"imagemagick_white_is_zero{bits}.tif")  # fmt: skip
        scaled = work / f"{bits}.png"
        Image.fromarray(labels * (255 // maximum)).save(scaled)
        run("vips", "pngsave", scaled, HERE / f"vips_grey{bits}.png", "--bitdepth", bits, "--strip")
        palette = Image.fromarray(labels)
        palette.putpalette(stored.voc_palette()[: maximum + 1].tobytes())
        palette.save(HERE / f"pillow_palette{bits}.png", bits=bits)
    Image.fromarray(stored.ONE_BIT > 0).save(HERE / "pillow_mask.pbm")
    Image.fromarray(stored.ONE_BIT > 0).save(HERE / "pillow_mask.bmp")
    tifffile.imwrite(HERE / "tifffile_white_is_zero8.tif", stored.FOUR_BITS, photometric="miniswhite")


def whole_labels() -> None:
    """Grey label maps of 8 and 16 bits."""
    cv2.imwrite(str(HERE / "opencv_grey.png"), stored.VOC)
    cv2.imwrite(str(HERE / "opencv_grey16.png"), stored.VOC.astype(np.uint16))
    cv2.imwrite(str(HERE / "opencv_three_channels.png"), np.dstack([stored.VOC] * 3))
    imageio.imwrite(HERE / "imageio_grey16.png", stored.VOC.astype(np.uint16))
    tifffile.imwrite(HERE / "tifffile_grey16_big.tif", stored.VOC.astype(">u2"), byteorder=">", compression="zlib")
    tifffile.imwrite(HERE / "tifffile_int32.tif", stored.VOC.astype(np.int32), compression="zlib")


def layers(work: Path) -> None:
    """Strokes on a transparent layer."""
    for opacity in (255, 153):
        cv2.imwrite(str(HERE / f"opencv_layer{opacity}.png"), stored.layer(opacity)[..., [2, 1, 0, 3]])
        imageio.imwrite(HERE / f"imageio_layer{opacity}.png", stored.layer(opacity))
    Image.fromarray(stored.layer(255)).save(work / "layer.png")
    for program, command in (("imagemagick", [CONVERT]), ("graphicsmagick", ["gm", "convert"])):
        run(*command, work / "layer.png", "-strip", HERE / f"{program}_layer.gif")
    run(CONVERT, work / "layer.png", "-strip", f"png8:{HERE / 'imagemagick_layer_png8.png'}")
    run(CONVERT, HERE / "opencv_layer153.png", "-strip", "-define", "png:color-type=6", "-define", "png:bit-depth=16",
        HERE / "imagemagick_layer16.png")  # fmt: skip
    run("pngquant", "--strip", "--force", "--output", HERE / "pngquant_layer.png", 256, work / "layer.png")
    Image.fromarray(stored.layer(153)).save(HERE / "pillow_layer.webp", lossless=True, exact=True)
    grey = stored.layer(153)[..., [0, 3]]
    grey[stored.STROKES == 1, 0] = 120
    Image.fromarray(grey, "LA").save(HERE / "pillow_layer_grey.png")
    # Lines with smooth edges on the empty canvas of a drawing program.
    run(CONVERT, "-size", f"{stored.WIDTH}x{stored.HEIGHT}", "xc:none", "-strokewidth", 3, "-fill", "none",
        "-stroke", "black", "-draw", "line 2,3 20,3", "-stroke", "red", "-draw", "line 3,13 20,6", "-strip",
        HERE / "imagemagick_smooth_lines.png")  # fmt: skip


def orientations(work: Path) -> None:
    """A picture stored so that it is upright after its EXIF orientation is applied."""
    stored_as = {
        2: stored.UPRIGHT[:, ::-1],
        3: stored.UPRIGHT[::-1, ::-1],
        4: stored.UPRIGHT[::-1],
        5: stored.UPRIGHT.transpose(1, 0, 2),
        6: np.rot90(stored.UPRIGHT),
        7: stored.UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(stored.UPRIGHT, -1),
    }
    for orientation, pixels in stored_as.items():
        path = HERE / f"exiftool_orientation{orientation}.png"
        Image.fromarray(np.ascontiguousarray(pixels)).save(path)
        run("exiftool", "-q", "-n", "-overwrite_original", f"-Orientation={orientation}", path)
    Image.fromarray(np.ascontiguousarray(stored_as[6])).save(work / "6.png")
    run(CONVERT, work / "6.png", "-strip", "-orient", "RightTop", "-compress", "zip",
        HERE / "imagemagick_orientation6.tif")  # fmt: skip
    tifffile.imwrite(HERE / "tifffile_orientation8.tif", np.ascontiguousarray(stored_as[8]), compression="zlib",
                     photometric="rgb", extratags=[(274, 3, 1, 8, True)])  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(np.ascontiguousarray(stored_as[3])).save(
        HERE / "pillow_orientation3.webp", lossless=True, exif=exif
    )
    Image.fromarray(np.ascontiguousarray(stored.VOC[:, ::-1])).save(HERE / "pillow_voc_orientation2.png")
    run("exiftool", "-q", "-n", "-overwrite_original", "-Orientation=2", HERE / "pillow_voc_orientation2.png")


def depths(work: Path) -> None:
    """Grey of more than 8 bits."""
    cv2.imwrite(str(HERE / "opencv_12_in_16.png"), stored.TWELVE_BITS)
    imageio.imwrite(HERE / "imageio_12_in_16.png", stored.TWELVE_BITS)
    tifffile.imwrite(HERE / "tifffile_12_in_16.tif", stored.TWELVE_BITS, compression="zlib")
    tifffile.imwrite(HERE / "tifffile_12_in_16_big.tif", stored.TWELVE_BITS.astype(">u2"), byteorder=">",
                     compression="zlib")  # fmt: skip
    plain = work / "12.pgm"
    rows = "\n".join(" ".join(map(str, row)) for row in stored.TWELVE_BITS.tolist())
    plain.write_text(f"P2\n{stored.WIDTH} {stored.HEIGHT}\n4095\n{rows}\n")
    run("pamdepth", 4095, plain, into=HERE / "netpbm_12.pgm")
    run(CONVERT, plain, "-strip", "-depth", 12, "-compress", "none", "-endian", "LSB", HERE / "imagemagick_12.tif")
    tifffile.imwrite(HERE / "tifffile_hounsfield.tif", stored.HOUNSFIELD, compression="zlib")
    tifffile.imwrite(HERE / "tifffile_float.tif", stored.HOUNSFIELD.astype(np.float32), compression="zlib")
    tifffile.imwrite(HERE / "tifffile_uint32.tif", stored.HOUNSFIELD.astype(np.uint32) + 2**31, compression="zlib")
    tifffile.imwrite(HERE / "tifffile_int8.tif", (stored.HOUNSFIELD // 16).astype(np.int8), compression="zlib")
    cv2.imwrite(str(HERE / "opencv_12_in_16_rgb.png"), np.dstack([stored.TWELVE_BITS] * 3))
    dim = (stored.TWELVE_BITS.astype(np.uint16) * 4)[..., None] * np.ones(3, np.uint16)
    cv2.imwrite(str(HERE / "opencv_14_in_16_rgb.png"), dim)
    run(CONVERT, HERE / "opencv_12_in_16.png", "-strip", "-alpha", "set", "-define", "png:color-type=4", "-define",
        "png:bit-depth=16", HERE / "imagemagick_12_in_16_alpha.png")  # fmt: skip


def trimaps(work: Path) -> None:
    """One trimap in the depths that programs choose for three greys."""
    path = work / "trimap.png"
    Image.fromarray(stored.TRIMAP).save(path)
    run(CONVERT, path, "-strip", HERE / "imagemagick_trimap.png")
    run("pngquant", "--strip", "--force", "--output", HERE / "pngquant_trimap.png", 256, path)
    cv2.imwrite(str(HERE / "opencv_trimap16.png"), stored.TRIMAP.astype(np.uint16) * 257)
    levels = np.where(stored.TRIMAP == 0, 0, np.where(stored.TRIMAP == 255, 2, 1))
    rows = "\n".join(" ".join(map(str, row)) for row in levels.tolist())
    (HERE / "netpbm_trimap.pgm").write_text(f"P2\n{stored.WIDTH} {stored.HEIGHT}\n2\n{rows}\n")
    cv2.imwrite(str(HERE / "opencv_trimap_012.png"), levels.astype(np.uint8))


def main() -> None:
    for path in HERE.iterdir():
        if path.suffix not in (".py", ".txt") and path.is_file():
            path.unlink()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        palettes(work)
        few_bits(work)
        whole_labels()
        layers(work)
        orientations(work)
        depths(work)
        trimaps(work)
    (HERE / "programs.txt").write_text(versions())
    for path in sorted(HERE.iterdir()):
        print(path.stat().st_size, path.name)


if __name__ == "__main__":
    main()
