"""One wrong answer an exercise, as somebody would type it: the learner's run types these first."""

TYPED = {
    "4.1": (
        "weights-not-counts",
        """
def expert_load(weights, mask):
    return weights[mask.bool()].mean(0)
""",
    ),
    "4.2": (
        "in-nats",
        """
def dials(load):
    entropy = -(load * load.clamp_min(1e-12).log()).sum()
    return float(entropy), float(load.max()), int((load < 0.1 / len(load)).sum())
""",
    ),
    "4.3": (
        "padding-counted",
        """
def information(probabilities, mask):
    p = probabilities.flatten(0, 1)
    of_mean = torch.special.entr(p.mean(0)).sum()
    mean_of = torch.special.entr(p).sum(-1).mean()
    return float((of_mean - mean_of) / torch.tensor(float(p.shape[-1])).log())
""",
    ),
    "4.4": (
        "no-experts",
        """
def balance_loss(weights, probabilities, mask):
    mean = probabilities[mask.bool()].mean(0)
    return (expert_load(weights, mask) * mean).sum()
""",
    ),
    "4.5": (
        "scale",
        """
def same_rank(n):
    return {"num_experts": n, "r": 32 // n, "lora_alpha": 8, "top_k": min(2, n)}
""",
    ),
    "4.6": (
        "wrong-run Q",
        """
CAUSES = nb04.failure.CAUSES
diagnosis = {"run P": CAUSES[2], "run Q": CAUSES[3], "run R": CAUSES[1]}
""",
    ),
}
