"""Pages that are made, not written: the course, the guides, the ledger, the bench.

Every number on them comes from a recorded file or from the notebooks' own sources.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from medmoe_lite.course.site.stage import Stage

GROUPS = {
    "Run it": ("troubleshooting", "gpu", "data", "serve", "cluster", "colab", "windows"),
    "Teach with it": ("class", "grading", "hub", "teach/*"),
    "Extend it": ("add_a_paper", "upgrade", "release"),
    "More": ("*",),
}
ELSEWHERE = {"docs/faults.md"}  # listed among the results


def title_of(text: str) -> str:
    """The first heading of a Markdown page.

    >>> title_of("text\\n\\n# Faults: a `page`\\n")
    'Faults: a page'
    """
    found = re.search(r"^# (.+)$", text, re.M)
    return found[1].replace("`", "").strip() if found else ""


def first_sentence(text: str) -> str:
    """What a page says about itself: the first sentence of its first paragraph."""
    body = re.sub(r"^(```|~~~).*?^\1", "", text.lstrip(), flags=re.M | re.S)
    for block in body.split("\n\n")[1:]:
        plain = " ".join(block.split())
        if plain and plain[0] not in "#|-*<>!0123456789" and not block.startswith("    "):
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", plain)
            return re.split(r"(?<=[.!?])\s", plain)[0]
    return ""


def toctree(names: Iterable[str], hidden: bool = True) -> str:
    """A table of contents, for the menus."""
    option = ":hidden:\n" if hidden else ""
    return "```{toctree}\n" + option + "\n" + "\n".join(names) + "\n```\n"


def front_page(stage: Stage) -> None:
    """The front page, with the README's picture and the sentence below it."""
    text = (stage.root / "site/index.md").read_text(encoding="utf-8")
    readme = (stage.root / "README.md").read_text(encoding="utf-8")
    picture = r"(<picture>.*?</picture>|!\[[^\]]*\]\(notebooks/figures/[^)]*\))\n+(\*[^*]+\*)?"
    found = re.search(picture, readme, re.S)
    shown = f"{found[1]}\n\n{{.small}}\n{found[2] or ''}" if found else ""
    shown = stage.links(shown, "README.md", "index.md")
    stage.write("index.md", text.replace("<!-- picture of the README -->", shown))


def course_page(stage: Stage, notebooks: Sequence[Path]) -> None:
    """The notebooks in order: question, time, exercises, and the first picture's words."""
    from medmoe_lite.lab.course_map import COURSE, exercises_of

    stops = {stop.file: stop for stop in COURSE}
    lines = [
        "# The course",
        "",
        "Eleven notebooks, each executed, with the outputs as they were stored. In the repository "
        "you open the same notebooks with the solutions taken out; here a solution is one click "
        "away. Each computes in minutes on two cores, without a network.",
        "",
        "{.stops}",
    ]
    for path in notebooks:
        stop = stops.get(path.stem)
        number, title = path.stem[:2], stop.title if stop else path.stem
        minutes = reading_minutes(stage.root / "notebooks/source" / f"{path.stem}.py")
        exercises = len(exercises_of(number))
        facts = [f"{minutes} minutes"] if minutes else []
        facts += [f"{exercises} exercises"] if exercises else []
        question = stop.question if stop else ""
        lines.append(
            f"- **[{number} {title}]({path.name})** \\\n  {question} \\\n  _{', '.join(facts)}_"
        )
    lines += ["", toctree([path.stem for path in notebooks])]
    stage.write("notebooks/index.md", "\n".join(lines))


def reading_minutes(source: Path) -> int:
    """Minutes that the title cell of a source names, or 0."""
    found = re.search(r"^# %%.*minutes=(\d+)", source.read_text("utf-8") if source.exists() else "")
    return int(found[1]) if found else 0


def guides_page(stage: Stage, pages: Sequence[str]) -> None:
    """All pages of docs/ in groups; a page that no group names comes last."""
    left = [name for name in pages if name.startswith("docs/") and name not in ELSEWHERE]
    lines, order = ["# Guides", ""], []
    for group, patterns in GROUPS.items():
        chosen = []
        for pattern in patterns:
            one = [n for n in left if Path(n).match(f"docs/{pattern}.md")]
            one = left if pattern == "*" else one
            chosen += sorted(one)
            left = [name for name in left if name not in one]
        if not chosen:
            continue
        lines += [f"## {group}", "", "{.stops}"]
        for name in chosen:
            text = (stage.root / name).read_text(encoding="utf-8")
            lines.append(f"- **[{title_of(text)}](../{name})** \\\n  {first_sentence(text)}")
        lines.append("")
        order += [f"../{name.removesuffix('.md')}" for name in chosen]
    stage.write("guides/index.md", "\n".join([*lines, toctree(order)]))


PROJECT = {
    "README": "Commands, notebooks, what was measured, the package in ten lines.",
    "project/cite": "The kit, and the papers whose methods it builds.",
    "CONTRIBUTING": "Where things are, style, tests.",
    "CODE_OF_CONDUCT": "How we treat each other.",
    "CHANGELOG": "What is new in each version.",
    "data/DATA_CARD": "Where facts and tasks come from, and what they are not for.",
}


def project_page(stage: Stage) -> None:
    """What stands at the top of the repository."""
    names = [name for name in PROJECT if f"{name}.md" in stage.written]
    lines = ["# Project", "", "{.stops}"]
    for name in names:
        text = (stage.folder / f"{name}.md").read_text(encoding="utf-8")
        title = "The kit on one page" if name == "README" else title_of(text)
        lines.append(f"- **[{title}](../{name}.md)** \\\n  {PROJECT[name]}")
    stage.write("project/index.md", "\n".join([*lines, "", toctree(f"../{n}" for n in names)]))


def raw(html: str) -> str:
    """HTML as it is, in Markdown; nothing for nothing."""
    return f"```{{raw}} html\n{html}\n```\n" if html else ""


def scrolling(html: str, label: str) -> str:
    """Tables that may be wider than a phone: reachable with the keyboard, and named."""
    wide = f'<div class="wide" tabindex="0" role="region" aria-label="{label}">'
    return html.replace('<div class="wide">', wide)


def ledger_page(stage: Stage, summary: dict[str, Any]) -> None:
    """The claim ledger: what each paper says, what was seen, and the numbers."""
    from html import escape

    from medmoe_lite.reproduce.figures import close, draw, to_bytes
    from medmoe_lite.reproduce.report import CLASS, MEANING, condition
    from medmoe_lite.reproduce.tables import arms_table, effects_table
    from medmoe_lite.reproduce.verdict import VERDICTS

    def chip(verdict: str) -> str:
        return f'<span class="v {CLASS[verdict]}">{escape(verdict)}</span>'

    claims, seeds = summary["claims"], summary["seeds"]
    counts = Counter(claim["verdict"] for claim in claims.values())
    told = ", ".join(f"{v} {counts[v]}" for v in VERDICTS)
    stamp = summary["stamp"]
    lines = [
        "# The claim ledger",
        "",
        f"What four papers claim, tested on the embedded model `{summary['base']}` over "
        f"{len(seeds)} seeds. Of {len(claims)} claims: {told}. What is compared, in which "
        "direction, and the smallest difference that counts were written down before the runs. "
        "A small model can refute an “always” and show how a mechanism works. It cannot confirm a "
        "result on exams, and nothing here says anything about patients.",
        "",
        f"Intervals are Student's, 95 %, over seeds. {summary['primary_effects']} effects decide; "
        "“also corrected” marks those that stand when all are taken together (Bonferroni). One "
        f"seed takes about {summary['cpu_minutes_per_seed']} minutes of one thread: "
        f"`medmoe reproduce --seeds {len(seeds)}`. Recorded {stamp.get('time', '')[:10]} with "
        f"torch {stamp.get('torch', '')}, PEFT {stamp.get('peft', '')}.",
        "",
    ]
    meanings = "".join(f"<dt>{chip(v)}</dt><dd>{escape(MEANING[v])}.</dd>" for v in VERDICTS)
    lines += [raw(f"<dl>{meanings}</dl>")]
    rows = "".join(
        f'<tr><td><a href="#claim-{name.replace("_", "-")}">{escape(claim["title"])}</a></td>'
        f"<td>{escape(claim['paper'])}</td><td>{chip(claim['verdict'])}</td></tr>"
        for name, claim in claims.items()
    )
    head = "".join(f'<th scope="col">{word}</th>' for word in ("Question", "Paper", "Verdict"))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    lines += [raw(scrolling(f'<div class="wide">{table}</div>', "all claims"))]
    for name, claim in claims.items():
        facts = {
            "Paper": f"{claim['paper']}: {claim['item']}",
            "Hypothesis": claim["hypothesis"],
            "Held equal": claim["equal"],
            "Must hold for the comparison to count": "; ".join(map(condition, claim["conditions"])),
            "In the paper": f"{claim['published']} ({claim['source']})",
            "What this scale cannot show": claim["limit"],
        }
        listed = "".join(f"<dt>{k}</dt><dd>{escape(v)}</dd>" for k, v in facts.items() if v)
        lines += [f"(claim-{name.replace('_', '-')})=", f"## {claim['title']}", ""]
        lines += [raw(f"<p>{chip(claim['verdict'])} {escape(claim['why'])}</p><dl>{listed}</dl>")]
        lines += [raw(scrolling(effects_table(claim), f"effects: {escape(claim['title'])}"))]
        if (drawn := draw(claim)) is not None:
            figure, words = drawn
            stage.write(f"results/ledger/{name}.svg", to_bytes(figure, "svg", name))
            close(figure)
            lines += [picture(f"ledger/{name}.svg", words)]
        lines += [raw(scrolling(arms_table(claim), f"arms: {escape(claim['title'])}"))]
    stage.write("results/ledger.md", "\n".join(lines))


def picture(path: str, words: str) -> str:
    """A figure in Markdown, its words below it and as alternative text."""
    plain = " ".join(words.split())
    return f"```{{figure}} {path}\n:alt: {plain}\n\n{plain}\n```\n"


DESIGNS = {
    "frozen": "the base alone",
    "lora kr": "stock LoRA of rank k·r, what the open experts alone would cost",
    "lora Er": "stock LoRA of rank E·r, the same number of parameters",
    "dense loop": "each expert for every token, the chosen ones picked out",
    "sparse loop": "each expert for the tokens that chose it, one after the other",
    "stacked, sparse, auto": "this package",
}


def bench_page(stage: Stage, recorded: dict[str, Any]) -> None:
    """What the layer costs against a frozen layer, plain LoRA and loops."""
    from medmoe_lite.measure.bench_clock import ratio
    from medmoe_lite.measure.bench_report import figure, first_of
    from medmoe_lite.reproduce.figures import to_bytes

    machine, cells, targets = recorded["machine"], recorded["cells"], recorded["targets"]
    reached = sum(target["reached"] for target in targets)
    lines = [
        "# The bench",
        "",
        "What a mixture of LoRA experts costs in time, against the frozen layer alone, plain LoRA "
        "and straightforward loops over experts. Designs take turns within each of "
        f"{recorded['rounds']} rounds; a ratio is the median over rounds, with the middle half of "
        f"them. One machine: {machine['processor']}, {machine['instructions']}, "
        f"{machine['threads']} thread, torch {machine['torch']}. To measure yours: `medmoe bench`.",
        "",
        *(f"- **{name}**: {words}" for name, words in DESIGNS.items()),
        "",
        f"## Targets: {reached} of {len(targets)} reached",
        "",
        "| target | measured | middle half | outcome |",
        "|---|---|---|---|",
    ]
    for target in targets:
        half = f"{target['low']:.2f}–{target['high']:.2f}"
        outcome = "reached" if target["reached"] else f"missed by {target['missed_by']:.3f}"
        lines.append(f"| {target['target']} | {target['value']:.2f} | {half} | {outcome} |")
    for number, (name, cell) in enumerate(cells.items()):
        times, base = cell["times"], first_of(cell["times"])
        setting = cell.get("setting", {})
        lines += ["", f"## {name}", ""]
        if setting:
            told = (
                f"{setting['tokens']} tokens a call, top-{setting['top_k']}, rank {setting['r']}."
            )
            lines += [told, ""]
        lines += [f"| design | milliseconds | × {base} | middle half |", "|---|---|---|---|"]
        ratios = []
        for design, values in times.items():
            middle = ratio(values, times[base])
            milli = sorted(values)[len(values) // 2] * 1e3
            half = f"{middle.low:.2f}–{middle.high:.2f}"
            lines.append(f"| {design} | {milli:.2f} | {middle.median:.2f} | {half} |")
            ratios.append(f"{design} {middle.median:.2f}")
        file = f"bench/{number:02d}.svg"
        stage.write(f"results/{file}", to_bytes(figure({name: cell}), "svg", file))
        lines += ["", picture(file, f"Time in units of {base}, {name}: {', '.join(ratios)}.")]
    stage.write("results/bench.md", "\n".join(lines))


def results_page(stage: Stage, names: Sequence[str]) -> None:
    """What was measured, and where."""
    told = {
        "ledger": ("The claim ledger", "What four papers claim, with verdicts over five seeds."),
        "../docs/faults": ("Faults", "What happens when machines, disks and files fail."),
        "bench": ("The bench", "What the layer costs against plain LoRA and loops."),
    }
    lines = [
        "# Results",
        "",
        "Everything here is made from files in `data/recorded/`, which commands of the kit wrote. "
        "Nulls and refuted claims are shown like the others.",
        "",
        "{.stops}",
    ]
    for name in names:
        title, words = told[name]
        lines.append(f"- **[{title}]({name}.md)** \\\n  {words}")
    stage.write("results/index.md", "\n".join([*lines, "", toctree(names)]))


def recorded(stage: Stage, name: str) -> dict[str, Any]:
    """A file of data/recorded."""
    return json.loads((stage.root / "data/recorded" / name).read_text(encoding="utf-8"))
