"""Files of ScribbleSup."""

from __future__ import annotations


def annotation(*polygons: tuple[str, list], size: str = "<width>12</width><height>8</height>") -> str:
    body = "".join(
        f"<polygon><tag>{tag}</tag>" + "".join(f"<point><X>{x}</X><Y>{y}</Y></point>" for x, y in points) + "</polygon>"
        for tag, points in polygons
    )
    return f"<annotation><filename>a.jpg</filename><size>{size}<depth>3</depth></size>{body}</annotation>"
