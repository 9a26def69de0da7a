"""Import directions: the diagram of docs/architecture.md is the rule, and the code follows it."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "occdepth_ros"
DIAGRAM = ROOT / "docs" / "architecture.md"
CORE = {"grid", "camera", "classes", "prediction", "errors", "files", "compiled", "rotation"}
GENERATED = {"msg", "srv", "action", "__version__"}
ROS = re.compile(r"(rclpy|launch|launch_ros|tf2_ros|diagnostic_updater|std_srvs|rosidl\w*|\w+_msgs)(\.|$)")


def diagram_edges() -> set[tuple[str, str]]:
    """Edges (importing, imported) of the mermaid diagram."""
    block = re.search(r"```mermaid\n(.*?)```", DIAGRAM.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None, "docs/architecture.md holds no mermaid diagram"
    return set(re.findall(r"^\s*(\w+) --> (\w+)$", block[1], re.MULTILINE))


def reachable(edges: set[tuple[str, str]], start: str) -> set[str]:
    """Every package that `start` reaches along the edges."""
    found: set[str] = set()
    pending = [start]
    while pending:
        here = pending.pop()
        following = {b for a, b in edges if a == here} - found
        found |= following
        pending += following
    return found


@cache
def modules_imported_by(path: Path) -> list[str]:
    """Names of all imported modules, including imports inside functions; package members count as modules."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module == "occdepth_ros":
                names += [f"occdepth_ros.{alias.name}" for alias in node.names]
            else:
                names.append(node.module)
    return names


def package_of(part: str) -> str:
    """The node of the diagram that a direct child of `occdepth_ros` belongs to."""
    if part in CORE:
        return "core"
    return "commands" if part == "cli" else part


def package_imports() -> dict[tuple[str, str], list[str]]:
    """Edges (importing, imported) between packages, each with the files that cause it."""
    edges: dict[tuple[str, str], list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        importing = package_of(path.relative_to(PACKAGE).with_suffix("").parts[0])
        for name in modules_imported_by(path):
            parts = name.split(".")
            if parts[0] != "occdepth_ros" or len(parts) == 1 or parts[1] in GENERATED:
                continue
            if importing != (imported := package_of(parts[1])):
                edges.setdefault((importing, imported), []).append(str(path.relative_to(ROOT)))
    return edges


def files_importing(pattern: re.Pattern[str]) -> set[str]:
    """Direct children of the package with a file that imports a module that matches."""
    return {
        path.relative_to(PACKAGE).with_suffix("").parts[0]
        for path in PACKAGE.rglob("*.py")
        if any(pattern.match(name) for name in modules_imported_by(path))
    }


def test_the_diagram_has_no_cycle() -> None:
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for importing, imported in diagram_edges():
        sorter.add(importing, imported)
    sorter.prepare()  # raises CycleError


def test_every_import_follows_the_arrows() -> None:
    edges = diagram_edges()
    wrong = {
        f"{importing} -> {imported}": files
        for (importing, imported), files in package_imports().items()
        if imported not in reachable(edges, importing)
    }
    assert wrong == {}, "import along the arrows of docs/architecture.md, or move the function to a lower package"


def test_every_arrow_stands_for_an_import() -> None:
    assert diagram_edges() - set(package_imports()) == set(), "remove these arrows from docs/architecture.md"


def test_every_package_is_in_the_diagram_and_in_the_table() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py") if any(path.parent.glob("[!_]*.py"))}
    drawn = {name for edge in diagram_edges() for name in edge}
    assert packages - drawn == set()
    text = DIAGRAM.read_text(encoding="utf-8")
    assert {name for name in packages if f"`{name}/`" not in text} == set()


def test_only_nodes_and_demo_import_ros() -> None:
    assert files_importing(ROS) <= {"nodes", "demo"}


def test_only_training_imports_lightning() -> None:
    assert files_importing(re.compile(r"(pytorch_)?lightning(\.|$)")) <= {"training"}


@pytest.mark.parametrize("file", sorted(set(re.findall(r"`([a-z_]+/[\w/]+\.py|[a-z]+\.py)`", DIAGRAM.read_text()))))
def test_every_file_that_the_architecture_page_names_exists(file: str) -> None:
    assert any((base / file).is_file() for base in (PACKAGE, ROOT)), file
