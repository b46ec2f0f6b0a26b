"""The pages of the site, gathered in one folder that mirrors the repository.

    site/*.md                          --> source/            the front page and what only it has
    README.md, CHANGELOG.md, ...       --> source/
    docs/**/*.md                       --> source/docs/
    notebooks/solutions/NN.ipynb       --> source/notebooks/  solutions folded, pictures described
    data/recorded, docstrings          --> source/{course,results,api,...}   (pages.py)

Nothing is written by hand twice, and links between files of the repository go on to work. A link
to a file brings it along as a download; one to a folder, or to Markdown that is no page, becomes
plain text.
A file is only written where its content has changed, so that a second build is short.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

TOP = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "data/DATA_CARD.md")
SOLUTIONS = "notebooks/solutions"
_LINK = re.compile(r"(!?)\[([^\]\[]*(?:\[[^\]]*\][^\]\[]*)*)\]\(([^()\s]+)\)")
_FENCE = re.compile(r"(^(?:```|~~~).*?^(?:```|~~~)[ ]*$|`[^`\n]+`)", re.M | re.S)
_HREF = re.compile(r'href="([\w./-]+)\.ipynb(#[^"]*)?"')
_LOADED = re.compile(r'\b(src|srcset|href)="([^"#?\s]+)"')
_OUTSIDE = re.compile(r"^(?:[a-z][a-z+.-]*:|#|/)")


def repository_pages(root: Path) -> list[str]:
    """Markdown files of the repository that are pages, as paths from its top."""
    found = [name for name in TOP if (root / name).is_file()]
    return found + sorted(p.relative_to(root).as_posix() for p in (root / "docs").rglob("*.md"))


def solution_notebooks(root: Path, names: Iterable[str] = ()) -> list[Path]:
    """Executed notebooks, all of them or those whose name begins with one of `names`."""
    wanted = tuple(names) or ("",)
    return [p for p in sorted((root / SOLUTIONS).glob("*.ipynb")) if p.stem.startswith(wanted)]


class Stage:
    """A folder that is filled with pages, and emptied of what no longer belongs there.

    Args:
        root: top of the repository.
        folder: where the pages go.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self.extra = folder.parent / "extra"
        shutil.rmtree(self.extra, ignore_errors=True)
        self.extra.mkdir(parents=True)
        self.pages = set(repository_pages(root))
        self.written: set[str] = set()

    def write(self, name: str, content: str | bytes) -> None:
        """Write a page or a file, where it is not there with the same content."""
        data = content.encode() if isinstance(content, str) else content
        path = self.folder / name
        self.written.add(name)
        if path.is_file() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.tmp")
        beside.write_bytes(data)
        os.replace(beside, path)

    def page(self, name: str, text: str, at: str | None = None) -> None:
        """A Markdown page of the repository; `at` is its path there, where that differs."""
        self.write(name, self.links(text, at or name, name))

    def notebook(self, path: Path) -> None:
        """An executed notebook, its solutions folded."""
        at = path.relative_to(self.root).as_posix()
        name = f"notebooks/{path.name}"
        book = json.loads(path.read_text(encoding="utf-8"))
        for cell in book["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = self.links("".join(cell["source"]), at, name)
            else:
                prepare(cell)
        self.write(name, json.dumps(book, ensure_ascii=False, sort_keys=True))

    def links(self, text: str, at: str, name: str) -> str:
        """The text with its links as they must be on page `name`; it stands at `at`."""
        parts = _FENCE.split(text)

        def moved(match: re.Match[str]) -> str:
            picture, words, target = match.groups()
            path, hash_, anchor = target.partition("#")
            if _OUTSIDE.match(target) or not path:
                return match[0]
            there = os.path.normpath(PurePosixPath(at).parent / path).replace(os.sep, "/")
            if (self.root / there).is_dir():
                return words
            if not (self.root / there).is_file():
                return match[0]  # Sphinx says so
            if there.startswith(f"{SOLUTIONS}/"):
                there = there.replace(SOLUTIONS, "notebooks", 1)
            if there.endswith(".md") and there not in self.pages:
                return words
            if not there.endswith((".md", ".ipynb")):
                self.write(there, (self.root / there).read_bytes())
            here = os.path.relpath(there, PurePosixPath(name).parent).replace(os.sep, "/")
            return f"{picture}[{words}]({here}{hash_}{anchor})"

        def loaded(match: re.Match[str]) -> str:
            there = os.path.normpath(PurePosixPath(at).parent / match[2]).replace(os.sep, "/")
            if _OUTSIDE.match(match[2]) or not (self.root / there).is_file():
                return match[0]
            self.beside(there)
            here = os.path.relpath(there, PurePosixPath(name).parent).replace(os.sep, "/")
            return f'{match[1]}="{here}"'

        parts[::2] = [_LOADED.sub(loaded, _LINK.sub(moved, part)) for part in parts[::2]]
        return "".join(parts)

    def beside(self, name: str) -> None:
        """Bring a file along that only HTML in a page names, so that Sphinx does not see it."""
        path = self.extra / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((self.root / name).read_bytes())

    def clear(self) -> None:
        """Remove what an earlier build left and this one did not write."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.is_file() and path.relative_to(self.folder).as_posix() not in self.written:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def prepare(cell: dict) -> None:
    """Fold a solution, give pictures their words, let links lead to pages; changes the cell.

    >>> cell = {"metadata": {"tags": ["exercise"]}, "outputs": []}
    >>> prepare(cell)
    >>> cell["metadata"]["tags"]
    ['exercise', 'hide-input']
    """
    tags = cell["metadata"].get("tags", [])
    if "exercise" in tags:
        cell["metadata"]["tags"] = [*tags, "hide-input"]
    for output in cell["outputs"]:
        words = output.get("metadata", {}).get("image/png", {}).get("alt")
        if words:
            cell["metadata"]["mystnb"] = {"image": {"alt": " ".join(words.split())}}
        data = output.get("data", {})
        if "text/html" in data:
            data["text/html"] = _HREF.sub(r'href="\1.html\2"', "".join(data["text/html"]))
