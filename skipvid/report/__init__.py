"""What a run cost and saved: sums, agreement with dense, and the report as text, CSV, JSON and HTML. Never imports torch."""

from skipvid.report.agreement import Agreement, MapAgreement, agreement, map_agreement
from skipvid.report.csvs import CostCsv
from skipvid.report.document import summary_document
from skipvid.report.gate_table import render_gates
from skipvid.report.html import write_html
from skipvid.report.summary import Comparison, CurvePoint, SummaryBuilder, ThresholdRow
from skipvid.report.table import render_report

__all__ = [
    "Agreement",
    "Comparison",
    "CostCsv",
    "CurvePoint",
    "MapAgreement",
    "SummaryBuilder",
    "ThresholdRow",
    "agreement",
    "map_agreement",
    "render_gates",
    "render_report",
    "summary_document",
    "write_html",
]
