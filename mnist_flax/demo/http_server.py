"""One page for the browsers of this computer: on the loopback interface, and nothing else."""

import socketserver
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from mnist_flax.errors import UserError

ADDRESS = "127.0.0.1"

# By which a browser on this computer may call it, whatever the port: it may be forwarded.
_NAMES = ("127.0.0.1", "localhost")


class Server(socketserver.ThreadingTCPServer):
    """Listens as soon as it is made; answers once `serve_forever` is called.

    (http.server's own class asks the system for the name of the address, and that may ask the
    network.)

    Attributes:
      page: what it answers with at /, HTML in UTF-8; to be set before.
      port: the one it listens at.
    """

    allow_reuse_address = True
    daemon_threads = True
    page: bytes

    def __init__(self, port: int) -> None:
        """Binds to a port.

        Args:
          port: 1 to 65535, or 0 for any that is free.

        Raises:
          UserError: it is in use, or not allowed.
        """
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise UserError(
                f"--port {port} cannot be used ({error.strerror}); choose another, or 0 for "
                "any that is free"
            ) from None
        self.port: int = self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a browser that went away before it had its answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD of / with the page, and everything else with an error."""

    server: Server
    timeout = 10  # seconds that a connection may be silent
    server_version, sys_version = "mnist_flax", ""

    def do_GET(self) -> None:
        """Answers with the page."""
        if self._answer():
            self.wfile.write(self.server.page)

    def do_HEAD(self) -> None:
        """Answers with the headers alone."""
        self._answer()

    def _answer(self) -> bool:
        """Sends the headers, or else an error; whether the page is to follow."""
        # Another site can have its name point to this computer (DNS rebinding); the browser
        # then takes this page for one of that site, and sends its name.
        host = self.headers.get("Host", "").partition(":")[0].lower()
        if host not in _NAMES:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return False
        if self.path != "/":
            self.send_error(HTTPStatus.NOT_FOUND)
            return False
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(self.server.page)))
        self.end_headers()
        return True

    def end_headers(self) -> None:
        """Adds to every answer what a page cannot say of itself."""
        self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        # The next run may serve another network under the same address.
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the terminal shows where the page is, and no line a request."""
