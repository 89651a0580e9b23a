"""Pictures of results: overlays, heatmaps and skeletons, drawn with OpenCV on BGR frames."""

from skipvid.draw.gate_maps import GateMaps, GateShare
from skipvid.draw.heat import HeatmapRenderer, TimeAverage
from skipvid.draw.overlay import Overlay, draw_result
from skipvid.draw.recent import RecentActivity
from skipvid.draw.skeleton import draw_skeleton
from skipvid.draw.status import Status

__all__ = ["GateMaps", "GateShare", "HeatmapRenderer", "Overlay", "RecentActivity", "Status", "TimeAverage", "draw_result", "draw_skeleton"]
