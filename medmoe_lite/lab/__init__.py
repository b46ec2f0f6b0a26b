"""What only notebooks use: checks, hints, predictions, quizzes, plots, widgets.

The first cell of every notebook imports these names and calls `begin`.
"""

from medmoe_lite.lab import plots
from medmoe_lite.lab.checks import check, hint, use
from medmoe_lite.lab.predict import predict, reveal
from medmoe_lite.lab.quiz import quiz
from medmoe_lite.lab.show import about, begin, show

__all__ = [
    "about",
    "begin",
    "check",
    "hint",
    "plots",
    "predict",
    "quiz",
    "reveal",
    "show",
    "use",
]
