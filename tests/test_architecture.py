"""The order of DESIGN §3, read from the source: imports run one way, and video and report know no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import skipvid

PACKAGE = Path(skipvid.__file__).parent

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"core"}),
    frozenset({"nn", "models", "presets"}),
    frozenset({"skip"}),
    frozenset({"video"}),
    frozenset({"report", "tasks"}),
    frozenset({"pipeline", "train", "bench", "evaluate", "web"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
)
"""Each part may import what stands before it, and nothing beside or behind it. A new part must be given its place here."""

CONTRACTS = frozenset({"skipvid.video.sources.base", "skipvid.video.sinks.base"})
"""Interfaces that know only results; anyone may implement them."""

LIGHT = ("video", "report")


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def part_of(module: str) -> str:
    """The part of the package that a module belongs to; "" for the package itself."""
    return module.split(".")[1] if "." in module else ""


def statements(body: list[ast.stmt], inside_functions: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports that can run; those for type checkers only cannot."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            yield from statements(node.orelse, inside_functions)
        elif inside_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.stmt):
                    yield from statements([child], inside_functions)
                elif isinstance(child, ast.ExceptHandler | ast.match_case):
                    yield from statements(child.body, inside_functions)


@cache
def imports(module: str, inside_functions: bool = True) -> frozenset[str]:
    """Dotted names that a module imports, submodules told from names by whether they exist."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in statements(ast.parse(path.read_text(encoding="utf-8")).body, inside_functions):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
            continue
        base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], *([node.module] if node.module else [])])
        source = base if node.level else str(node.module)
        for alias in node.names:
            inner = f"{source}.{alias.name}"
            found.add(inner if inner in MODULES else source)
    return frozenset(found)


def reached(module: str) -> frozenset[str]:
    """Everything that is imported when a module and all its functions are used, the packages around each module among it."""
    seen: set[str] = set()
    queue = [module]
    while queue:
        name = queue.pop()
        for around in (name.rsplit(".", count)[0] for count in range(name.count(".") + 1)):
            if around not in seen:
                seen.add(around)
                if around in MODULES:
                    queue.extend(imports(around, inside_functions=around != "skipvid"))  # the package's lazy names are not used
    return frozenset(seen)


@pytest.mark.parametrize("module", [module for module in MODULES if part_of(module)])
def test_imports_run_one_way(module: str) -> None:
    place = {part: number for number, layer in enumerate(LAYERS) for part in layer}
    part = part_of(module)
    assert part in place, f"{part} has no place in LAYERS"
    for name in imports(module):
        other = part_of(name) if name.split(".")[0] == "skipvid" else ""
        if other and other != part and name not in CONTRACTS:
            assert place[other] < place[part], f"{module} imports {name}, which does not stand before {part}"


def test_only_training_names_a_family_of_networks() -> None:
    """A new family is a file in models/ and a line in its registry; training is made for one family or another."""
    known = imports("skipvid.models.registry") & set(MODULES)
    families = {name for name in known if "\nSPECS = " in MODULES[name].read_text(encoding="utf-8")}
    assert {"skipvid.models.efficientdet", "skipvid.models.hrnet", "skipvid.models.yolox"} <= families
    others = [module for module in MODULES if part_of(module) not in {"models", "train"} and not module.startswith("skipvid.cli.train")]
    assert not {f"{module} imports {name}" for module in others for name in imports(module) & families}


def test_what_analyses_video_never_reaches_training() -> None:
    """Training is for those who install its extra: nothing else may need it."""
    training = {module for module in MODULES if part_of(module) == "train"}
    trainers = {module for module in MODULES if module.startswith(("skipvid.cli.train", "skipvid.cli.distill"))}
    others = set(MODULES) - training - trainers
    assert training and trainers
    assert not {f"{module} imports {name}" for module in others for name in imports(module) & training}


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("skipvid.skip.ir")])
def test_graphs_know_no_gates_plans_or_back_ends(module: str) -> None:
    own = {name for name in imports(module) if name.startswith("skipvid.")}
    assert all(name.startswith(("skipvid.core", "skipvid.skip.ir")) for name in own), own


@pytest.mark.parametrize("module", sorted(CONTRACTS))
def test_contracts_know_only_results_and_errors(module: str) -> None:
    assert {part_of(name) for name in imports(module) if name.split(".")[0] == "skipvid"} <= {"core"}


def test_package_itself_imports_nothing_of_its_own() -> None:
    assert not any(name.split(".")[0] == "skipvid" for name in imports("skipvid", inside_functions=False))


@pytest.mark.parametrize("module", [module for module in MODULES if part_of(module) in LIGHT])
def test_video_and_report_never_reach_torch(module: str) -> None:
    heavy = sorted(name for name in reached(module) if name.split(".")[0] in {"torch", "torchvision"})
    assert not heavy, f"{module} reaches {heavy}"


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"import sys\n{statement}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_light_parts_load_without_torch() -> None:
    names = [module for module in MODULES if part_of(module) in LIGHT and not module.endswith("__main__")]
    assert "torch" not in loaded_by("import " + ", ".join(names))


@pytest.mark.skipif("skipvid.cli" not in MODULES, reason="there is no command line yet")
def test_help_imports_neither_torch_nor_cv2() -> None:
    call = "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code"
    loaded = loaded_by(f"from skipvid.cli import main\nsys.argv = ['skipvid', '--help']\n{call}")
    assert "skipvid" in loaded and "click" in loaded
    assert not loaded & {"torch", "cv2", "av", "numpy"}


def test_importing_the_package_loads_no_torch() -> None:
    assert not loaded_by("import skipvid; skipvid.__version__") & {"torch", "cv2", "av"}


def test_package_sits_at_the_top_of_the_repository() -> None:
    root = PACKAGE.parent
    assert (root / "pyproject.toml").is_file() and (root / "tests" / "test_architecture.py").is_file()
    assert not list(root.glob("src"))


def test_walk_over_the_source_sees_what_it_should(tmp_path: Path) -> None:
    body = ast.parse(
        "import torch.nn\nif TYPE_CHECKING:\n    import hidden\nelse:\n    import shown\n"
        "def f():\n    import later\n    with x:\n        from a.b import c\ntry:\n    import d\nexcept E:\n    import e\n"
        "class C:\n    import f\n    def g(self):\n        import h\n"
    ).body

    def names(inside: bool) -> list[str]:
        return [node.names[0].name for node in statements(body, inside)]

    assert names(True) == ["torch.nn", "shown", "later", "c", "d", "e", "f", "h"]
    assert names(False) == ["torch.nn", "shown", "d", "e", "f"]


def test_no_two_modules_import_each_other() -> None:
    """What only type checkers read counts, too: who reads one module should not need the other first."""
    pairs = {(module, name) for module in MODULES for name in mentioned(module) if name in MODULES and name != module}
    both = sorted(f"{a} and {b}" for a, b in pairs if a < b and (b, a) in pairs)
    assert not both


def mentioned(module: str) -> frozenset[str]:
    """Modules that a module imports anywhere; a package that is only passed through on the way to a submodule is not."""
    path = MODULES[module]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.update(inner if (inner := f"{node.module}.{alias.name}") in MODULES else str(node.module) for alias in node.names)
    return frozenset(found)
