"""Documentation: links resolve, the README stays short, and every guide is reachable from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "README.md"])
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings as GitHub generates them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_and_anchors_resolve(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


GUIDES = "own_camera calibration models own_data training planners map deployment troubleshooting viewers costmap"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_row_of_a_table_has_a_cell_for_each_column(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = re.sub(r"`[^`]*`|\\\|", "", table).splitlines()
        assert {row.count("|") for row in rows} == {rows[0].count("|")}, rows[0]


@pytest.mark.parametrize("guide", GUIDES.split())
def test_every_guide_has_a_picture(guide: str) -> None:
    text = (ROOT / "docs" / f"{guide}.md").read_text(encoding="utf-8")
    assert re.search(r"^(!\[.+\]\(|```mermaid)", text, re.MULTILINE)


def test_every_extra_is_documented() -> None:
    section = re.search(
        r"^\[project.optional-dependencies\]\n(.*?)\n\n", (ROOT / "pyproject.toml").read_text("utf-8"), re.M | re.S
    )
    assert section
    text = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    extras = dict(re.findall(r"^(\w+) = \[(.*)\]$", section[1], re.MULTILINE))
    assert len(extras) > 5
    for extra, packages in extras.items():
        (row,) = re.findall(rf"^\| `{extra}` \| (.+?) \|", text, re.MULTILINE)
        assert row.split(", ") == re.findall(r'"([\w-]+)', packages), extra


def test_the_readme_has_at_most_150_lines() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_every_page_is_reachable_from_the_readme() -> None:
    reached: set[Path] = set()
    pending = [ROOT / "README.md"]
    while pending:
        page = pending.pop()
        reached.add(page)
        links = {(page.parent / link.partition("#")[0]).resolve() for link in LINK.findall(page.read_text("utf-8"))}
        pending += [target for target in links - reached if target.suffix == ".md" and target not in pending]
    assert set(PAGES) - reached == set()
