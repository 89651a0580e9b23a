"""The server of the page: Starlette on uvicorn, in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from skipvid.core.errors import SkipvidError
from skipvid.web.address import Address
from skipvid.web.board import Camera
from skipvid.web.kept_areas import polygons_of

PATIENCE = 1.0
"""Seconds that a viewer's question for new pictures waits for one."""

LOOK = 0.02
"""Seconds from one look for a new picture to the next."""

LARGEST = 1 << 20
"""Bytes of what a viewer may send."""

_FILES = Path(__file__).parent
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class PageServer:
    """Serves the page of some cameras while it is entered. listening: the socket. address: where that is, and the token, if any."""

    def __init__(self, cameras: Sequence[Camera], listening: socket.socket, address: Address) -> None:
        self._listening = listening
        # Pictures are drawn one at a time, in a thread that gives way to the analysis.
        self._drawing = ThreadPoolExecutor(1, "skipvid-page-picture", initializer=_give_way)
        app = make_app(cameras, address, self._drawing)
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="skipvid-page", daemon=True)

    def _serve(self) -> None:
        asyncio.run(self._server.serve([self._listening]))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=5)
        self._drawing.shutdown(wait=False, cancel_futures=True)
        self._listening.close()


def _give_way() -> None:
    if hasattr(os, "setpriority"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)  # on Linux, of this thread alone


def make_app(cameras: Sequence[Camera], address: Address, drawing: ThreadPoolExecutor) -> Starlette:
    """The page's application."""

    async def state(request: Request) -> Response:
        return JSONResponse({"cameras": [camera.record() for camera in cameras]})

    async def pictures(request: Request) -> Response:
        """Newer pictures than those seen: a line of JSON with the lengths, then one JPEG after the other."""
        try:
            seen, masks = ([int(part) for part in request.query_params.get(name, "").split(",")] for name in ("seen", "mask"))
            width = int(request.query_params.get("width", "960"))
        except ValueError:
            return PlainTextResponse("seen, mask and width are numbers", 400)
        if len(seen) != len(cameras) or len(masks) != len(cameras) or not 16 <= width <= 10_000:
            return PlainTextResponse(f"there are {len(cameras)} cameras", 400)
        end = time.monotonic() + PATIENCE
        while not any(camera.newest > number for camera, number in zip(cameras, seen, strict=True)) and time.monotonic() < end:
            await asyncio.sleep(LOOK)
        loop = asyncio.get_running_loop()
        parts, found = [], []
        for index, camera in enumerate(cameras):
            drawn = await loop.run_in_executor(drawing, camera.picture, seen[index], bool(masks[index]), width)
            if drawn is not None:
                found.append({"camera": index, "number": drawn[0], "bytes": len(drawn[1])})
                parts.append(drawn[1])
        return Response(json.dumps(found).encode() + b"\n" + b"".join(parts), media_type="application/octet-stream")

    async def areas(request: Request) -> Response:
        index = request.path_params["index"]
        if index >= len(cameras):
            return PlainTextResponse(f"there are {len(cameras)} cameras", 404)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST:
                return PlainTextResponse("too much", 413)
        try:
            told = cameras[index].draw_areas(polygons_of(json.loads(body)))
        except (SkipvidError, ValueError) as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({"told": told})

    routes = [
        Route("/", _file("page.html")),
        *(Route(f"/{name}", _file(name)) for name in ("page.css", "page.js")),
        Route("/state", state),
        Route("/pictures", pictures),
        Route("/areas/{index:int}", areas, methods=["PUT"]),
    ]
    middleware = [Middleware(BaseHTTPMiddleware, dispatch=_guard(address))]
    if address.token is None:
        # A page elsewhere could otherwise lead its own name to this machine, and read along.
        middleware.insert(0, Middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1", "[::1]", address.host]))
    return Starlette(routes=routes, middleware=middleware)


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def send(request: Request) -> Response:
        return FileResponse(_FILES / name)

    return send


Next = Callable[[Request], Awaitable[Response]]


def _guard(address: Address) -> Callable[[Request, Next], Awaitable[Response]]:
    """Lets in who knows the token, where there is one, and nobody whom another site sent to change something."""
    cookie = f"skipvid-{address.port}"

    async def dispatch(request: Request, call_next: Next) -> Response:
        response = await _answer(request, call_next)
        response.headers.update(_HEADERS)
        return response

    async def _answer(request: Request, call_next: Next) -> Response:
        if address.token is not None:
            given = request.query_params.get("token")
            if given is not None and request.url.path == "/" and _same(given, address.token):
                welcome = RedirectResponse("/", 303)
                welcome.set_cookie(cookie, address.token, httponly=True, samesite="strict")
                return welcome
            if not _same(request.cookies.get(cookie, ""), address.token):
                return PlainTextResponse("This page opens with the whole address that skipvid printed when it was started.", 403)
        origin = request.headers.get("origin")
        if request.method not in ("GET", "HEAD") and origin is not None and origin != f"http://{request.headers.get('host')}":
            return PlainTextResponse("This was sent by another site.", 403)
        return await call_next(request)

    return dispatch


def _same(one: str, other: str) -> bool:
    """Compares in a time that tells nothing."""
    return secrets.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode())
