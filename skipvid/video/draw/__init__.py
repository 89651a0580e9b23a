"""Pictures of results: overlays, heatmaps and skeletons, drawn with OpenCV on BGR pictures or on planes."""

from skipvid.video.draw.gate_maps import GateMaps, GateShare
from skipvid.video.draw.heat import HeatmapRenderer, TimeAverage
from skipvid.video.draw.overlay import Overlay, draw_planes, draw_result
from skipvid.video.draw.recent import RecentActivity
from skipvid.video.draw.skeleton import draw_skeleton
from skipvid.video.draw.status import Status

__all__ = [
    "GateMaps",
    "GateShare",
    "HeatmapRenderer",
    "Overlay",
    "RecentActivity",
    "Status",
    "TimeAverage",
    "draw_planes",
    "draw_result",
    "draw_skeleton",
]
