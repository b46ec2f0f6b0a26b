"""Look at a built site in a real browser: three widths, light and dark, and axe-core.

    each page  x  {360, 768, 1280} px   does anything stick out sideways?
               x  {light, dark}         axe-core at phone and desktop: what a screen reader or a
                                        keyboard cannot use, contrast that is too low
               always                   a request to a network, an error in the console

The site is served from this machine to itself and every other address is refused. Needs the extra
`site` and a Chromium: the system's, or the one of `playwright install chromium`.
"""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WIDTHS = {"phone": 360, "tablet": 768, "desktop": 1280}
PATIENCE, TALLEST = 300_000, 8000  # milliseconds; pixels of a screenshot
GRAVE = ("serious", "critical")
# Contrast takes most of the time and depends on the scheme, the rest on the width.
# preload would read style sheets once more, and @import relative to the wrong folder.
SLOW, RESULTS = "color-contrast", {"resultTypes": ["violations"], "preload": False}
RULES: dict[tuple[str, str], dict[str, Any]] = {
    ("desktop", "light"): RESULTS,
    ("desktop", "dark"): {**RESULTS, "runOnly": {"type": "rule", "values": [SLOW]}},
    ("phone", "light"): {**RESULTS, "rules": {SLOW: {"enabled": False}}},
}
CHROMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


@contextmanager
def served(html: Path) -> Iterator[str]:
    """The address of a folder, served on this machine while the block runs."""
    handler = functools.partial(_Quiet, directory=str(html))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def pages_of(html: Path) -> list[str]:
    """All pages that a reader meets, the front page first."""
    names = {p.relative_to(html).as_posix() for p in html.rglob("*.html")}
    names = {name for name in names if not name.startswith("_static/")}
    return sorted(names, key=lambda name: (name != "index.html", name))


def look(html: Path, shots: Path | None = None, names: Sequence[str] = ()) -> list[str]:
    """Visit pages; what is wrong with them, a line each.

    Args:
        html: the built site.
        shots: put a picture of every page at every width, in light and dark, here.
        names: pages to visit; all of them where none is named.
    """
    from playwright.sync_api import sync_playwright

    found: list[str] = []
    chrome = next(filter(None, map(shutil.which, CHROMES)), None)
    names = list(names) or pages_of(html)
    with served(html) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chrome, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page, trouble = opened(browser, address, scheme)
            for name in names:
                trouble.clear()
                page.set_viewport_size({"width": WIDTHS["desktop"], "height": 900})
                page.goto(address + name, wait_until="load")
                found += [f"{name}, {line}" for line in visit(page, scheme, name, shots)]
                found += [f"{name}, {scheme}: {line}" for line in trouble]
            page.close()
        browser.close()
    found = list(dict.fromkeys(found))
    print("\n".join(found), end="\n" if found else "")
    print(f"{len(names)} pages, {len(WIDTHS)} widths, light and dark: {len(found)} problems")
    return found


def opened(browser: Any, address: str, scheme: str) -> tuple[Any, list[str]]:
    """A page that may talk to `address` alone, and the list that its troubles are written to."""
    page = browser.new_page(color_scheme=scheme)
    page.set_default_timeout(PATIENCE)
    # The theme's own switch wins over the system's wish: put it where a reader would.
    page.add_init_script(f"localStorage.mode = localStorage.theme = '{scheme}'")
    trouble: list[str] = []
    page.on("console", lambda m: trouble.extend([m.text] * (m.type == "error")))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("response", lambda r: trouble.extend([f"no {r.url}"] * (r.status >= 400)))

    def guard(route: Any, request: Any) -> None:
        if request.url.startswith((address, "data:", "blob:")):
            return route.continue_()
        trouble.append(f"asks for {request.url}")
        return route.abort()

    page.route("**/*", guard)
    return page, trouble


def visit(page: Any, scheme: str, name: str, shots: Path | None) -> list[str]:
    """One page at every width: what sticks out, what axe-core calls serious; its pictures."""
    from axe_playwright_python.sync_playwright import Axe

    found: list[str] = []
    for width_name, width in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": 900})
        too_wide = page.evaluate(WIDER)
        if too_wide > 1:
            found.append(f"{width} px: {too_wide} px stick out sideways")
        if (width_name, scheme) in RULES:
            judged = Axe().run(page, options=RULES[width_name, scheme]).response["violations"]
            found += [f"{width_name}, {scheme}: {line}" for line in grave(judged)]
        if shots:
            shots.mkdir(parents=True, exist_ok=True)
            file = f"{name.removesuffix('.html').replace('/', '-')}-{width}-{scheme}.png"
            tall = min(page.evaluate("document.body.scrollHeight"), TALLEST)
            shown = {"x": 0, "y": 0, "width": width, "height": tall}
            page.screenshot(path=shots / file, full_page=True, clip=shown)
    return found


def grave(violations: Sequence[dict[str, Any]]) -> list[str]:
    """Serious and critical violations of axe-core, a line each, with the first place.

    >>> node = {"target": ["h1"], "failureSummary": "why"}
    >>> grave([{"id": "a", "impact": "serious", "help": "h", "nodes": [node]}])
    ['a (serious): h; 1 place, such as h1: why']
    """
    lines: list[str] = []
    for one in violations:
        nodes = one["nodes"]
        places = f"{len(nodes)} place{'s' * (len(nodes) != 1)}"
        why = " ".join(str(nodes[0].get("failureSummary", "")).split())
        line = f"{one['id']} ({one['impact']}): {one['help']}; {places}, such as "
        if one["impact"] in GRAVE:
            lines.append(f"{line}{nodes[0]['target'][0]}: {why}")
    return lines
