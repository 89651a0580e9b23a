"""Play video outputs in headless Chromium and say what it saw: size, duration, sound, seeking, and a picture.

    python tools/play_in_chromium.py FILE... [--chromium chromium] [--shots FOLDER]

Each file is served over HTTP with ranges, as a web server does, and opened in a page that plays a little, seeks to the middle and reports.
Exits with 1 where a file does not play, does not seek, or shows nothing.
"""

from __future__ import annotations

import argparse
import base64
import http.server
import json
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any
from urllib.parse import unquote

PAGE = """<!doctype html><video id=v muted preload=auto src="/file/%d"></video><script>
const v = document.getElementById('v'), facts = {};
const send = () => fetch('/report', {method: 'POST', body: JSON.stringify(facts)});
const wait = (name, seconds) => new Promise((done, fail) => {
  v.addEventListener(name, done, {once: true}); setTimeout(() => fail(new Error('no ' + name)), 1000 * seconds); });
const picture = () => { const c = document.createElement('canvas'); c.width = v.videoWidth; c.height = v.videoHeight;
  const g = c.getContext('2d'); g.drawImage(v, 0, 0); facts.shot = c.toDataURL('image/png');
  const d = g.getImageData(0, 0, c.width, c.height).data; let low = 255, high = 0;
  for (let i = 0; i < d.length; i += 4) { low = Math.min(low, d[i]); high = Math.max(high, d[i]); } facts.contrast = high - low; };
(async () => { try {
  v.addEventListener('error', () => { facts.error = v.error.message; send(); });
  if (v.readyState < 3) await wait('canplay', 20);
  facts.width = v.videoWidth; facts.height = v.videoHeight; facts.duration = v.duration;
  await v.play(); await wait('timeupdate', 20); v.pause();
  const seeked = wait('seeked', 20); v.currentTime = v.duration / 2; await seeked;
  facts.at = v.currentTime; picture();
  facts.sound = v.webkitAudioDecodedByteCount > 0;
  } catch (e) { facts.error = String(e); } await send(); })();
</script>"""


class _Server(http.server.ThreadingHTTPServer):
    files: list[Path]
    reports: queue.Queue[dict[str, Any]]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind, _, number = unquote(self.path).strip("/").partition("/")
        if not number.isdecimal() or int(number) >= len(self.server.files):
            self.send_error(404)
        elif kind == "page":
            self._answer(200, (PAGE % int(number)).encode(), "text/html", {})
        else:
            self._send_range(self.server.files[int(number)])

    def do_POST(self) -> None:
        self.server.reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(204, b"", "text/plain", {})

    def _send_range(self, path: Path) -> None:
        data = path.read_bytes()
        begin, end = 0, len(data) - 1
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes="):
            first, _, last = asked[6:].partition("-")
            begin, end = int(first or 0), min(int(last or end), end)
        kind = {".mp4": "video/mp4", ".webm": "video/webm", ".mkv": "video/x-matroska"}.get(path.suffix, "application/octet-stream")
        more = {"Accept-Ranges": "bytes", "Content-Range": f"bytes {begin}-{end}/{len(data)}"}
        self._answer(206 if asked else 200, data[begin : end + 1], kind, more)

    def _answer(self, status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the player has enough

    def log_message(self, *words: object) -> None:
        pass


def play(chromium: str, server: _Server, number: int) -> dict[str, Any]:
    """What the browser says of one file."""
    with tempfile.TemporaryDirectory() as profile:
        page = f"http://127.0.0.1:{server.server_port}/page/{number}"
        words = [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--autoplay-policy=no-user-gesture-required",
            "--remote-debugging-port=0",
        ]
        browser = subprocess.Popen([*words, f"--user-data-dir={profile}", page], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return server.reports.get(timeout=90)
        except queue.Empty:
            return {"error": "no report within 90 s"}
        finally:
            browser.terminate()
            browser.wait()


def main() -> int:
    """Play all files and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--chromium", default=shutil.which("chromium") or "chromium")
    parser.add_argument("--shots", type=Path, help="folder for a picture of the middle of each file")
    options = parser.parse_args()
    failed = 0
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.files, server.reports = options.files, queue.Queue()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for number, file in enumerate(options.files):
            facts = play(options.chromium, server, number)
            shot = facts.pop("shot", "")
            if options.shots is not None and shot:
                (options.shots / f"{file.name}.png").write_bytes(base64.b64decode(shot.partition(",")[2]))
            good = "error" not in facts and facts.get("contrast", 0) > 20 and abs(facts["at"] - facts["duration"] / 2) < 0.5
            failed += not good
            print(f"{'plays' if good else 'FAILS'} {file.name}: {json.dumps(facts)}", flush=True)
        server.shutdown()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
