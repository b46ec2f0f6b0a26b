"""Controls wired to pure plot functions.

A widget here is a picture that changes when a control changes. It is keyboard-usable, its
controls have text labels, the picture carries alternative text that changes with it (which is
why it is an `img` inside an HTML widget: the Image widget has no alternative text), and the first
picture is part of the output itself, so that something is seen where no kernel runs.
"""

import base64
import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from medmoe_lite.lab.html import escape, in_notebook, publish
from medmoe_lite.lab.show import png

if TYPE_CHECKING:
    import ipywidgets
    from matplotlib.figure import Figure

WIDGET = "application/vnd.jupyter.widget-view+json"


def view(widget: "ipywidgets.Widget") -> dict[str, Any]:
    """The part of an output bundle that shows a live widget."""
    return {WIDGET: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}}


def _img(picture: bytes, text: str) -> str:
    """An `img` element that carries its picture and its alternative text."""
    source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    return f'<img style="max-width:100%" alt="{html.escape(text)}" src="{source}">'


def explorer(
    draw: "Callable[..., tuple[Figure, str]]", controls: "dict[str, ipywidgets.Widget]"
) -> None:
    """Show a picture that is drawn anew whenever a control changes.

    Args:
        draw: pure function of the controls' values, by name, to (figure, alternative text). It
            may raise ValueError with a sentence for the learner; the old picture then stays.
        controls: argument name -> widget with a `value`; give each a `description`.
    """
    figure, text = draw(**{name: control.value for name, control in controls.items()})
    picture = png(figure)
    if not in_notebook():
        print(text)
        return
    data = {"image/png": base64.b64encode(picture).decode(), **view(wire(draw, controls))}
    publish(text, "", data, **{"image/png": {"alt": text}})


def wire(draw: "Callable[..., tuple[Figure, str]]", controls: "dict[str, ipywidgets.Widget]"):
    """The box of controls, picture and sentence that `explorer` shows."""
    import ipywidgets

    image, caption = ipywidgets.HTML(), ipywidgets.HTML()

    def redraw(change: Any = None) -> None:
        try:
            figure, text = draw(**{name: control.value for name, control in controls.items()})
        except ValueError as error:
            caption.value = escape(str(error))
            return
        image.value = _img(png(figure), text)
        caption.value = f"<small>{escape(text)}</small>"

    redraw()
    for control in controls.values():
        control.observe(redraw, "value")
    return ipywidgets.VBox([*controls.values(), image, caption])
