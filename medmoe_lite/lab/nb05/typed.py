"""One wrong answer an exercise, as somebody would type it: the learner's run types these first."""

TYPED = {
    "5.1": (
        "rest-lost",
        """
def experts_by_depth(weights, total, low):
    rest = total - low * len(weights)
    return [low + int(rest * weight / sum(weights)) for weight in weights]
""",
    ),
    "5.2": (
        "no-router",
        """
def mixture_numbers(d_in, d_out, ranks):
    return sum(r * d_in + d_out * r for r in ranks)
""",
    ),
    "5.3": (
        "by-rank",
        """
def column_factors(weights, ranks, alpha):
    columns = []
    for i, r in enumerate(ranks):
        columns += [weights[..., i] * alpha / r] * r
    return torch.stack(columns, -1)
""",
    ),
    "5.4": (
        "sign-reversed",
        """
def group_term(p, mask, same, delta):
    use = (p * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    z = torch.where(same, 1 + delta, 1 - delta) * use
    return z.var() / z.mean() ** 2
""",
    ),
    "5.5": (
        "averaged-factors",
        """
def merge_experts(weights, prompt, A, B):
    mean = weights[prompt.bool()].mean(0)
    return (mean[:, None, None] * A).sum(0), (mean[:, None, None] * B).sum(0)
""",
    ),
    "5.6": (
        "wrong-run P",
        """
diagnosis = {"run P": CAUSES[0], "run Q": CAUSES[0], "run R": CAUSES[2]}
""",
    ),
}
