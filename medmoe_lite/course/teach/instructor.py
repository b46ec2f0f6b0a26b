"""The instructor's material: `medmoe course instructor --out DIR`.

    sources, banks, executed solutions  ->  DIR/answer_key  mark_scheme  sessions  mistakes
                                            DIR/figures/NN_name.html
                                            DIR/index.html, README.md

Each page comes as Markdown, to be changed, and as one HTML file that needs nothing else, to be
printed or mailed. Everything is made from what learners work with, so a change of an exercise
changes its key, its points and its plan.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from medmoe_lite import __version__
from medmoe_lite.course.build import notebooks_dir, sources
from medmoe_lite.course.teach import figure_sheets
from medmoe_lite.course.teach import parts as teach_parts
from medmoe_lite.course.teach.exercises import title
from medmoe_lite.course.teach.pages import page
from medmoe_lite.train.files import write_text

PAGES = {
    "answer_key": ("Answer key", teach_parts.answer_key, "solutions, points, quiz answers"),
    "mark_scheme": (
        "Mark scheme",
        teach_parts.mark_scheme,
        "one mark a thought, for questions in words",
    ),
    "sessions": ("Session plans", teach_parts.session_plans, "50 and 90 minutes for each notebook"),
    "mistakes": ("Common mistakes", teach_parts.common_mistakes, "each in the words of its check"),
}


def write(out: Path, names: Iterable[str] = ()) -> list[Path]:
    """Write the whole material below `out`; returns the files written.

    Raises:
        SystemExit: no notebook begins with one of `names`.
    """
    chosen, made, links = sources(names), [], []
    for name, (heading, build, what) in PAGES.items():
        text = build(chosen)
        made += [write_text(out / f"{name}.md", text)]
        made += [write_text(out / f"{name}.html", page(heading, text))]
        links.append(f"- [{heading}]({name}.html): {what}")
    captions = []
    for source in chosen:
        found = figure_sheets.figures(notebooks_dir() / "solutions" / f"{source.stem}.ipynb")
        head, number = f"{title(source)}: figures", source.stem[:2]
        body = figure_sheets.sheet(found, number)
        made += [write_text(out / "figures" / f"{source.stem}.html", page(head, f"# {head}", body))]
        links.append(f"- [{head}](figures/{source.stem}.html): {len(found)}, with captions")
        listed = figure_sheets.captions(found, number)
        captions.append(f"## {title(source)}\n\n{plain_lines(listed)}")
    text = "\n\n".join(["# Captions of the figures", *captions]) + "\n"
    made += [write_text(out / "figures" / "captions.md", text)]
    intro = (
        f"Made by medmoe-lite {__version__} from the notebooks' sources. {teach_parts.KEEP_BACK}"
    )
    index = "\n\n".join(["# For teachers", intro, "\n".join(links)]) + "\n"
    made += [
        write_text(out / "README.md", index),
        write_text(out / "index.html", page("For teachers", index)),
    ]
    return made


def plain_lines(text: str) -> str:
    """Markdown lines whose dollar signs are no formulas."""
    return text.replace("$", r"\$")


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="medmoe course instructor", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", help="notebooks, such as 03 (default: all)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the material")
    options = parser.parse_args(arguments)
    if not (notebooks_dir() / "source").is_dir():
        print(f"There is no {notebooks_dir()}: the sources come with the repository. Type this "
              "command in a clone.", file=sys.stderr)  # fmt: skip
        return 2
    made = write(options.out, options.names)
    print(f"{len(made)} files in {options.out}; begin with {options.out / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
