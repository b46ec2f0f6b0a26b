"""The ladder: the experiments that four papers list, run over seeds, with a verdict for each.

    claim (hypothesis, arms, rule) -> runs (one JSON an arm and seed) -> effects -> report

    medmoe reproduce --list
    medmoe reproduce forgetting orthogonal --seeds 5 --out runs/ladder

What a verdict needs is written down in the claim before anything runs: which two arms are
compared, on which measure, in which direction, and how large a difference must be to count.
"""
