"""One page of feedback for one student: plain HTML, one file, readable on a phone, no script.

Everything on it is escaped: names and texts come from what students wrote.
"""

import html
from collections.abc import Mapping
from typing import Any

WORDS = {
    "right": "right",
    "wrong": "not yet",
    "error": "stopped with an error",
    "open": "not attempted",
    "missing": "no answer",
}
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 46rem; padding: 1rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.15rem; margin-top: 2rem }
article { border-left: 4px solid #888; margin: 0.8rem 0; padding: 0.1rem 0.8rem }
article.right { border-color: #2e8b57 } article.wrong, article.error { border-color: #c0392b }
p { margin: 0.3rem 0; overflow-wrap: anywhere } .points { float: right }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { border: 1px solid #8886; padding: 0.25rem 0.5rem; text-align: left; vertical-align: top }
td.n { text-align: right } code { overflow-wrap: anywhere }
"""


def escape(text: Any) -> str:
    """Text for any place in HTML, quotes included.

    >>> escape('<script src="x">')
    '&lt;script src=&quot;x&quot;&gt;'
    """
    return html.escape(str(text), quote=True)


def document(title: str, body: str) -> str:
    """A whole page around a body that is escaped already."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>"
    )


def page(result: Mapping[str, Any]) -> str:
    """The feedback page of one result."""
    head = f"Feedback for {result['student']}"
    parts = [
        f"<h1>{escape(head)}</h1>",
        f"<p><strong>{result['points']} of {result['max']} points.</strong></p>",
        problems(result["problems"]),
    ]
    for stem, book in result["notebooks"].items():
        rows = book["exercises"]
        got, most = (sum(row[what] for row in rows.values()) for what in ("points", "max"))
        parts.append(f"<h2>{escape(stem.replace('_', ' '))}: {got} of {most}</h2>")
        parts.append(problems(book["problems"]))
        parts += [exercise(row) for row in rows.values()]
    parts.append(
        "<p><small>Each answer was checked as in the notebook, and then with other numbers. "
        "Both have to be right.</small></p>"
    )
    return document(head, "\n".join(part for part in parts if part))


def problems(found: list[Mapping[str, str]]) -> str:
    """What is odd about a submission, as a list; what a scan suspects is for the teacher alone."""
    shown = [one for one in found if one["kind"] != "suspicious-code"]
    items = "".join(f"<li>{escape(one['text'])}</li>" for one in shown)
    return f"<ul>{items}</ul>" if items else ""


def exercise(row: Mapping[str, Any]) -> str:
    """One exercise: points, verdict, the mistake by name, what the hidden check found."""
    verdict, hidden = row["verdict"], row["hidden"]
    fooled = verdict == "right" and hidden and hidden["verdict"] not in ("right", "none")
    words = "right in the notebook, not with other numbers" if fooled else WORDS[verdict]
    mistake = hidden["mistake"] if fooled else row["mistake"]
    name = f" <code>{escape(mistake)}</code>" if mistake and (fooled or verdict != "right") else ""
    text = "" if verdict in ("open", "missing") else f"<p>{escape(row['text'])}</p>"
    if fooled:
        text = f"<p>{escape(hidden['text'])}</p>"
    css = "wrong" if fooled else verdict
    return (
        f'<article class="{escape(css)}"><p><span class="points">{row["points"]} of {row["max"]}'
        f"</span><strong>{escape(row['key'])}</strong> {escape(words)}.{name}</p>{text}</article>"
    )
