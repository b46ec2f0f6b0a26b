"""Show text in a notebook, and print the same text where there is no notebook.

Colours are chosen to be readable on light and dark pages: text keeps the page's own colour, and
meaning is always in the words as well.
"""

import html
import sys
from typing import Any


def in_notebook() -> bool:
    """True inside a Jupyter kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def escape(text: str) -> str:
    """Text made safe for HTML."""
    return html.escape(text, quote=False)


def box(content: str, colour: str) -> str:
    """HTML with a coloured bar at its left."""
    style = f"border-left:4px solid {colour};padding:0.3em 0.8em;margin:0.2em 0"
    return f'<div style="{style}">{content}</div>'


def caption(text: str) -> str:
    """HTML of the sentence under a picture: a little smaller than the text, 12 px.

    >>> caption("a < b")
    '<div style="font-size:0.95em;line-height:1.5">a &lt; b</div>'
    """
    return f'<div style="font-size:0.95em;line-height:1.5">{escape(text)}</div>'


def publish(text: str, content: str, data: dict[str, Any] | None = None, **metadata: Any) -> None:
    """Show HTML in a notebook, with `text` beside it as plain text; elsewhere print `text`.

    `data` adds further forms of the same output (a picture, a widget) to the bundle.
    """
    if not in_notebook():
        print(text)
        return
    from IPython.display import display

    bundle = {"text/plain": text, **({"text/html": content} if content else {}), **(data or {})}
    display(bundle, raw=True, metadata=metadata)
