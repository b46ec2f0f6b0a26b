"""Begin a notebook and show its figures.

`show` turns a figure into a picture at once and closes it, so that nothing is shown twice and no
figure stays in memory. The sentence that describes the picture stands under it in words.

A number that was measured by training may differ in its last digits on another machine. It is
written with the sign ≈, by `about`; tests compare all other output character by character.
"""

import base64
import io
import os
import random
import warnings
from typing import TYPE_CHECKING, Any

from medmoe_lite.lab import handed_out
from medmoe_lite.lab.html import box, caption, escape, in_notebook, publish

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 100
SMALLEST = 11  # points


def about(number: float, digits: int = 3) -> str:
    """A measured number, marked as one that may differ a little elsewhere.

    >>> about(0.95347), about(71.6, 0)
    ('≈0.953', '≈72')
    """
    return f"≈{number:.{digits}f}"


def begin(
    seed: int = 0,
    threads: int | None = None,
    student: int | None = None,
    hints: int | None = None,
) -> None:
    """Make the notebook repeatable: seeds for Python, numpy and torch, the threads, no chatter.

    `threads` is `OMP_NUM_THREADS` where that is set, else 1: the models of the course are so
    small that more threads make them slower. `student` and `hints` stand in notebooks that a
    teacher hands out, see `medmoe_lite.lab.handed_out`.
    """
    import numpy
    import torch

    handed_out.set_up(student, hints)
    threads = threads or int(os.environ.get("OMP_NUM_THREADS", "1") or 1)
    torch.set_num_threads(threads)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # peft asks transformers for a property whose name has changed; nothing for a learner to do
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
    if in_notebook():
        from IPython.core.getipython import get_ipython

        stop_quietly(get_ipython())
    yours = "" if handed_out.student() is None else f" (yours: {handed_out.student()})"
    many = "s" if threads > 1 else ""
    text = f"Ready: seed {seed}{yours}, {threads} thread{many}, no network needed."
    publish(text, "")


def stop_quietly(shell: Any) -> None:
    """A cell that somebody interrupts says so in one sentence, in place of pages of traceback.

    Args:
        shell: IPython's. The cells behind the interrupted one still do not run.
    """

    def said(shell: Any, kind: Any, error: Any, trace: Any, tb_offset: Any = None) -> None:
        text = "You stopped this cell. Run it again, or begin with the cell that made its model."
        publish(text, box(escape(text), "#888888"))

    shell.set_custom_exc((KeyboardInterrupt,), said)


def enlarge(figure: "Figure") -> None:
    """Set text that is smaller than `SMALLEST` points to that size."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if isinstance(text, Text) and float(text.get_fontsize()) < SMALLEST:
            text.set_fontsize(SMALLEST)


def png(figure: "Figure") -> bytes:
    """A figure as PNG bytes, the same bytes for the same figure; closes it.

    Text smaller than `SMALLEST` points is set to that size.
    """
    import matplotlib.pyplot as plt

    enlarge(figure)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return stream.getvalue()


def show(pair: "tuple[Figure, str]") -> None:
    """Show a figure and, under it, the sentence that describes it.

    Args:
        pair: what every function of `plots` returns: the figure and its alternative text.
    """
    figure, text = pair
    picture = png(figure)
    if not in_notebook():
        print(text)
        return
    data = {"image/png": base64.b64encode(picture).decode()}
    publish(text, "", data, **{"image/png": {"alt": text}})
    publish(text, caption(text))
