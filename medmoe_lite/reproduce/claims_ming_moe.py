"""MING-MOE (arXiv 2404.09027): the layout. One LoRA or experts, how many, how large, where."""

from __future__ import annotations

from .claim import Claim, Condition, Effect, Plot
from .settings import LINEARS, molora
from .stages import MOLORA, mixture

NOT_FOUND = "no number found: the summaries that we have name the experiment, not its result"
EQUAL = (
    "Same base, data, steps, order of the data and learning rate. Experts are in the feed-forward "
    "layers; attention has plain LoRA of rank 4. The numbers that learn are given with each arm."
)
LEARNT = Condition(
    "experts, k = 2", "medical", 0.2, 0.98, "nothing learnt, or nothing left to learn, shows no gap"
)

# 8 experts of rank 4 and their routers have as many numbers as LoRA of rank 35.3.
PLAIN = {"num_experts": 0, "r": 4}
LORA_EQUAL = mixture("lora_36", molora(**PLAIN, shared_experts=9), seconds=27)
LORA_ACTIVE = mixture("lora_8", molora(**PLAIN, shared_experts=2), seconds=26)
K_1 = mixture("molora_k1", molora(top_k=1))
K_3 = mixture("molora_k3", molora(top_k=3))
ALONE: dict[str, list[str]] = {"plain_modules": []}
RANKS = {
    r: mixture(f"molora_e4_r{r}", molora(num_experts=4, r=r, **ALONE), attention=True)
    for r in (8, 16, 32)
}
# Ranks 3 and 2 on seven projections cost as much as rank 4 on three, within 2 %.
FFN_ONLY = mixture("molora_ffn", molora(**ALONE))
BOTH = mixture(
    "molora_all",
    {
        **molora(expert_ranks=[3, 3, 2, 2, 2, 2, 2, 2], target_modules=LINEARS, **ALONE),
        "lora_alpha": 5,
    },
    seconds=38,
)
MANY = {
    2: mixture("molora_e2", molora(num_experts=2, r=16, **ALONE), attention=True),
    4: RANKS[8],
    8: MOLORA,
    16: mixture("molora_e16", molora(num_experts=16, r=2, **ALONE), attention=True),
}


LORA_OR_MOLORA = Claim(
    id="lora_or_molora",
    title="Does a mixture of LoRA experts learn many tasks better than one LoRA?",
    paper="MING-MOE",
    item="the central result: MoLoRA against LoRA",
    hypothesis="At equal parameters 8 experts with 2 open reach a higher mean over four tasks.",
    equal=EQUAL + " LoRA of rank 36 in the feed-forward layers has 1.7 % more numbers than 8 "
    "experts of rank 4 with their routers.",
    published=(
        "MedCare Table 5 (7B, knowledge tasks, Chinese and English): LoRA 55.92, DoRA 59.18, "
        "MedCare (shared experts and MoLoRA) 60.29"
    ),
    source="arXiv 2406.17484, Table 5; MING-MOE itself: no number at equal parameters found",
    arms={"experts, k = 2": MOLORA, "LoRA r = 36": LORA_EQUAL, "LoRA r = 8": LORA_ACTIVE},
    effects=(
        Effect("equal parameters", "medical", "experts, k = 2", "LoRA r = 36", margin=0.03),
        Effect(
            "equal open rank", "medical", "experts, k = 2", "LoRA r = 8", margin=0.03, primary=False
        ),
        Effect(
            "general ability, equal parameters", "general", "experts, k = 2", "LoRA r = 36",
            margin=0.03, primary=False,
        ),
    ),
    conditions=(LEARNT,),
    plot=Plot(("medical", "general")),
    quick=True,
    quick_arms=("experts, k = 2", "LoRA r = 36"),
)  # fmt: skip

TOP_K = Claim(
    id="top_k",
    title="How many experts should a token open?",
    paper="MING-MOE",
    item="first experiment 1: K = 1, 2, 3",
    hypothesis="Two open experts are better than one, and three add nothing.",
    equal=EQUAL + " All arms have the same numbers; k = 3 computes more.",
    published=NOT_FOUND + ". The paper's choice is K = 2 of N = 8.",
    source="arXiv 2404.09027",
    arms={"k = 1": K_1, "experts, k = 2": MOLORA, "k = 3": K_3},
    effects=(
        Effect("two instead of one", "medical", "experts, k = 2", "k = 1", margin=0.03),
        Effect("two instead of three", "medical", "experts, k = 2", "k = 3", "no less", 0.03),
    ),
    conditions=(LEARNT,),
    plot=Plot(("medical", "general")),
)

RANK = Claim(
    id="rank",
    title="Which rank do experts need?",
    paper="MING-MOE",
    item="first experiment 2: r = 8, 16, 32",
    hypothesis="Rank 16 is better than 8, and 32 adds nothing.",
    equal=EQUAL
    + " 4 experts, 2 open. The ranks differ, so the parameters do: that is the question.",
    published=NOT_FOUND + ". The paper's choice is r = 16 at widths of 2048 and more.",
    source="arXiv 2404.09027",
    arms={f"r = {r}": work for r, work in RANKS.items()},
    effects=(
        Effect("16 instead of 8", "medical", "r = 16", "r = 8", margin=0.03),
        Effect("16 instead of 32", "medical", "r = 16", "r = 32", "no less", 0.03),
    ),
    conditions=(LEARNT._replace(arm="r = 8"),),
    plot=Plot(("medical", "general")),
    limit="The nano base is 128 wide: rank 8 here is a larger share of the width than 32 at 2048.",
)

WHERE = Claim(
    id="where",
    title="Adapt the feed-forward layers only, or attention as well?",
    paper="MING-MOE",
    item="first experiment 3: FFN only against FFN and attention",
    hypothesis="Experts in the feed-forward layers alone are no worse than in both, at equal "
    "parameters.",
    equal="Same base, data, steps, order of the data and learning rate. Experts of rank 3 and 2 on "
    "seven projections cost as much as of rank 4 on three, within 2 %. The paper's own layout, "
    "plain LoRA in attention, has 7 % more numbers and is shown beside.",
    published=NOT_FOUND + ". The paper has experts in the FFN and plain LoRA in attention.",
    source="arXiv 2404.09027",
    arms={"FFN alone": FFN_ONLY, "FFN and attention": BOTH, "experts, k = 2": MOLORA},
    effects=(
        Effect("FFN alone", "medical", "FFN alone", "FFN and attention", "no less", margin=0.03),
        Effect(
            "plain LoRA in attention instead of experts", "medical", "experts, k = 2",
            "FFN and attention", "no less", margin=0.03, primary=False,
        ),
        Effect(
            "general ability", "general", "FFN alone", "FFN and attention", "no less",
            margin=0.03, primary=False,
        ),
    ),
    conditions=(LEARNT,),
    plot=Plot(("medical", "general")),
)  # fmt: skip

EXPERTS = Claim(
    id="experts",
    title="Does it help to cut the same rank into more experts?",
    paper="MING-MOE",
    item="open question 1: the number of experts, 2 to 16",
    hypothesis="At equal total rank 8 experts are better than 2.",
    equal=EQUAL + " Total rank 32 in all arms; routers grow with the experts (up to 18 % more).",
    published="none: the paper calls it open",
    source="arXiv 2404.09027",
    arms={f"{n} experts": work for n, work in MANY.items()},
    effects=(
        Effect("8 instead of 2", "medical", "8 experts", "2 experts", margin=0.03),
        Effect("16 instead of 8", "medical", "16 experts", "8 experts", margin=0.03, primary=False),
        Effect("8 instead of 4", "medical", "8 experts", "4 experts", margin=0.03, primary=False),
    ),
    conditions=(LEARNT._replace(arm="8 experts"),),
    plot=Plot(("medical", "general")),
)

CLAIMS = (LORA_OR_MOLORA, TOP_K, RANK, WHERE, EXPERTS)
