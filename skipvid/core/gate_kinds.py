"""The kinds of gates by name, as `SkipConfig.gate`, presets and `--gate` have it, and the module that holds each.

Another kind is a module with a `KIND` (see skipvid.skip.gates.base) and a line here. The table stands in core, as plain text, because
presets and the command line list the names without knowing skipvid.skip; skipvid.skip.gates.registry imports a module when it is needed.
"""

from __future__ import annotations

KINDS = {
    "norm": "skipvid.skip.gates.norm",
    "norm-smooth": "skipvid.skip.gates.smooth_norm",
    "norm-output": "skipvid.skip.gates.output_norm",
    "gumbel": "skipvid.skip.gates.learned",
    "none": "skipvid.skip.gates.none",
}
