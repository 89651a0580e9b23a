"""A camera that speaks RTSP on the loopback: H.264 over the connection itself, as `--rtsp-transport tcp` wants it (RFC 2326, RFC 6184)."""

from __future__ import annotations

import base64
import socket
import struct
import threading
import time
from contextlib import suppress
from fractions import Fraction
from typing import Any, Self

import av
from clip_making import numbered_picture

_MOST = 1200  # bytes of a packet

_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
    "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:trackID=0\r\n"
)


class RtspCamera:
    """Sends the number of the current picture (since its start) at `rate` pictures a second to whoever plays it.

    password: of the user "admin"; None: anybody may look. stalled: while it is set, connections stay open and nothing is sent.
    stop, start: pull the plug, and plug it in again, at the same port. connections: that played. transports: as they were asked for.
    sent: the numbers of the pictures that were sent so far. A loaded machine leaves some out.
    """

    def __init__(self, rate: float = 20.0, password: str | None = None, size: tuple[int, int] = (160, 96)) -> None:
        self.rate, self.password, self.size = rate, password, size
        self.stalled = threading.Event()
        self.connections = 0
        self.transports: list[str] = []
        self.sent: list[int] = []
        self.port = 0
        self.begin = time.monotonic()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *words: object) -> None:
        self.stop()

    def url(self, user: str = "") -> str:
        return f"rtsp://{user}127.0.0.1:{self.port}/live"

    def start(self) -> None:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        listening.listen()
        self.port = listening.getsockname()[1]
        self._sockets = [listening]
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def stop(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def number(self) -> int:
        """Of the picture of this moment."""
        return int((time.monotonic() - self.begin) * self.rate)

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection = listening.accept()[0]
                self._sockets.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        lock = threading.Lock()
        playing = False
        with suppress(OSError), connection.makefile("rb") as requests:
            while line := requests.readline():
                if line.startswith(b"$"):  # receiver reports
                    continue
                headers = {}
                while (more := requests.readline().strip()) != b"":
                    key, _, value = more.decode().partition(":")
                    headers[key.lower()] = value.strip()
                method = line.split()[0].decode(errors="replace")
                answer, body = self._answer(method, headers)
                text = f"RTSP/1.0 {answer}\r\nCSeq: {headers.get('cseq', '0')}\r\n"
                with lock:
                    connection.sendall((text + (f"Content-Length: {len(body)}\r\n" if body else "") + "\r\n" + body).encode())
                if method == "PLAY" and answer.startswith("200") and not playing:
                    playing = True
                    self.connections += 1
                    threading.Thread(target=self._play, args=(connection, lock), daemon=True).start()

    def _answer(self, method: str, headers: dict[str, str]) -> tuple[str, str]:
        if self.password is not None and method != "OPTIONS":
            wanted = base64.b64encode(f"admin:{self.password}".encode()).decode()
            if headers.get("authorization") != f"Basic {wanted}":
                return '401 Unauthorized\r\nWWW-Authenticate: Basic realm="camera"', ""
        if method == "DESCRIBE":
            return "200 OK\r\nContent-Type: application/sdp", _SDP
        if method == "SETUP":
            self.transports.append(headers["transport"])
            if "RTP/AVP/TCP" not in headers["transport"]:
                return "461 Unsupported Transport", ""
            return "200 OK\r\nSession: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1", ""
        return "200 OK\r\nSession: 1" + ("\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN" if method == "OPTIONS" else ""), ""

    def _play(self, connection: socket.socket, lock: threading.Lock) -> None:
        encoder: Any = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = *self.size, "yuv420p"
        encoder.framerate, encoder.time_base = round(self.rate), Fraction(1, 90000)
        encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "10"}
        sequence = 0
        with suppress(OSError):
            while True:
                number = self.number()
                frame = av.VideoFrame.from_ndarray(numbered_picture(number, *self.size), format="bgr24")
                frame.pts = int(number * 90000 / self.rate)
                for packet in encoder.encode(frame):
                    if not self.stalled.is_set():
                        with lock:
                            sequence = _send(connection, bytes(packet), int(packet.pts), sequence)
                            self.sent.append(number)
                time.sleep(max(0.0, self.begin + (number + 1) / self.rate - time.monotonic()))


def _send(connection: socket.socket, picture: bytes, stamp: int, sequence: int) -> int:
    """A picture's NAL units in RTP packets, those that are too long in fragments (FU-A)."""
    units = [unit.rstrip(b"\0") for unit in picture.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit]
    for place, unit in enumerate(units):
        if len(unit) <= _MOST:
            parts = [unit]
        else:
            cuts = [unit[1 + at : 1 + at + _MOST] for at in range(0, len(unit) - 1, _MOST)]
            first, last = 0x80, 0x40
            indicator, kind = (unit[0] & 0xE0) | 28, unit[0] & 0x1F
            parts = [
                bytes((indicator, kind | (first if n == 0 else 0) | (last if n == len(cuts) - 1 else 0))) + cut
                for n, cut in enumerate(cuts)
            ]
        for n, part in enumerate(parts):
            marker = 0x80 if place == len(units) - 1 and n == len(parts) - 1 else 0
            packet = struct.pack(">BBHII", 0x80, 96 | marker, sequence & 0xFFFF, stamp & 0xFFFFFFFF, 7) + part
            connection.sendall(struct.pack(">BBH", 0x24, 0, len(packet)) + packet)
            sequence += 1
    return sequence
