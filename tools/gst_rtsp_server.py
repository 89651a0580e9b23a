"""An RTSP server on the loopback, GStreamer's, whose pictures carry the time at which they were made. Run it with the system's Python:

    /usr/bin/python3 tools/gst_rtsp_server.py PORT [RATE] [WIDTH] [HEIGHT]        (Debian: gir1.2-gst-rtsp-server-1.0, python3-gi,
                                                                                   gstreamer1.0-plugins-base, -good and -ugly)

rtsp://127.0.0.1:PORT/clock is H.264 without reordering, a keyframe a second. The upper half of each picture holds the milliseconds of the
machine's monotonic clock as 32 squares in two rows, the highest bit first, white = 1; below, bars move.
"""

import sys
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PORT = sys.argv[1]
RATE, WIDTH, HEIGHT = (int(word) for word in [*sys.argv[2:5], *("25", "640", "360")[len(sys.argv) - 2 :]])
LAUNCH = (
    f"( appsrc name=clock is-live=true do-timestamp=true format=time caps=video/x-raw,format=GRAY8,width={WIDTH},height={HEIGHT},"
    f"framerate={RATE}/1 ! videoconvert ! video/x-raw,format=I420 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={RATE} "
    "bitrate=3000 ! rtph264pay name=pay0 pt=96 config-interval=1 )"
)


def picture(number):
    """GRAY8 bytes."""
    stamp = int(time.monotonic() * 1000) & 0xFFFFFFFF
    cell = WIDTH // 16
    rows = []
    for half in (stamp >> 16, stamp & 0xFFFF):
        row = b"".join((b"\xeb" if half >> bit & 1 else b"\x10") * cell for bit in range(15, -1, -1))
        rows.append(row.ljust(WIDTH, b"\x80") * (HEIGHT // 4))
    bars = bytes(60 + 120 * ((x + 3 * number) // 40 % 2) for x in range(WIDTH))
    return b"".join(rows) + bars * (HEIGHT - 2 * (HEIGHT // 4))


def configure(factory, media):
    begin, state = time.monotonic(), [0]

    def need(source, length):
        state[0] += 1
        time.sleep(max(0.0, begin + state[0] / RATE - time.monotonic()))
        source.emit("push-buffer", Gst.Buffer.new_wrapped(picture(state[0])))

    media.get_element().get_by_name("clock").connect("need-data", need)


Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_service(PORT)
server.set_address("127.0.0.1")
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(LAUNCH)
factory.set_shared(True)
factory.connect("media-configure", configure)
server.get_mount_points().add_factory("/clock", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
