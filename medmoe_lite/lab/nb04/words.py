"""What may be said from the recorded ladder in notebook 04, in words made from its numbers."""

from statistics import mean

from medmoe_lite.lab import ladder

ARMS = {"K = 1": "k = 1", "K = 2": "experts, k = 2", "K = 3": "k = 3"}


def seeds(number: int) -> str:
    """The number of seeds in words.

    >>> seeds(1), seeds(5)
    ('1 seed', '5 seeds')
    """
    return f"{number} seed{'' if number == 1 else 's'}"


def quality_by_k() -> dict[str, list[float]]:
    """Mean score of the medical tasks of K = 1, 2, 3: one number a seed."""
    return {name: ladder.numbers("top_k", arm, "medical") for name, arm in ARMS.items()}


def best_k() -> str:
    """Which K has the highest mean, and what the ladder says of the paper's choice."""
    found = {name: mean(scores) for name, scores in quality_by_k().items()}
    order = sorted(found, key=found.__getitem__, reverse=True)
    listed = ", ".join(f"{found[name]:.3f} with {name}" for name in order)
    verdict = ladder.claim("top_k")["verdict"]
    return f"{listed}. That two beat one and three add nothing: {verdict}"


def level(claim: str, arm: str, measure: str) -> str:
    """Mean and range over seeds."""
    found = ladder.numbers(claim, arm, measure)
    low, high = min(found), max(found)
    return f"{mean(found):.3f} ({low:.3f} to {high:.3f}, {seeds(len(found))})"


def effects(claim: str) -> None:
    """Print every effect of a claim, and its verdict."""
    found = ladder.claim(claim)
    for effect in found["effects"]:
        if effect["low"] is None:
            print(f"  {effect['says']}: no interval, {seeds(len(found['seeds']))}")
        else:
            print(f"  {ladder.told(effect)}")
    print(f"  verdict: {found['verdict']} ({seeds(len(found['seeds']))})")


def settled_loss(sick: list[float], healthy: list[float], last: int = 6) -> str:
    """Prediction A: how far the losses of the two runs are apart at their ends."""
    sick_end, healthy_end = mean(sick[-last:]), mean(healthy[-last:])
    return (
        f"loss ≈{sick_end:.2f} with the collapsed routers, ≈{healthy_end:.2f} with the healthy "
        f"ones; both began at ≈{healthy[0]:.1f}"
    )
