"""A network namespace of its own for a machine, joined to ours by a pair of virtual cards, and a cable to pull."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pytest


class Network:
    """A namespace with one way out: to `address`, where a server of ours can be reached.

    Attributes:
        name: of the namespace, for `ip netns`.
        address: ours, on the way.
    """

    def __init__(self) -> None:
        number = os.getpid() % 60_000
        self.name, self._card = f"segue-{number}", f"segue{number}"
        self.address, self._other = (f"10.213.{number // 250}.{number % 250 + last}" for last in (1, 2))

    def __enter__(self) -> "Network":
        _ip("netns", "add", self.name)
        try:
            _ip("link", "add", self._card, "type", "veth", "peer", "name", "segue0", "netns", self.name)
            _ip("addr", "add", self.address, "peer", self._other, "dev", self._card)
            _ip("link", "set", self._card, "up")
            _ip("-n", self.name, "addr", "add", self._other, "peer", self.address, "dev", "segue0")
            _ip("-n", self.name, "link", "set", "segue0", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", self._card)
        _ip("netns", "del", self.name)

    def cut(self) -> None:
        """Pull the cable: nothing is told to anybody."""
        _ip("link", "set", self._card, "down")

    def mend(self) -> None:
        """Plug it in again."""
        _ip("link", "set", self._card, "up")


@contextmanager
def network() -> Iterator[Network]:
    """Make a namespace, or skip the test, saying why: where the kernel does not permit one, in CI too."""
    if shutil.which("ip") is None:
        pytest.skip("NOT TESTED: `ip` is missing, so there are no network namespaces: apt-get install iproute2")
    made = Network()
    try:
        made.__enter__()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"NOT TESTED: network namespaces are not permitted here: {error.stderr.decode().strip()}")
    try:
        yield made
    finally:
        made.__exit__()


@contextmanager
def reachable(url: str, address: str) -> Iterator[str]:
    """Have the server of a URL answer on another address of this machine, too; yield the URL there."""
    parts = urlsplit(url)
    with socket.create_server((address, 0)) as listener:
        _start(_accept, listener, (parts.hostname, parts.port))
        place = f"{address}:{listener.getsockname()[1]}"
        yield parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{place}").geturl()


def _accept(listener: socket.socket, server: tuple[str, int]) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            ours = socket.create_connection(server)
            _start(_carry, client, ours)
            _start(_carry, ours, client)


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    source.close()


def _start(target: object, *arguments: object) -> None:
    threading.Thread(target=target, args=arguments, daemon=True).start()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
