"""Documents name files that exist, and the README stays short."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "components").glob("*/README.md"))]
# Written by a command, not kept.
MADE = {"images/digests.json"}
WALKS = {"a detector config": 3, "a head family": 2, "a compression algorithm": 3, "an export target": 3, "a metric": 2}


def test_the_readme_has_at_most_130_lines():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    for file, heading in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
        target = page.parent / file if file else page
        assert target.exists(), file
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert heading in [re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_of_the_repository_that_a_page_names_exist(page):
    rooms = "core|components|pipelines|tools|scripts|tests|configs|docs|images|deploy|benchmarks"
    for file in re.findall(rf"`((?:{rooms})/[\w./-]+\.\w+)`", page.read_text()):
        assert file in MADE or (ROOT / file).exists(), file


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_names_files_that_exist_and_no_more_than_it_may(walk):
    text = (ROOT / "docs" / "contributing.md").read_text().partition(f"### Add {walk}\n")[2].partition("\n### ")[0]
    files = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    assert 0 < len(files) <= WALKS[walk]
    assert all(any(ROOT.glob(file)) for file in files)
