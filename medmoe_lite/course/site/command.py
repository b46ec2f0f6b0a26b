"""Build the course as HTML: `make site`, or `python -m medmoe_lite.course.site.command [--check]`.

    repository  --stage, pages, api-->   site/_build/source
                --Sphinx, myst-nb-->     site/_build/html
                --links-->               every link and anchor leads somewhere, and
                                         no page asks a network for anything
                --look (--check)-->      a browser at three widths, light and dark,
                                         and axe-core on every page

Notebooks are shown with the outputs that are stored; nothing is run, nothing is fetched. The HTML
folder can be opened from the disk or put on any web server.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from medmoe_lite.course.site.stage import Stage, repository_pages, solution_notebooks


def top() -> Path:
    """The top of the checkout that this package is imported from.

    Raises:
        SystemExit: the package was installed without its repository.
    """
    root = Path(__file__).resolve().parents[3]
    if not (root / "site/conf.py").is_file():
        raise SystemExit("The site is built from a clone of the repository: go there, `make site`.")
    return root


def stage(root: Path, folder: Path, notebooks: Sequence[str] = (), small: bool = False) -> Stage:
    """Gather all pages in a folder.

    Args:
        root: top of the repository.
        folder: where the pages go; what an earlier call left there is removed.
        notebooks: beginnings of names, such as "03"; none means all.
        small: a form for tests: three pages of the repository, no ledger, no bench, and of the
            reference the first page alone.
    """
    from medmoe_lite.course.site import api as site_api
    from medmoe_lite.course.site import pages as site_pages

    made = Stage(root, folder)
    pages, books = repository_pages(root), solution_notebooks(root, notebooks)
    if small:
        pages = ["README.md", "docs/add_a_paper.md", "docs/faults.md"]
    for path in (root / "site").rglob("*.md"):
        name = path.relative_to(root / "site").as_posix()
        if not name.startswith(("_build", "index.md")):
            made.page(name, path.read_text(encoding="utf-8"), f"site/{name}")
    for name in pages:
        made.page(name, (root / name).read_text(encoding="utf-8"))
    for path in books:
        made.notebook(path)
    site_pages.front_page(made)
    site_pages.course_page(made, books)
    site_pages.guides_page(made, pages)
    results = ["../docs/faults"]
    if not small:
        site_pages.ledger_page(made, site_pages.recorded(made, "nano/ladder.json"))
        site_pages.bench_page(made, site_pages.recorded(made, "bench.json"))
        results = ["ledger", *results, "bench"]
    site_pages.results_page(made, results)
    site_pages.project_page(made)
    site_api.api_pages(made, () if small else site_api.ROOMS)
    made.clear()
    return made


def build(root: Path, out: Path, strict: bool = True) -> int:
    """Run Sphinx on the staged pages; its exit code.

    Args:
        root: top of the repository.
        out: has `source`; `html` and `doctrees` are written there.
        strict: a warning is an error, such as a link that leads nowhere.
    """
    from sphinx.cmd.build import build_main

    options = ["--fail-on-warning", "--keep-going"] if strict else []
    folders = [str(out / "source"), str(out / "html")]
    settings = ["-c", str(root / "site"), "-d", str(out / "doctrees")]
    settings += ["-D", f"html_extra_path={(out / 'extra').resolve()}"]
    return build_main(["-b", "html", "-q", *options, *settings, *folders])


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make site", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--check", action="store_true", help="look at it in a browser, with axe")
    parser.add_argument("--notebooks", nargs="*", default=(), help="such as 03 (default: all)")
    parser.add_argument("--out", type=Path, help="default: site/_build")
    parser.add_argument("--shots", type=Path, help="with --check: put screenshots there")
    options = parser.parse_args(arguments)
    from medmoe_lite.course.site import links as site_links

    root, start = top(), time.monotonic()
    out = options.out or root / "site/_build"
    stage(root, out / "source", options.notebooks)
    failed = build(root, out)
    html = out / "html"
    found = site_links.problems(html)
    print("\n".join(found), end="\n" if found else "")
    pages = len(list(html.rglob("*.html")))
    print(f"{pages} pages in {time.monotonic() - start:.0f} s: {html / 'index.html'}", flush=True)
    if options.check and not failed:
        from medmoe_lite.course.site import look as site_look

        found += site_look.look(html, options.shots)
    return 1 if failed or found else 0


if __name__ == "__main__":
    sys.exit(main())
