"""What MkDocs is told beyond mkdocs.yml: pages that lie at the top of the repository, and where relative links lead.

README.md and its neighbours stay where everybody looks for them, and their links work there. In the documentation they
are pages like any other, so each relative link is looked up in the repository: what is a page leads to that page, any
other file or folder leads to the repository's public address, and what does not exist is left to MkDocs, which ends the
build.
"""

from __future__ import annotations

import posixpath
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

TAKEN_IN = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
}
"""File at the top of the repository -> page."""

DECISIONS = "decisions/index.md"
"""The page that lists the decision records."""

RECORDS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))

LINK = re.compile(r"(?<=\]\()(?![a-z][a-z0-9+.-]*:|#|/)([^)\s#]+)")
"""The path in a relative link or image of Markdown."""

SOURCES = {page: file for file, page in TAKEN_IN.items()}


def on_config(config: MkDocsConfig, /) -> MkDocsConfig:
    """Put the decision records into the navigation, in their order."""
    pages = [DECISIONS, *(f"decisions/{record.name}" for record in RECORDS)]
    config.nav = [{"Decisions": pages} if "Decisions" in entry else entry for entry in config.nav or []]
    return config


def on_files(files: Files, /, *, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in docs/."""
    for file, page in TAKEN_IN.items():
        text = (ROOT / file).read_text() + (_unreleased() if file == "CHANGELOG.md" else "")
        files.append(File.generated(config, page, content=text))
    titles = ((record.name, record.read_text().partition("\n")[0].lstrip("# ")) for record in RECORDS)
    lines = [f"- [{title}]({name})" for name, title in titles]
    about = "Why groundbreak is as it is: each record says what was asked, what was chosen, and on what evidence."
    files.append(File.generated(config, DECISIONS, content="\n".join(["# Decisions", "", about, "", *lines, ""])))
    return files


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead each relative link to where it leads in the repository."""
    here = page.file.src_uri
    if here == DECISIONS:
        return markdown
    folder = posixpath.dirname(SOURCES.get(here, f"docs/{here}"))

    def lead(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[1]))
        wanted = _page(target)
        if wanted is not None and files.get_file_from_path(wanted):
            return posixpath.relpath(wanted, posixpath.dirname(here) or ".")
        if not target.startswith("..") and (ROOT / target).exists():
            kind = "tree" if (ROOT / target).is_dir() else "blob"
            return f"{config.repo_url}/{kind}/main/{target}"
        return link[0]

    return LINK.sub(lead, markdown)


def _unreleased() -> str:
    """Collect the notes in changes/, as the next release will have them."""
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "Unreleased", "--date", ""]
    notes = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return "\n" + notes.replace("## Unreleased ()", "## Unreleased")


def _page(target: str) -> str | None:
    """Find the page of a path in the repository."""
    if target == "docs/decisions":
        return DECISIONS
    return TAKEN_IN.get(target, target.removeprefix("docs/") if target.startswith("docs/") else None)
