"""``closedform-wsss paint``: the server's answers, without a browser."""

from __future__ import annotations

import _thread
import http.client
import io as streams
import json
import signal
import subprocess
import sys
import threading
import urllib.request
import webbrowser
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import closedform_wsss
from closedform_wsss import io
from closedform_wsss.cli import main
from closedform_wsss.cli.paint import solve
from closedform_wsss.cli.paint.server import PaintServer
from closedform_wsss.cli.paint.solve import COLORS, Painting, read_strokes

HEIGHT, WIDTH = 60, 80


def photo() -> np.ndarray:
    left = np.arange(WIDTH)[None, :, None] < 48
    noise = np.random.default_rng(0).integers(-9, 10, (HEIGHT, WIDTH, 3))
    return (np.where(left, [200, 120, 60], [60, 110, 190]) + noise).astype(np.uint8)


def stroke(label: int, *points: tuple[float, float], width: float = 5) -> dict[str, Any]:
    return {"label": label, "width": width, "points": points}


LEFT, RIGHT = stroke(0, (10, 10), (10, 50)), stroke(1, (70, 10), (70, 50))


@pytest.fixture
def server() -> Iterator[PaintServer]:
    with PaintServer(("127.0.0.1", 0), io.from_array(photo()), "photo", preview_side=40) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server: PaintServer, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=60)
    content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection.request(method, path, content, headers)
    answer = connection.getresponse()
    found = answer.status, answer.getheader("Content-Type", ""), answer.read()
    connection.close()
    return found


def picture(server: PaintServer, path: str, *strokes: dict[str, Any]) -> Image.Image:
    status, kind, body = ask(server, "POST", path, strokes)
    assert (status, kind) == (200, "image/png"), body
    return Image.open(streams.BytesIO(body))


def test_page_information_and_photo(server: PaintServer) -> None:
    status, kind, body = ask(server, "GET", "/")
    assert status == 200 and kind.startswith("text/html") and b"<canvas" in body
    # Nothing is loaded from anywhere else.
    assert b"http:" not in body and b"https:" not in body
    info = json.loads(ask(server, "GET", "/info")[2])
    assert (info["width"], info["height"], info["name"]) == (WIDTH, HEIGHT, "photo")
    shown = np.array(Image.open(streams.BytesIO(ask(server, "GET", "/photo")[2]))).astype(int)
    assert shown.shape == (HEIGHT, WIDTH, 3) and np.abs(shown - photo()).mean() < 6


def test_strokes_are_kept_for_one_photograph() -> None:
    """Not for another one of the same name and size, which the same address may show later."""
    other = photo()
    other[0, 0, 0] += 1
    names = [solve.describe("photo", Painting(io.from_array(pixels), 40))["id"] for pixels in (photo(), other, photo())]
    assert names[0] == names[2] != names[1]
    page = resources.files("closedform_wsss.cli.paint").joinpath("page.html").read_text("utf-8")
    assert "const key = () => `${info.width}x${info.height} ${info.id}`;" in page


def test_preview_follows_the_strokes(server: PaintServer) -> None:
    labels = np.array(picture(server, "/preview?what=labels", LEFT, RIGHT))
    assert labels.shape == (30, 40, 4)
    colors = [tuple(bytes.fromhex(color[1:])) for color in COLORS]
    assert (labels[:, :22, :3] == colors[0]).all() and (labels[:, 26:, :3] == colors[1]).all()
    more = np.array(picture(server, "/preview?what=labels", LEFT, RIGHT, stroke(2, (70, 30), (75, 30))))
    assert (more[15, 36, :3] == colors[2]).all()
    alpha = np.array(picture(server, "/preview?what=alpha&class=0", LEFT, RIGHT))
    assert alpha.shape == (30, 40) and alpha[:, :20].min() > 240 and alpha[:, 28:].max() < 15
    cutout = np.array(picture(server, "/preview?what=cutout&class=0", LEFT, RIGHT))
    np.testing.assert_array_equal(cutout[..., 3], alpha)
    np.testing.assert_allclose(cutout[15, :20, :3].mean(0), (200, 120, 60), atol=6)


def test_downloads_are_those_of_the_library(server: PaintServer, tmp_path: Path) -> None:
    for name in ("marks", "labels"):
        picture(server, f"/download?what={name}", LEFT, RIGHT).save(tmp_path / f"{name}.png")
    marks = io.read_marks(tmp_path / "marks.png", photo())
    expected = io.from_lines([([(10, 10), (10, 50)], 0), ([(70, 10), (70, 50)], 1)], (HEIGHT, WIDTH), width=5)
    assert torch.equal(marks, expected)
    found = closedform_wsss.matte(photo(), marks)
    alpha = np.array(picture(server, "/download?what=alpha", LEFT, RIGHT))
    np.testing.assert_array_equal(alpha, np.rint(found.alpha * 255))
    np.testing.assert_array_equal(np.array(picture(server, "/download?what=cutout", LEFT, RIGHT)), found.cutout)
    labels = io.read_label_png(tmp_path / "labels.png")
    np.testing.assert_array_equal(labels.numpy(), found.alpha > 0.5)
    Image.fromarray(photo()).save(tmp_path / "photo.png")
    command = ["matte", str(tmp_path / "photo.png"), str(tmp_path / "marks.png"), "-o", str(tmp_path / "alpha.png")]
    assert main([*command, "--quiet"]) == 0
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "alpha.png")), alpha)


def test_eraser_and_classes_with_gaps() -> None:
    painting = Painting(io.from_array(photo()), 40)
    erased = read_strokes(json.dumps([LEFT, RIGHT, stroke(255, (0, 30), (79, 30), width=9)]).encode())
    marks = painting.marks(erased, full=True)
    assert (marks[26:34] == 255).all() and set(np.unique(marks)) == {0, 1, 255}
    gap = read_strokes(json.dumps([stroke(3, (10, 30)), stroke(6, (70, 30))]).encode())
    labels = np.array(Image.open(streams.BytesIO(painting.picture("labels", gap, 3, full=True)[0])))
    assert (labels[:, :44] == 3).all() and (labels[:, 52:] == 6).all()


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/preview?what=labels", [], "Paint strokes of at least two classes: there is none yet."),
        ("/preview?what=labels", [LEFT], "Paint strokes of at least two classes: only Background so far."),
        ("/preview?what=labels", [stroke(4, (5, 5))], "only Class 4 so far."),
        ("/download?what=cutout&class=3", [LEFT, RIGHT], "There is no stroke of Class 3 yet."),
        ("/preview?what=labels", [LEFT, stroke(1, (40, 30), width=300)], "only Object so far"),
        (
            "/preview?what=labels",
            [stroke(0, (40, 30), width=300), RIGHT],
            "Every pixel is painted, so there is nothing left to compute",
        ),
        ("/preview?what=heat", [LEFT, RIGHT], "picture must be one of marks, labels, alpha, cutout, got 'heat'"),
        ("/preview?what=alpha&class=x", [LEFT, RIGHT], "invalid literal"),
        ("/preview?what=labels", b"{", "strokes must be a list of label, width and points"),
        ("/preview?what=labels", [stroke(float("inf"), (1, 1))], "strokes must be a list of label, width and points"),
        ("/preview?what=labels", [stroke(0, (10**400, 1))], "strokes must be a list of label, width and points"),
        ("/preview?what=labels", b"[" * 100_000, "strokes must be a list of label, width and points"),
        ("/preview?what=labels", [{"label": 0}], "strokes must be a list of label, width and points"),
        ("/preview?what=labels", [stroke(9, (1, 1))], "labels must be in 0..7 or 255, got 9"),
        ("/preview?what=labels", [stroke(0)], "strokes must have points and a width > 0"),
        ("/preview?what=labels", [stroke(0, (float("nan"), 1))], "strokes must have points and a width > 0"),
        ("/preview?what=labels", [stroke(0, (1, 1), width=0)], "strokes must have points and a width > 0"),
    ],
)
def test_mistakes_are_told(server: PaintServer, path: str, body: Any, message: str) -> None:
    status, kind, text = ask(server, "POST", path, body)
    assert status == 400 and kind.startswith("text/plain") and message in text.decode()


def test_strokes_far_outside_take_no_time(server: PaintServer) -> None:
    far = stroke(0, (-1e30, 30), (1e30, 30))
    assert picture(server, "/preview?what=labels", LEFT, RIGHT, far).size == (40, 30)


def test_other_sites_are_refused(server: PaintServer) -> None:
    for host in ("evil.example", "[::1", ""):
        assert ask(server, "GET", "/photo", Host=host)[0] == 403
    assert ask(server, "POST", "/preview?what=marks", [LEFT], Origin="http://evil.example")[0] == 403
    host = f"127.0.0.1:{server.server_address[1]}"
    assert ask(server, "POST", "/preview?what=marks", [LEFT], Host=host, Origin=f"http://{host}")[0] == 200
    assert ask(server, "GET", "/../secret")[0] == 404
    assert ask(server, "POST", "/photo", [])[0] == 404
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=60)
    connection.putrequest("POST", "/preview?what=marks")
    connection.putheader("Content-Length", str(1 << 40))
    connection.endheaders()
    assert connection.getresponse().status == 413


def test_a_solve_that_does_not_converge_is_told(server: PaintServer, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = solve.solve_matting
    monkeypatch.setattr(solve, "solve_matting", lambda *args, **options: plain(*args, **options, max_iter=1))
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=60)
    connection.request("POST", "/download?what=alpha", json.dumps([LEFT, RIGHT]))
    answer = connection.getresponse()
    assert answer.status == 200 and answer.getheader("X-Warning", "").startswith("Not converged: the error of alpha")


def test_what_goes_wrong_inside_is_told(
    server: PaintServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(server.painting, "picture", fail)
    status, _, text = ask(server, "POST", "/preview?what=labels", [LEFT, RIGHT])
    assert status == 500 and text == b"It failed: MemoryError: no room"
    assert "Traceback" in capsys.readouterr().err


def test_mistakes_in_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paint", str(tmp_path / "none.png"), "--host", ""]) == 2  # else the file would be missed
    assert "--host must be an address of this machine, got an empty text" in capsys.readouterr().err
    assert main(["paint", str(tmp_path / "none.png")]) == 2
    assert "none.png: No such file" in capsys.readouterr().err
    for port in ("70000", "-1", "x"):
        with pytest.raises(SystemExit):
            main(["paint", "photo.png", "--port", port])
        assert "must be a whole number from 0 to 65535" in capsys.readouterr().err


def test_an_address_that_is_taken(server: PaintServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(photo()).save(tmp_path / "photo.png")
    for address in (["--port", str(server.server_address[1])], ["--host", "192.0.2.1"]):
        assert main(["paint", str(tmp_path / "photo.png"), "--no-browser", *address]) == 2
        assert "--host and --port must be an address of this machine that is free, got" in capsys.readouterr().err


def test_the_page_answers_a_browser_that_runs_in_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a browser returns when it is closed, not when it was started."""
    Image.fromarray(photo()).save(tmp_path / "photo.png")
    answers: list[bytes | OSError] = []

    def browse(url: str) -> bool:
        try:
            answers.append(urllib.request.urlopen(url, timeout=5).read())
        except OSError as error:
            answers.append(error)
        _thread.interrupt_main()  # as Ctrl+C does
        return True

    monkeypatch.setattr(webbrowser, "open", browse)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        main(["paint", str(tmp_path / "photo.png")])
    finally:
        signal.signal(signal.SIGINT, before)
    (answer,) = answers
    assert isinstance(answer, bytes) and b"<canvas" in answer


@pytest.mark.slow
def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    Image.fromarray(photo()).save(tmp_path / "photo.png")
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from closedform_wsss.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "paint", str(tmp_path / "photo.png"), "--no-browser"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:  # not the source's folder
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            url = line.partition("open ")[2].split()[0]
            assert b"<canvas" in urllib.request.urlopen(url, timeout=60).read()
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
