"""The faults that tools/mutants.py puts in, one row each.

file: below skipvid/. text: stands there exactly once. tests: below tests/, with pytest's options; no more of them than it takes.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    part: str
    file: str
    text: str
    replacement: str
    tests: str


MUTANTS = (
    Mutant(
        "engine",
        "skip/gates/norm.py",
        "~(total <= self.threshold * scale",
        "(total > self.threshold * scale",
        "skip/gates/test_gate_rules.py",
    ),
    Mutant(
        "engine",
        "skip/gates/norm.py",
        "~(total <= self.threshold * scale",
        "~(total < self.threshold * scale",
        "skip/gates/test_gate_rules.py",
    ),
    Mutant(
        "engine", "skip/gates/norm.py", "return scale if math.isfinite(scale) else 0.0", "return scale", "skip/gates/test_gate_rules.py"
    ),
    Mutant("engine", "skip/gates/norm.py", "channels = distance.shape[1] if", "channels = 1 if", "skip/gates/test_gate_rules.py"),
    Mutant("engine", "skip/gates/norm.py", "return 3 * channels + 1", "return 3 * channels", "skip/gates/test_gate_rules.py"),
    Mutant("engine", "skip/gates/output_norm.py", "self.p if self.threshold > 0 else 1.0", "self.p", "skip/gates/test_gate_rules.py"),
    Mutant(
        "engine",
        "skip/cost_model.py",
        "(total * active + outputs // 2) // outputs",
        "total * active // outputs",
        "skip/ir/test_counting.py skip/test_frame_cost.py",
    ),
    Mutant(
        "engine",
        "skip/ir/cost.py",
        "math.prod(inputs[0].size) * node",
        "math.prod(node.size) * node",
        "skip/ir/test_counting.py skip/test_frame_cost.py",
    ),
    Mutant(
        "engine",
        "skip/ir/footprint.py",
        "if size in (extent, 2 * extent) else low",
        "if size == extent else low",
        "skip/ir/test_footprints.py",
    ),
    Mutant("engine", "skip/ir/footprint.py", "slack = 1e-4 + 1e-6 * out", "slack = 0 * out", "skip/ir/test_footprints.py"),
    Mutant(
        "engine", "skip/account.py", "    _add_gates(counts, units.measured, run.measured_pixels)", "    pass", "skip/test_frame_cost.py"
    ),
    Mutant(
        "engine", "skip/session.py", "1 if self.keyframe else self._since_keyframe + 1", "self._since_keyframe + 1", "skip/test_sessions.py"
    ),
    Mutant(
        "engine",
        "skip/session.py",
        "self._current = False\n        seen, self._seen = self._seen, None\n        if gated_next:",
        "seen, self._seen = self._seen, None\n        if gated_next:",
        "skip/test_sessions.py",
    ),
    Mutant(
        "engine",
        "skip/dense_stretch.py",
        "min(max(first, GROWTH * self._length), LONGEST)",
        "first",
        "skip/test_dense_stretch.py",
    ),
    Mutant("engine", "skip/gates/learned.py", "return ~(logits < 0)", "return logits > 0", "skip/gates/test_gate_rules.py"),
    Mutant("engine", "skip/gates/learned.py", "return channels\n", "return 0\n", "skip/gates/test_gate_rules.py"),
    Mutant(
        "engine",
        "skip/gates/previous.py",
        'plain = replace(layer, activation=None, consts={"weight": layer.consts["weight"]})',
        "plain = replace(layer, activation=None)",
        "skip/gates/test_gate_rules.py",
    ),
    Mutant(
        "engine",
        "skip/gates/previous.py",
        'torch.where(opened, state.maps["sum"] + added, state.maps["sum"])',
        'state.maps["sum"] + added',
        "skip/gates/test_gate_rules.py",
    ),
    Mutant(
        "engine", "skip/gates/placement.py", "return block if node.size != (1, 1) else 1", "return block", "skip/gates/test_gate_rules.py"
    ),
    Mutant("engine", "skip/gates/placement.py", "_push_up(source, by_name, gated)", "gated.add(source)", "skip/gates/test_gate_rules.py"),
    Mutant(
        "report",
        "report/summary.py",
        "result.cost.dense_macs, result.cost.macs, result.keyframe)",
        "result.cost.dense_macs, result.cost.sums.macs, result.keyframe)",
        "report/test_report_summary.py report/test_report_facts.py",
    ),
    Mutant("report", "core/costs.py", "gate_ops + other_gate_ops)", "gate_ops)", "report/test_report_summary.py"),
    Mutant(
        "report",
        "core/costs.py",
        "1.0 - (self.macs + self.gate_macs) / self.dense_macs",
        "1.0 - self.macs / self.dense_macs",
        "core/test_costs.py",
    ),
    Mutant("report", "report/units.py", 'return "99.9%"', "return shown", "report/test_report_table.py"),
    Mutant("report", "report/units.py", "value >= 9.995 else f", "value >= 10 else f", "report/test_report_table.py"),
    Mutant("report", "report/agreement.py", "overlaps[row, best] >= iou", "overlaps[row, best] > iou", "report/test_report_agreement.py"),
    Mutant("report", "report/agreement.py", "overlaps[:, best] = -1.0", "overlaps[row, best] = -1.0", "report/test_report_agreement.py"),
    Mutant("report", "report/agreement.py", "np.argsort(-other.scores", "np.argsort(other.scores", "report/test_report_agreement.py"),
    Mutant("report", "report/csvs.py", "round(value, 6) if", "round(value, 3) if", "report/test_report_files.py"),
    Mutant("report", "report/csvs.py", '"keyframe": int(result.keyframe)', '"keyframe": 1', "report/test_report_files.py"),
    Mutant("report", "report/verdict.py", "skip < NOISE * dense", "skip < dense", "report/test_report_table.py"),
    Mutant("report", "report/charts.py", "spent = layer.macs + layer.gate_macs", "spent = layer.macs", "report/test_report_charts.py"),
    Mutant(
        "report", "report/charts.py", "low = min(0.0, *(point.saving for point in points))", "low = 0.0", "report/test_report_charts.py"
    ),
    Mutant(
        "report",
        "report/summary.py",
        "if self._seen % self._stride == 0:",
        "if True:",
        "report/test_report_summary.py report/test_report_facts.py",
    ),
    Mutant(
        "report",
        "report/summary.py",
        "self._keyframes += result.keyframe",
        "self._keyframes += 1",
        "report/test_report_summary.py report/test_report_facts.py",
    ),
    Mutant(
        "report",
        "report/summary.py",
        "self._detections += len(result.detections)",
        "self._detections += 1",
        "report/test_report_summary.py report/test_report_facts.py",
    ),
    Mutant(
        "report",
        "report/summary.py",
        '"macs": cost.macs + cost.gate_macs,',
        '"macs": cost.macs,',
        "report/test_report_summary.py report/test_report_facts.py report/test_report_files.py",
    ),
    Mutant(
        "report",
        "report/summary.py",
        "return [*cost.by_stage, *other]",
        "return list(cost.by_stage)",
        "report/test_report_summary.py report/test_report_facts.py",
    ),
    Mutant(
        "report",
        "report/summary.py",
        "[a[0], *(x + y for x, y in zip(a[1:], b[1:], strict=True))]",
        "a",
        "report/test_report_summary.py report/test_report_facts.py",
    ),
    Mutant(
        "report",
        "report/table.py",
        "count((cost.macs + cost.gate_macs) / frames)",
        "count(cost.macs / frames)",
        "report/test_report_table.py",
    ),
    Mutant("report", "report/table.py", "count(cost.dense_macs / frames),", "count(cost.dense_macs),", "report/test_report_table.py"),
    Mutant(
        "report",
        "report/facts.py",
        "times(cost.dense_macs / cost.macs)",
        "times(cost.macs / cost.dense_macs)",
        "report/test_report_facts.py",
    ),
    Mutant("report", "report/facts.py", "times(dense / model)", "times(model / dense)", "report/test_report_facts.py"),
    Mutant(
        "sources",
        "video/sources/timing.py",
        "        if now > last:\n            return now\n",
        "        return now\n",
        "video/sources/test_clocks.py",
    ),
    Mutant("sources", "video/sources/orientation.py", "True, c < 0, b < 0", "True, b < 0, c < 0", "video/sources/test_video_sources.py"),
    Mutant("sources", "video/sources/options.py", "time >= end", "time > end", "video/sources/test_video_sources.py"),
    Mutant("sources", "video/sources/options.py", "self._taken >= most", "self._taken > most", "video/sources/test_video_sources.py"),
    Mutant(
        "sources",
        "video/sources/options.py",
        "time < self._options.start",
        "time <= self._options.start",
        "video/sources/test_video_sources.py",
    ),
    Mutant(
        "sources",
        "video/sources/specs.py",
        '(0, int(digits), "")',
        "(0, 0, digits)",
        "video/sources/test_specs.py video/sources/test_image_sources.py",
    ),
    Mutant("sources", "video/sources/specs.py", "printable(without_secrets(spec))", "printable(spec)", "video/sources/test_specs.py"),
    Mutant("sources", "video/sources/live.py", "self.dropped += 1\n", "pass\n", "video/sources/test_live.py"),
    Mutant("sources", "video/sources/live.py", "number - first, seconds", "number, seconds", "video/sources/test_live.py"),
    Mutant("sinks", "video/sinks/tables.py", "[result.frame.index + 1,", "[result.frame.index,", "video/sinks/test_tables.py"),
    Mutant("sinks", "video/sinks/tables.py", "(x1, y1, x2 - x1, y2 - y1)", "(x1, y1, x2, y2)", "video/sinks/test_tables.py"),
    Mutant("sinks", "video/sinks/tables.py", "4 if k % 3 == 2 else 2", "2", "video/sinks/test_tables.py"),
    Mutant("sinks", "video/sinks/coco.py", "image_id = frame.index + 1", "image_id = frame.index", "video/sinks/test_coco_sink.py"),
    Mutant("sinks", "video/sinks/coco.py", "2 if s > 0 else 0", "2 if s >= 0 else 0", "video/sinks/test_coco_sink.py"),
    Mutant("sinks", "video/sinks/records.py", "round(value, digits) + 0.0 if", "round(value, digits) if", "video/sinks/test_json_sinks.py"),
    Mutant("sinks", "video/sinks/records.py", "ensure_ascii=False", "ensure_ascii=True", "video/sinks/test_json_sinks.py"),
    Mutant("sinks", "video/sinks/targets.py", "max(known, key=len)", "min(known, key=len)", "video/sinks/test_targets.py"),
    Mutant("sinks", "video/sinks/targets.py", "os.path.samefile(source, path)", "source == str(path)", "video/sinks/test_targets.py"),
    Mutant("sinks", "video/sinks/targets.py", "key = os.path.realpath(target)", "key = target", "video/sinks/test_targets.py"),
    Mutant("sinks", "video/sinks/video.py", "max(self._last + 1, round(", "max(self._last, round(", "video/sinks/test_video_sink.py"),
    Mutant("sinks", "video/sinks/video.py", "packet.duration = rest", "pass", "video/sinks/test_video_sink.py"),
    Mutant(
        "sinks", "video/sinks/video.py", "interpolation=cv2.INTER_AREA", "interpolation=cv2.INTER_NEAREST", "video/sinks/test_video_sink.py"
    ),
    Mutant("sinks", "core/files.py", "file.discard()", "pass", "core/test_files.py"),
    Mutant("tasks", "tasks/letterbox.py", "cv2.INTER_AREA if height", "cv2.INTER_LINEAR if height", "tasks/test_letterbox.py"),
    Mutant("tasks", "tasks/letterbox.py", "-(-side // stride)", "side // stride", "tasks/test_letterbox.py"),
    Mutant("tasks", "tasks/crops.py", "cv2.INTER_AREA if shrinks", "cv2.INTER_LINEAR if shrinks", "tasks/test_crops.py"),
    Mutant("tasks", "tasks/crops.py", "(points + 0.5) * scale - 0.5 + (", "points * scale + (", "tasks/test_crops.py"),
    Mutant("tasks", "tasks/crops.py", "wanted.height * self.largest", "wanted.height * 10", "tasks/test_crops.py"),
    Mutant("tasks", "tasks/track.py", "weight = 1.0 if self.lost else SMOOTHING", "weight = SMOOTHING", "tasks/test_track.py"),
    Mutant("tasks", "tasks/track.py", "self.tracks.remove(min(lost", "self.tracks.remove(max(lost", "tasks/test_track.py"),
    Mutant("tasks", "tasks/track.py", "rows in (scores >= self._start_score", "rows in (scores > 0", "tasks/test_track.py"),
    Mutant("tasks", "tasks/track.py", "max(time - self.seen, 0.0), COASTING)", "max(time - self.seen, 0.0), 1e9)", "tasks/test_track.py"),
    Mutant(
        "tasks",
        "tasks/join.py",
        "density = patch.macs / max((x2 - x1) * (y2 - y1), 1.0)",
        "density = 1.0 * patch.macs",
        "tasks/test_join.py",
    ),
    Mutant(
        "tasks",
        "tasks/scene.py",
        "self._previous, thumbnail",
        "self._previous, thumbnail if self._previous is None else self._previous",
        "tasks/test_scene.py",
    ),
    Mutant("tasks", "models/heatmaps.py", "0.25 * np.sign(", "-0.25 * np.sign(", "models/test_heatmaps.py"),
    Mutant("tasks", "models/detections.py", "(classes[rest] != classes[best]) | (inter", "(inter", "models/test_anchors.py"),
    Mutant(
        "tasks",
        "models/detections.py",
        "intersection <= iou_threshold * union",
        "intersection < iou_threshold * union",
        "models/test_anchors.py",
    ),
    Mutant(
        "cli",
        "cli/settings/types.py",
        "return 0 <= number <= 1",
        "return 0 <= number < 1",
        "cli/test_settings.py::test_the_ends_of_a_range_belong_to_it cli/test_settings.py::test_what_lies_outside_of_a_range_is_refused",
    ),
    Mutant(
        "cli",
        "cli/settings/types.py",
        '{self.example}", param, ctx)\n        return number',
        '{self.example}", param, ctx)\n        return abs(number) or 0.03',
        "cli/test_settings.py::test_the_ends_of_a_range_belong_to_it cli/test_settings.py::test_what_lies_outside_of_a_range_is_refused",
    ),
    Mutant(
        "cli",
        "cli/settings/precedence.py",
        "of_preset if given is None else given",
        "given or of_preset",
        "cli/test_settings.py::test_zero_is_a_value_and_not_the_absence_of_one",
    ),
    Mutant("cli", "cli/talk.py", "self.verbose or not detail", "True", "cli/test_talk.py"),
    Mutant("cli", "cli/talk.py", '_echo(f"skipvid: warning: {text}")', "pass", "cli/test_talk.py"),
    Mutant("cli", "core/errors.py", "exit_code = 6", "exit_code = 1", "cli/test_talk.py"),
    Mutant("cli", "core/errors.py", "exit_code = 7", "exit_code = 0", "cli/test_talk.py"),
)
