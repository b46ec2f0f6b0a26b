"""The example card of notebook 10: does a way of answering cross from specialty to specialty?"""

from typing import Any

CARD: dict[str, Any] = {
    "id": "domains",
    "hypothesis": "Learning on other specialties works as well as learning on all of them.",
    "arms": {"ours": {"specialties": "others"}, "other": {"specialties": "all"}},
    "measure": "new",
    "expect": "no less",
    "margin": 0.1,
    "seeds": [0, 1, 2],
    "budget_seconds": 40,
}
