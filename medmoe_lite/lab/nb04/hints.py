"""Three hints for each exercise of notebook 04: a nudge, a plan, the worked solution."""

HINTS = {
    "4.1": (
        "First throw away the padding: which rows of weights belong to real tokens? Then ask of"
        " each number only whether it is zero.",
        "rows = weights at the places where mask is true        # (real tokens, e)\n"
        "counts = for each expert: how many rows are above zero  # (e,)\n"
        "return counts divided by their sum",
        "counts = (weights[mask.bool()] > 0).sum(0)\nreturn counts / counts.sum()",
    ),
    "4.2": (
        "The entropy of e equal shares is log e. So what do you divide by? And what is"
        " 0 · log 0 in floating point?",
        "e = number of experts\n"
        "entropy = - sum of load · log(load), with load clamped away from 0\n"
        "evenness = entropy / log e\nbusiest = largest share\n"
        "dead = how many shares are below 0.1 / e",
        "e = len(load)\nentropy = -(load * load.clamp_min(1e-12).log()).sum()\n"
        "evenness = entropy / torch.tensor(float(e)).log()\n"
        "return float(evenness), float(load.max()), int((load < 0.1 / e).sum())",
    ),
    "4.3": (
        "Two entropies: one of the average token, one that each token has by itself, averaged."
        " For dice both are log e. For tokens that decide only the first is large.",
        "p = probabilities of real tokens                       # (real tokens, e)\n"
        "of_mean = entropy of the mean of p over tokens\n"
        "mean_of = mean over tokens of the entropy of p\n"
        "return (of_mean - mean_of) / log e          # torch.special.entr(p) is -p log p, 0 at 0",
        "p = probabilities[mask.bool()]\nof_mean = torch.special.entr(p.mean(0)).sum()\n"
        "mean_of = torch.special.entr(p).sum(-1).mean()\n"
        "return float((of_mean - mean_of) / torch.tensor(float(p.shape[-1])).log())",
    ),
    "4.4": (
        "Two vectors with one number an expert: the load, which you have, and the mean"
        " probability. Both over real tokens only.",
        "mean = mean of the probabilities of real tokens        # (e,), keeps its gradient\n"
        "load = expert_load(weights, mask)                      # (e,)\n"
        "return e times the sum over experts of load · mean",
        "mean = probabilities[mask.bool()].mean(0)\n"
        "return len(mean) * (expert_load(weights, mask) * mean).sum()",
    ),
    "4.5": (
        "n experts share 32 columns. How many has each? And which alpha keeps alpha / r at 2?",
        "r = 32 divided by n, a whole number\nlora_alpha = 2 · r\n"
        "top_k = 2, or fewer where there are fewer experts",
        'r = 32 // n\nreturn {"num_experts": n, "r": r, "lora_alpha": 2 * r, "top_k": min(2, n)}',
    ),
    "4.6": (
        "Ask three things of each run. Did its routers move? Does its own count agree with the"
        " count over real tokens? Do its tokens still decide?",
        "no movement at all: nothing reaches the routers, neither loss\n"
        "own count better than the true one: something is counted that is not a token\n"
        "even, but the tokens decide less than in the healthy run: dice",
        'diagnosis = {"run P": CAUSES[2], "run Q": CAUSES[0], "run R": CAUSES[1]}',
    ),
}
