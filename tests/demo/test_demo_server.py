"""The server answers this computer's browsers with one page, and nobody with anything else."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from mnist_flax.demo import http_server
from mnist_flax.errors import UserError

PAGE = "<!DOCTYPE html><title>0 to 9 \N{PENCIL}</title>".encode()


@pytest.fixture(scope="module")
def server() -> Iterator[http_server.Server]:
    with http_server.Server(0) as server:
        server.page = PAGE
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def answered(
    server: http_server.Server, method: str, path: str, host: str | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Status, headers and body of the answer; `host` is what the browser calls the server."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        if host != "":
            connection.putheader("Host", host or f"127.0.0.1:{server.port}")
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "localhost:1234"])
def test_the_page(server, host) -> None:
    status, headers, body = answered(server, "GET", "/", host)
    assert (status, body) == (200, PAGE)
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Length"] == str(len(PAGE))
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    # Neither the system nor Python says its version.
    assert headers["Server"].strip() == "mnist_flax"


def test_the_headers_alone(server) -> None:
    status, headers, body = answered(server, "HEAD", "/")
    assert (status, headers["Content-Length"], body) == (200, str(len(PAGE)), b"")


@pytest.mark.parametrize(
    "path",
    [
        "/index.html",
        "/pyproject.toml",
        "/../pyproject.toml",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/../../../../etc/passwd",
        "//etc/passwd",
        "/etc/passwd",
        "/.git/config",
        "/?page",
        "*",
        "..",
        "http://127.0.0.1/",
        "file:///etc/passwd",
    ],
)
def test_no_other_path(server, path) -> None:
    status, _, body = answered(server, "GET", path)
    assert status == 404
    assert b"root:" not in body
    assert PAGE not in body
    assert answered(server, "HEAD", path)[0] == 404


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "get", "EAT"]
)
def test_no_other_method(server, method) -> None:
    status, headers, body = answered(server, method, "/")
    assert status == 501
    assert PAGE not in body
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    "host",
    ["", "example.org", "example.org:8028", "localhost.example.org", "127.0.0.1.example.org",
     "0.0.0.0", "10.0.0.1", "[::1]", "example.org@localhost"],
)  # fmt: skip
def test_no_other_name(server, host) -> None:
    """A site whose name leads to this computer (DNS rebinding) does not get the page."""
    status, _, body = answered(server, "GET", "/", host)
    assert status == 421
    assert PAGE not in body


def test_loopback_only(server) -> None:
    assert server.server_address == ("127.0.0.1", server.port)
    assert server.socket.family == socket.AF_INET
    # Any other address, also one of this computer, finds nobody there.
    with socket.socket() as other:
        other.settimeout(5)
        with pytest.raises(OSError, match=r"refused|timed out|assign|unreachable"):
            other.connect(("127.0.0.2", server.port))


def test_whoever_is_slow_or_leaves_keeps_nobody_waiting(server, capsys) -> None:
    """One connection says nothing, one breaks off in the middle, one is reset."""
    with socket.create_connection(("127.0.0.1", server.port)):
        with socket.create_connection(("127.0.0.1", server.port)) as half:
            half.sendall(b"GET / HT")
        with socket.create_connection(("127.0.0.1", server.port)) as gone:
            gone.sendall(b"GET / HTTP/1.1\r\n")
            # Closed at once, with a reset and not in good order.
            linger = struct.pack("ii", 1, 0)
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        assert answered(server, "GET", "/")[0] == 200
        time.sleep(0.1)
        assert answered(server, "GET", "/")[0] == 200
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_an_error_of_its_own_is_not_hidden(capsys) -> None:
    with http_server.Server(0) as server:
        # Without its page.
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with pytest.raises((OSError, http.client.HTTPException)):
            answered(server, "GET", "/")
        server.shutdown()
        thread.join()
    assert "AttributeError" in capsys.readouterr().err


def test_garbage(server) -> None:
    for line in (b"\x00\xff\xfe" * 50, b"GET / HTTP/9.9", b"GET /" + b"a" * 100_000):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(line + b"\r\n\r\n")
            answer = connection.recv(100)
        assert PAGE not in answer
    assert answered(server, "GET", "/")[0] == 200


def test_a_port_that_is_taken(server) -> None:
    with pytest.raises(UserError) as refused:
        http_server.Server(server.port)
    assert str(refused.value) == (
        f"--port {server.port} cannot be used (Address already in use); choose another, or 0 "
        "for any that is free"
    )
