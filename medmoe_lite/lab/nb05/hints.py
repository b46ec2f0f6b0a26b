"""Three hints for each exercise of notebook 05: a nudge, a plan, the worked solution."""

HINTS = {
    "5.1": (
        "Every layer gets `low` first. How many experts are left, and which part of them does a"
        " layer of weight w get? Shares are fractions: what is left when you round them down?",
        "rest = total - low · layers\nshares = rest · weight / sum of weights, one a layer\n"
        "plan = low + share rounded down, one a layer\n"
        "give one more to the layers with the largest fractions, until the sum is total",
        "rest = total - low * len(weights)\n"
        "shares = [rest * weight / sum(weights) for weight in weights]\n"
        "plan = [low + int(share) for share in shares]\n"
        "order = sorted(range(len(plan)), key=lambda i: (shares[i] % 1, i), reverse=True)\n"
        "for i in order[: total - sum(plan)]:\n    plan[i] += 1\nreturn plan",
    ),
    "5.2": (
        "One rank column is one row of A and one column of B. One expert is one row of the router"
        " and one bias.",
        "columns = sum of ranks, each costs d_in + d_out\n"
        "router rows = number of experts, each costs d_in + 1",
        "return sum(ranks) * (d_in + d_out) + len(ranks) * (d_in + 1)",
    ),
    "5.3": (
        "First make one factor an expert: its weight, times alpha, divided by the root of its own"
        " rank. Then repeat each as often as the expert has columns.",
        "sizes = ranks as a tensor\nscaled = weights · alpha / root of sizes       # (..., e)\n"
        "repeat_interleave(scaled, sizes, last axis)    # (..., R)",
        "sizes = torch.tensor(ranks)\nscaled = weights * alpha / sizes.sqrt()\n"
        "return scaled.repeat_interleave(sizes, -1)",
    ),
    "5.4": (
        "The smallest value has all Z equal. If an expert of the own kind is multiplied by the"
        " smaller factor, what must its use be?",
        "use = sum over real tokens of p, divided by their number       # (b, e)\n"
        "Z = use · (1 - delta where same, else 1 + delta)\n"
        "variance of all Z, divided by the square of their mean",
        "use = (p * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)\n"
        "z = use * torch.where(same, 1 - delta, 1 + delta)\nreturn z.var() / z.mean() ** 2",
    ),
    "5.5": (
        "A sum of products is one product of longer matrices: [B1 B2] times [A1 over A2] is"
        " B1 A1 + B2 A2. The weights go into one side only.",
        "mean = weights of the prompt tokens, averaged                # (e,)\n"
        "A: the experts' rows under each other                        # (e·r, d_in)\n"
        "B: each expert times its weight, side by side                # (d_out, e·r)",
        "mean = (weights * prompt[:, None]).sum(0) / prompt.sum()\n"
        "scaled = mean[:, None, None] * B\n"
        "return A.flatten(0, 1), scaled.permute(1, 0, 2).flatten(1)",
    ),
    "5.6": (
        "Each panel watches one step. Read the sum in the legend of the first, the order of the"
        " two bars in the second, the height in the third.",
        "total in the legend not that of the others: the budget\n"
        "general samples below one and medical samples above: the term\n"
        "merged update not as strong as the routed one: the merge",
        'diagnosis = {"run P": CAUSES[1], "run Q": CAUSES[0], "run R": CAUSES[2]}',
    ),
}
