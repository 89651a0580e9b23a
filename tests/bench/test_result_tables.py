"""`benchmarks/tables.py`: tables get into the Markdown files whole, at their own place, or not at all."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from tables import ResultTable, caption, split_place  # noqa: E402

PAGE = "# Results\n\n<!-- speed -->\nold\n<!-- /speed -->\n\nbetween\n\n<!-- memory -->\nkept\n<!-- /memory -->\nend\n"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "RESULTS.md"
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_a_table_replaces_what_stood_at_its_place_and_nothing_else(page: Path) -> None:
    with ResultTable("speed", ("network", "ms"), page, "A note.") as table:
        table.row("D0", 1.5)
    text = page.read_text(encoding="utf-8")
    assert "| network | ms |\n|---|---|\n| D0 | 1.5 |\n<!-- /speed -->\n\nbetween" in text and "A note." in text and "old" not in text
    assert text.endswith("<!-- memory -->\nkept\n<!-- /memory -->\nend\n")


def test_a_run_that_fails_leaves_the_page_as_it_was(page: Path) -> None:
    with pytest.raises(RuntimeError), ResultTable("speed", ("network", "ms"), page) as table:
        table.row("D0", 1.5)
        raise RuntimeError("the clip is broken")
    assert page.read_text(encoding="utf-8") == PAGE


def test_an_unknown_place_is_found_before_anything_is_measured(page: Path) -> None:
    with pytest.raises(ValueError, match="no place <!-- poses -->"):
        ResultTable("poses", ("network",), page)


def test_a_row_with_a_cell_too_few_is_refused(page: Path) -> None:
    with pytest.raises(ValueError, match="1 cells for 2 columns"), ResultTable("speed", ("network", "ms"), None) as table:
        table.row("D0")


def test_the_caption_names_the_command_without_this_machines_folders(tmp_path: Path) -> None:
    text = caption(["/somewhere/benchmarks/videos.py", "--data", str(tmp_path), "--write", "--threads", "2"])
    assert text.startswith(f"`python benchmarks/videos.py --data {tmp_path.name} --threads 2`: ") and str(tmp_path) not in text


def test_every_place_in_the_repository_is_well_formed() -> None:
    text = (Path(__file__).parents[2] / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    names = [line[5:-4] for line in text.splitlines() if line.startswith("<!-- ") and not line.startswith("<!-- /")]
    assert names and len(set(names)) == len(names)
    for name in names:
        head, tail = split_place(text, name)
        assert head.endswith(f"<!-- {name} -->") and tail.startswith(f"<!-- /{name} -->")
