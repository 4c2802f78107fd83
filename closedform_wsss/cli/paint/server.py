"""A small HTTP server for the paint page. It serves one image to one person."""

from __future__ import annotations

import json
import threading
import traceback
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from urllib.parse import parse_qs, urlsplit

from torch import Tensor

from closedform_wsss.cli.paint.solve import Painting, describe, photo, read_strokes

_SHOWN_SIDE = 1600  # of the photograph in the page
_MAX_BODY = 32 << 20
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class PaintServer(ThreadingHTTPServer):
    """Answers ``GET /``, ``/info``, ``/photo`` and ``POST /preview``, ``/download``."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], image: Tensor, name: str, preview_side: int) -> None:
        """image: uint8 ``(3, H, W)``; name: of its file, without suffix."""
        self.painting = Painting(image, preview_side)
        self.pages = {
            "/": ("text/html; charset=utf-8", files(__package__).joinpath("page.html").read_bytes()),
            "/info": ("application/json", json.dumps(describe(name, self.painting)).encode()),
            "/photo": ("image/jpeg", photo(image, _SHOWN_SIDE)),
        }
        # A solve uses all cores, so a second one at the same time would only slow both.
        self.solving = threading.Lock()
        super().__init__(address, _Handler)

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host.decode() if isinstance(host, bytes) else host}:{port}/"


class _Handler(BaseHTTPRequestHandler):
    server: PaintServer

    def do_GET(self) -> None:
        if not self._is_allowed():
            return
        kind, body = self.server.pages.get(urlsplit(self.path).path, ("", b""))
        if not kind:
            self._refuse(HTTPStatus.NOT_FOUND, f"There is no page {self.path}.")
        else:
            self._send(HTTPStatus.OK, kind, body)

    def do_POST(self) -> None:
        if not self._is_allowed():
            return
        address = urlsplit(self.path)
        if address.path not in ("/preview", "/download"):
            self._refuse(HTTPStatus.NOT_FOUND, f"There is no page {self.path}.")
            return
        try:
            length = int(self.headers.get("Content-Length", "0"))
        except ValueError:
            length = -1
        if not 0 <= length <= _MAX_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "There are too many strokes: clear some.")
            return
        body = self.rfile.read(length)
        query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        try:
            label = int(query.get("class", "1"))
            with self.server.solving:
                picture, warning = self.server.painting.picture(
                    query.get("what", ""), read_strokes(body), label, full=address.path == "/download"
                )
        except ValueError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except Exception as error:
            traceback.print_exc()
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"It failed: {type(error).__name__}: {error}")
        else:
            self._send(HTTPStatus.OK, "image/png", picture, warning)

    def _is_allowed(self) -> bool:
        """Pages of other sites, which a browser also shows, must not reach this server by any name."""
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")
        local = self.server.server_address[0] not in _LOOPBACK or _name_of(host) in _LOOPBACK
        if local and origin in (None, f"http://{host}"):
            return True
        self._refuse(HTTPStatus.FORBIDDEN, "This server answers its own page only.")
        return False

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        self.close_connection = True  # what is left of the request is not read
        self._send(status, "text/plain; charset=utf-8", text.encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes, warning: str = "") -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Warning", warning)
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the page was closed

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the page shows what happens."""


def _name_of(host: str) -> str | None:
    """The name in a header ``Host``, without the port; None if there is none."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
