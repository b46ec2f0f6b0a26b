"""A curve that grows while a model trains, as in `with live(steps) as show_loss: ...`.

The picture is a small SVG inside a widget, drawn at most three times a second, so it costs
nothing beside a training step. Where no kernel runs, one line of text stands in its place. A run
that is interrupted leaves the curve as far as it came.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from medmoe_lite.lab.html import escape, in_notebook, publish
from medmoe_lite.lab.plots import PAGE, PALETTE

WIDTH, HEIGHT, SECONDS = 420, 120, 0.33


class LiveCurve:
    """Collects (step, value) and draws them. Call it once a step.

    Args:
        steps: how many there will be; the x axis.
        label: what the value is.
    """

    def __init__(self, steps: int, label: str = "loss") -> None:
        self.steps, self.label = steps, label
        self.values: list[float] = []
        self._drawn = 0.0
        self._widget = None

    def __call__(self, value: float) -> None:
        """Add the value of the next step."""
        self.values.append(float(value))
        if self._widget is not None and time.monotonic() - self._drawn > SECONDS:
            self.draw()

    def open(self) -> None:
        """Show the empty curve."""
        text = f"Training: {self.steps} steps."
        if not in_notebook():
            print(text)
            return
        import ipywidgets

        from medmoe_lite.lab.widgets import view

        self._widget = ipywidgets.HTML()
        self.draw()
        publish(text, "", view(self._widget))

    def draw(self) -> None:
        """Draw what there is."""
        self._drawn = time.monotonic()
        if self._widget is not None:
            self._widget.value = svg(self.values, self.steps, self.label)


def svg(values: list[float], steps: int, label: str) -> str:
    """The curve as an SVG element that says in words where it is.

    >>> "step 2 of 4, loss 1.00" in svg([2.0, 1.0], 4, "loss")
    True
    """
    high = max(values, default=1.0) or 1.0
    points = " ".join(
        f"{8 + (WIDTH - 16) * i / max(1, steps - 1):.1f},"
        f"{HEIGHT - 8 - (HEIGHT - 34) * v / high:.1f}"
        for i, v in enumerate(values)
    )
    now = f"step {len(values)} of {steps}"
    if values:
        now += f", {label} {values[-1]:.2f}"
    return (
        f'<svg role="img" aria-label="{escape(now)}" width="{WIDTH}" height="{HEIGHT}" '
        f'style="background:{PAGE};max-width:100%">'
        f'<polyline fill="none" stroke="{PALETTE["shared"]}" stroke-width="2" points="{points}"/>'
        f'<text x="8" y="16" font-size="14" fill="#333333">{escape(now)}</text></svg>'
    )


@contextmanager
def live(steps: int, label: str = "loss") -> Iterator[LiveCurve]:
    """A curve for one run; its last state stays.

    Example:
        >>> with live(2) as show_loss:
        ...     show_loss(2.0)
        Training: 2 steps.
    """
    curve = LiveCurve(steps, label)
    curve.open()
    try:
        yield curve
    finally:
        curve.draw()
