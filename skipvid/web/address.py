"""Where the page is served: [HOST:]PORT as a user writes it, and the secret that others than this machine need."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from dataclasses import dataclass

from skipvid.core.errors import UsageError

FORM = "write it as PORT or HOST:PORT, as in --web 8090"


@dataclass(frozen=True, slots=True)
class Address:
    """host: name or number of an interface. token: what a viewer must know; None on the loopback, which other machines do not reach."""

    host: str
    port: int
    token: str | None = None

    @property
    def shown(self) -> str:
        """As a user wrote it, or might have."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def link(self) -> str:
        """What leads a browser to the page, secret and all."""
        everywhere = self.host in ("0.0.0.0", "::")
        at = Address(socket.gethostname(), self.port) if everywhere else self
        return f"http://{at.shown}/" + (f"?token={self.token}" if self.token else "")


def read_address(text: str) -> Address:
    """An address from what a user wrote. Raises UsageError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not port.isdecimal() or not port.isascii() or int(port) > 65535:
        raise UsageError(f"--web {text} names no port", FORM)
    return Address(host, int(port), None if _is_loopback(host) else secrets.token_urlsafe(24))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def listen(address: Address) -> tuple[socket.socket, Address]:
    """A socket that listens there, and the address with the port that it got, where 0 left that open. Raises UsageError."""
    try:
        family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((address.host, address.port), family=family)
    except OSError as error:
        raise UsageError(f"--web {address.shown} cannot be used: {error.strerror or error}", "choose another port or host") from None
    return listening, Address(address.host, listening.getsockname()[1], address.token)
