"""Controls wired to pure plot functions.

A widget here is a picture that changes when a control changes. It is keyboard-usable, its
controls have text labels, the picture carries alternative text that changes with it (which is
why it is an `img` inside an HTML widget: the Image widget has no alternative text), and the first
picture is part of the output itself, so that something is seen where no kernel runs.
"""

import base64
import html
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from medmoe_lite.lab.html import caption, escape, in_notebook, publish
from medmoe_lite.lab.quick import Pen
from medmoe_lite.lab.show import png

if TYPE_CHECKING:
    import ipywidgets
    from matplotlib.figure import Figure

_shown: "list[dict[str, ipywidgets.Widget]]" = []  # controls of the pictures of this kernel
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

    image, words, pen = ipywidgets.HTML(), ipywidgets.HTML(), Pen()

    def redraw(change: Any = None) -> None:
        try:
            figure, text = draw(**{name: control.value for name, control in controls.items()})
        except ValueError as error:
            words.value = escape(str(error))
            return
        image.value = _img(pen(figure), text)
        words.value = caption(text)

    redraw()
    for control in controls.values():
        control.observe(redraw, "value")
    _shown.append(controls)
    return ipywidgets.VBox([*controls.values(), image, words])


def another_value(control: Any) -> Any:
    """A value that the control may take and does not have now.

    >>> import ipywidgets
    >>> another_value(ipywidgets.IntSlider(value=3, min=1, max=3))
    2
    """
    if hasattr(control, "options"):
        values = [o[1] if isinstance(o, tuple) else o for o in control.options]
        return next((value for value in values if value != control.value), control.value)
    if isinstance(control.value, bool):
        return not control.value
    if isinstance(control.value, (int, float)):
        step = getattr(control, "step", 1)
        down = control.value - step
        return down if down >= control.min else control.value + step
    return f"{control.value} again"


def redraw_milliseconds() -> list[float]:
    """Move every control of every picture shown so far once; what each answer took."""
    taken = []
    for controls in _shown:
        for control in controls.values():
            start = time.perf_counter()
            control.value = another_value(control)
            taken.append(1000 * (time.perf_counter() - start))
    return taken
