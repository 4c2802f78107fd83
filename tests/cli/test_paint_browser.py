"""The paint page in a real browser: strokes by pointer, views, undo, downloads, and the width of a phone.

It needs playwright for Python and a Chromium or Chrome on the path; it is skipped elsewhere.
"""

from __future__ import annotations

import io as streams
import os
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from closedform_wsss import io
from closedform_wsss.cli.paint.server import PaintServer

sync_api = pytest.importorskip("playwright.sync_api", exc_type=ImportError)
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")]

HEIGHT, WIDTH = 60, 80
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
SECONDS = 60_000


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    left = np.arange(WIDTH)[None, :, None] < 48
    noise = np.random.default_rng(0).integers(-9, 10, (HEIGHT, WIDTH, 3))
    image = (np.where(left, [200, 120, 60], [60, 110, 190]) + noise).astype(np.uint8)
    with PaintServer(("127.0.0.1", 0), io.from_array(image), "photo", preview_side=80) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        # Chromium's own sandbox does not run as root.
        options = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=options)
        yield chromium
        chromium.close()


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(browser: Any, url: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    context = browser.new_context(**request.param)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(url)
    says(page, "Paint a stroke")
    yield page
    context.close()
    assert not problems


def says(page: Any, text: str) -> None:
    page.wait_for_function("text => document.getElementById('status').textContent.includes(text)", arg=text)


def place(page: Any, x: float, y: float) -> tuple[float, float]:
    box = page.locator("#stage").bounding_box()
    return box["x"] + x / WIDTH * box["width"], box["y"] + y / HEIGHT * box["height"]


def paint(page: Any, label: str, *points: tuple[float, float]) -> None:
    page.get_by_role("button", name=label, exact=True).click()
    page.mouse.move(*place(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*place(page, *point), steps=5)
    page.mouse.up()


def color(page: Any, x: float, y: float) -> np.ndarray:
    """What is seen at a pixel of the photograph."""
    seen = np.array(Image.open(streams.BytesIO(page.screenshot())).convert("RGB")).astype(int)
    column, row = (int(value) for value in place(page, x, y))
    return seen[row - 2 : row + 3, column - 2 : column + 3].mean((0, 1))


def test_labels_follow_the_strokes(page: Any) -> None:
    plain = color(page, 25, 30)
    paint(page, "Background", (10, 10), (10, 50))
    says(page, "Now choose Object")
    assert np.abs(color(page, 25, 30) - plain).max() < 3
    paint(page, "Object", (70, 10), (70, 50))
    says(page, "2 strokes")
    page.wait_for_function("document.getElementById('result').complete")
    left, right = color(page, 25, 30), color(page, 60, 50)
    assert left[2] > plain[2] + 40  # bluer, the colour of the background
    assert right[0] > right[2]  # red over blue
    # A stroke of another class changes what was labelled.
    paint(page, "One more class", (15, 40), (30, 40))
    page.mouse.move(0, 0)
    says(page, "3 strokes")
    page.get_by_role("button", name="Undo").click()
    says(page, "2 strokes")
    page.get_by_role("button", name="Matte", exact=True).click()
    page.get_by_role("button", name="Object", exact=True).click()
    page.wait_for_function("document.getElementById('stage').classList.contains('result')")
    says(page, "2 strokes")
    page.wait_for_timeout(300)
    assert color(page, 25, 30).max() < 20 and color(page, 60, 50).min() > 235


def test_downloads(page: Any, tmp_path: Any) -> None:
    paint(page, "Background", (10, 10), (10, 50))
    paint(page, "Object", (70, 10), (70, 50))
    says(page, "2 strokes")
    for what, mode in (("Cut-out: Object", "RGBA"), ("Matte: Object", "L"), ("Label map", "P"), ("Marks", "P")):
        page.locator("summary").click()
        with page.expect_download(timeout=SECONDS) as waiting:
            page.get_by_role("button", name=what, exact=True).click()
        path = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(path)
        with Image.open(path) as picture:
            assert picture.mode == mode and picture.size == (WIDTH, HEIGHT)
    marks = io.read_marks(tmp_path / "photo-marks.png")
    assert marks[30, 10] == 0 and marks[30, 70] == 1 and marks[30, 40] == 255


def test_only_one_class_is_told_and_a_reload_keeps_the_strokes(page: Any) -> None:
    paint(page, "Object", (70, 10), (70, 50))
    says(page, "Now choose Background")
    page.locator("summary").click()
    page.get_by_role("button", name="Label map", exact=True).click()
    says(page, "Paint strokes of at least two classes: only Object so far.")
    assert page.locator("#status").get_attribute("class") == "error"
    page.reload()
    says(page, "Now choose Background")


def test_nothing_is_wider_than_the_page(page: Any) -> None:
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        if box is not None:
            assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["height"] >= 40


def test_two_fingers_zoom_and_paint_nothing(browser: Any, url: str) -> None:
    context = browser.new_context(**PHONE)
    page = context.new_page()
    page.goto(url)
    says(page, "Paint a stroke")
    session = context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        shown = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": shown})

    before = page.locator("#stage").bounding_box()["width"]
    x, y = place(page, 40, 30)
    touch("touchStart", (x - 20, y))
    touch("touchStart", (x - 20, y), (x + 20, y))
    for step in range(1, 6):
        touch("touchMove", (x - 20 - 10 * step, y), (x + 20 + 10 * step, y))
    touch("touchEnd")
    assert page.locator("#stage").bounding_box()["width"] > 2 * before
    assert page.get_by_role("button", name="Undo").is_disabled()
    page.get_by_role("button", name="Fit").click()
    assert abs(page.locator("#stage").bounding_box()["width"] - before) < 1
    # One finger paints.
    touch("touchStart", place(page, 10, 10))
    touch("touchMove", place(page, 10, 40))
    touch("touchEnd")
    says(page, "Now choose Object")
    context.close()
