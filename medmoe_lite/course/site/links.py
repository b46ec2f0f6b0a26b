"""Read a built site and say what leads nowhere or asks a network for something.

Every `href` and `src` that stays on the site must name a file that is there, and what follows the
# an id on that page. A page may link to other sites, but scripts, styles, pictures and fonts come
with it. Only the standard library is used.
"""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {"script", "img", "iframe", "source", "audio", "video", "embed", "object", "track"}
_CSS_URL = re.compile(r"url\(\s*['\"]?(https?:)?//|@import\s+['\"](https?:)?//")


class Page(HTMLParser):
    """The ids, links and loaded files of one page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: set[str] = set()
        self.repeated: set[str] = set()
        self.links: list[tuple[str, str, bool]] = []  # tag, target, loaded by the page itself
        self.feed(text)

    def has(self, fragment: str) -> bool:
        """Whether the page has the place that stands behind a #."""
        return unquote(fragment) in self.ids

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note ids and targets."""
        found = {name: value or "" for name, value in attrs}
        if name := found.get("id"):
            (self.repeated if name in self.ids else self.ids).add(name)
        if tag == "a" and found.get("name"):
            self.ids.add(found["name"])
        target = found.get("href") or found.get("src") or found.get("data")
        if target and tag != "base":
            rel = found.get("rel", "")
            loaded = tag in LOADS or (tag == "link" and rel not in ("canonical", "alternate"))
            self.links.append((tag, target, loaded))
        for candidate in found.get("srcset", "").split(","):
            if candidate.strip():
                self.links.append((tag, candidate.split()[0], True))


def problems(html: Path) -> list[str]:
    """What is wrong, a line each; an empty list is a site without a broken link."""
    files = [p for p in sorted(html.rglob("*.html")) if "_static" not in p.relative_to(html).parts]
    pages = {p.resolve(): Page(p.read_text(encoding="utf-8")) for p in files}
    found: list[str] = []
    for path, page in pages.items():
        name = path.relative_to(html.resolve()).as_posix()
        found += [f"{name}: the id {one!r} is there twice" for one in sorted(page.repeated)]
        for tag, target, loaded in page.links:
            parts = urlsplit(target)
            if parts.scheme in ("http", "https") or target.startswith("//"):
                if loaded:
                    found.append(f"{name}: <{tag}> is loaded from a network: {target}")
                continue
            if parts.scheme:  # data:, mailto:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not there.is_file():
                found.append(f"{name}: <{tag}> leads to {target}, which is not there")
            elif parts.fragment and there in pages and not pages[there].has(parts.fragment):
                found.append(f"{name}: <{tag}> leads to {target}; no such place on that page")
    for path in sorted(html.rglob("*.css")):
        if _CSS_URL.search(path.read_text(encoding="utf-8", errors="replace")):
            found.append(f"{path.relative_to(html).as_posix()}: loads from a network")
    return list(dict.fromkeys(found))
