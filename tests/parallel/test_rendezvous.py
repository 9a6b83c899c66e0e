"""Processes that look for each other: all are there, or all are told what is wrong."""

import concurrent.futures
import json
import socket
import threading
import time

import pytest

from mnist_flax.errors import UserError
from mnist_flax.parallel import rendezvous


@pytest.fixture
def port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def answers(port, *processes, seconds=20.0, host="localhost"):
    """What each process, (number, count), is told: '' where all is well."""

    def meet(process):
        number, count = process
        try:
            rendezvous.meet(f"{host}:{port}", count, number, seconds)
        except UserError as error:
            return str(error)
        return ""

    with concurrent.futures.ThreadPoolExecutor(len(processes)) as threads:
        return list(threads.map(meet, processes))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_all_are_there(port, host):
    assert answers(port, (2, 4), (0, 4), (3, 4), (1, 4), host=host) == [""] * 4


def test_one_is_enough(port):
    assert answers(port, (0, 1)) == [""]


def test_a_number_twice(port):
    told = answers(port, (1, 3), (1, 3), (0, 3))
    assert all("there are two with --process=1" in text for text in told)


@pytest.mark.parametrize("first", [2, 3])
def test_another_count(port, first):
    told = answers(port, (0, first), (1, 5 - first))
    words = f"one has --processes={5 - first}, and process 0 has {first}"
    assert all(words in text for text in told)


def test_one_never_comes(port):
    told = answers(port, (0, 4), (2, 4), seconds=1.0)
    assert all("process 1, 3 of 4 did not come" in text for text in told)
    assert all("start all at the same time" in text for text in told)


def test_the_first_never_comes(port):
    (told,) = answers(port, (1, 2), seconds=0.5)
    assert f"process 0 is not at localhost:{port}" in told


def test_a_host_that_is_none(port):
    (told,) = answers(port, (1, 2), seconds=0.5, host="no-such-host.invalid")
    assert "process 0 is not at no-such-host.invalid" in told


def test_a_port_in_use(port):
    with socket.create_server(("", port)):
        (told,) = answers(port, (0, 2))
    assert f"cannot listen on port {port}" in told


@pytest.mark.parametrize("answer", [b"", b"\x00\x00\x06\x04 HTTP/2", b"[]\n", b"{}\n", b"7\n"])
def test_something_else_is_there(port, answer):
    with socket.create_server(("localhost", port)) as server:

        def serve():
            with server.accept()[0] as connection:
                connection.recv(100)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        (told,) = answers(port, (1, 2))
        thread.join()
    assert "is not a process 0 that waits for others" in told


def test_strangers_are_passed_over(port, monkeypatch):
    monkeypatch.setattr(rendezvous, "_PATIENCE_SECONDS", 0.2)
    lines = [b"", b"GET / HTTP/1.1\r\n\r\n", b"7\n", b"[" * 9999, json.dumps({}).encode()]

    def bother():
        for line in lines:
            while True:
                try:
                    stranger = socket.create_connection(("localhost", port))
                    break
                except OSError:
                    time.sleep(0.01)
            stranger.sendall(line)
            strangers.append(stranger)
        told.extend(answers(port, (1, 2)))

    strangers, told = [], []
    thread = threading.Thread(target=bother)
    thread.start()
    assert answers(port, (0, 2)) == [""]
    thread.join()
    assert told == [""]
    for stranger in strangers:
        stranger.close()
