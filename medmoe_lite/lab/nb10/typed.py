"""One wrong answer an exercise, as somebody would type it: the learner's run types these first."""

TYPED = {
    "10.1": (
        "z-not-t",
        """
def paired_interval(ours, other, level=0.95):
    gaps = [a - b for a, b in zip(ours, other)]
    n, mean = len(gaps), sum(gaps) / len(gaps)
    z = statistics.NormalDist().inv_cdf((1 + level) / 2)
    half = z * statistics.stdev(gaps) / math.sqrt(n)
    return mean, mean - half, mean + half
""",
    ),
    "10.2": (
        "null-is-contradicted",
        """
def judge(mean, low, high, expect, margin):
    if expect == "no less":
        return HOLDS if low > -margin else CONTRADICTED
    if expect == "less":
        mean, low, high = -mean, -high, -low
    return HOLDS if low > 0 and mean >= margin else CONTRADICTED
""",
    ),
    "10.3": (
        "order-matters",
        """
def fingerprint(card):
    return hashlib.sha256(str(card).encode()).hexdigest()
""",
    ),
    "10.4": (
        "two-differences",
        """
card = {
    "id": "domains",
    "hypothesis": "Learning on other specialties works as well as learning on all of them.",
    "arms": {"ours": {"specialties": "others", "conditions": 4}, "other": {"specialties": "all"}},
    "measure": "new",
    "expect": "no less",
    "margin": 0.1,
    "seeds": [0, 1, 2],
    "budget_seconds": 40,
}
""",
    ),
    "10.5": (
        "t-of-today",
        """
def seeds_needed(gaps, half_width):
    n = 2
    while student_t(0.95, len(gaps) - 1) * statistics.stdev(gaps) / math.sqrt(n) > half_width:
        n = n + 1
    return n
""",
    ),
    "10.6": (
        "wrong-run Q",
        """
CAUSES = nb10.failure.CAUSES
diagnosis = {"run P": CAUSES[1], "run Q": CAUSES[1], "run R": CAUSES[0]}
""",
    ),
}
