"""Text for people: errors of other packages on one line."""

from __future__ import annotations

import pytest

from skipvid.core.text import one_line


@pytest.mark.parametrize(
    ("said", "longest", "shown"),
    [
        ("first\n   second\tthird ", 0, "first second third"),
        ("first second", 12, "first second"),
        ("first second", 6, "first …"),
        ("", 5, ""),
    ],
)
def test_error_is_said_on_one_line_of_a_length(said: str, longest: int, shown: str) -> None:
    assert one_line(ValueError(said), longest) == shown
