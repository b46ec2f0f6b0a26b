"""Med-MoE-LoRA (arXiv 2601.07935): depth, preservation, soft merging, ranks.

The paper itself could not be had; its abstract and descriptions by others are the source.
"""

from __future__ import annotations

from functools import partial

from .claim import Claim, Condition, Effect, Plot, Work
from .claims_ming_moe import EQUAL, LEARNT, LORA_EQUAL
from .med_moe_lora_works import run_depth, run_sequence, run_token_merge
from .settings import molora
from .stages import MOLORA, TASKS, mixture

SECOND_HAND = "descriptions of arXiv 2601.07935 by others"
HEADLINE = (
    "medical mean 59.5 against 53.8 with one LoRA; MMLU -0.5 and GSM8K -0.3 (one LoRA: GSM8K -3.6)"
)


def depth(shape: str) -> Work:
    """A `Work` for one shape."""
    return Work(f"depth_{shape}", partial(run_depth, shape=shape), seconds=31)


DEPTH = Claim(
    id="depth",
    title="Should deep layers have more experts?",
    paper="Med-MoE-LoRA",
    item="architecture: more experts in deeper layers",
    hypothesis="More experts in deep layers are better than the same number spread evenly, and "
    "than more in the first layers.",
    equal=EQUAL + " 8 experts a layer on average: the same numbers, routers included.",
    published="top-heavy above uniform and bottom-heavy, as described; no table found",
    source=SECOND_HAND,
    arms={
        "uniform": MOLORA,
        "more in deep layers": depth("increasing"),
        "more in first layers": depth("decreasing"),
    },
    effects=(
        Effect("deep instead of even", "medical", "more in deep layers", "uniform", margin=0.03),
        Effect(
            "deep instead of shallow", "medical", "more in deep layers", "more in first layers",
            margin=0.03,
        ),
    ),
    conditions=(LEARNT._replace(arm="uniform"),),
    needs=("medmoe_lite.depth:depth_plan",),
    plot=Plot(("medical", "general")),
    limit="Five layers are few for a depth profile.",
)  # fmt: skip

NO_REPLAY = mixture("molora_no_replay", molora(), mix=TASKS, seconds=24)
GROUPS = mixture(
    "molora_groups", molora(general_experts=4), preservation={"weight": 0.1, "delta": 0.3}
)
OPEN = mixture("molora_open", molora(general_experts=2, general_group="open"))

PRESERVATION = Claim(
    id="preservation",
    title="Do experts of their own preserve general ability better than replay?",
    paper="Med-MoE-LoRA",
    item="the Knowledge-Preservation Plugin",
    hypothesis="With replay, a general group of experts keeps more general ability than replay "
    "alone.",
    equal=EQUAL + " 8 experts of rank 4. Groups: 4 general and 4 medical ones with the localized "
    "balancing loss. Open: 2 of the 8 are always open, and 2 of the other 6.",
    published=HEADLINE,
    source=SECOND_HAND,
    arms={
        "no replay": NO_REPLAY,
        "experts, k = 2": MOLORA,
        "replay and groups": GROUPS,
        "replay and open experts": OPEN,
        "replay, one LoRA": LORA_EQUAL,
    },
    effects=(
        Effect("groups on top of replay", "general", "replay and groups", "experts, k = 2",
               margin=0.03),
        Effect("groups cost no task", "medical", "replay and groups", "experts, k = 2", "no less",
               0.03, primary=False),
        Effect("open experts on top of replay", "general", "replay and open experts",
               "experts, k = 2", margin=0.03, primary=False),
        Effect("replay itself", "general", "experts, k = 2", "no replay", margin=0.1,
               primary=False),
        Effect("experts instead of one LoRA", "general", "experts, k = 2", "replay, one LoRA",
               margin=0.03, primary=False),
    ),
    conditions=(
        Condition("experts, k = 2", "general", at_most=0.95, why="replay alone keeps everything"),
    ),
    needs=("medmoe_lite.penalties:preservation_loss",),
    plot=Plot(("general", "medical")),
)  # fmt: skip


def sequence(merge: str) -> Work:
    """A `Work` for one mode of merging."""
    return Work(f"sequence_{merge}", partial(run_sequence, merge=merge), seconds=40)


SOFT_MERGE = Claim(
    id="soft_merge",
    title="What does it cost to merge experts softly?",
    paper="Med-MoE-LoRA",
    item="soft merging with adaptive routing",
    hypothesis="One gate a sentence is no worse than one a token, and merging its experts into one "
    "LoRA a task costs little.",
    equal=EQUAL + " All experts open with one softmax a sentence, from prompt tokens; merged for "
    "each task over 24 training items.",
    published="no number found",
    source=SECOND_HAND,
    arms={
        "by sentence": sequence("product"),
        "by sentence, averaged factors": sequence("factors"),
        "by token": Work("token_merge", run_token_merge, uses=(MOLORA,), seconds=12),
    },
    effects=(
        Effect("sentence instead of token", "medical", "by sentence", "by token", "no less", 0.03),
        Effect("merging costs little", "merged.medical", "by sentence", "by sentence", "no less",
               0.05, other_measure="medical"),
        Effect("error of the logits", "logit_error", "by sentence", 0.25, "less", 0.0,
               primary=False),
        Effect("error when chosen by token", "logit_error", "by token", "by sentence", "more",
               0.05, primary=False),
        Effect("averaged factors", "medical", "by sentence, averaged factors", "by sentence",
               "no less", 0.03, primary=False),
    ),
    conditions=(LEARNT._replace(arm="by token"),),
    needs=("medmoe_lite.method.merge:soft_merge", "medmoe_lite.method.state:routing_context"),
    plot=Plot(("medical", "merged.medical", "logit_error")),
)  # fmt: skip

UNEVEN = mixture(
    "molora_uneven",
    molora(expert_ranks=[1, 1, 2, 2, 4, 4, 8, 10], rslora=True) | {"lora_alpha": 4},
)
EVEN = mixture("molora_rs", molora(rslora=True) | {"lora_alpha": 4})
RANK_ONE = mixture(
    "molora_rank_one",
    molora(num_experts=25, r=1, top_k=8, plain_modules=[]),
    seconds=36,
    attention=True,
)

RANKWISE = Claim(
    id="rankwise",
    title="Are experts of different ranks better?",
    paper="Med-MoE-LoRA",
    item="rank-wise decoupling, first reading",
    hypothesis="Ranks from 1 to 10 are better than rank 4 for all, at the same total of 32.",
    equal=EQUAL + " Both arms divide alpha by the root of the rank, so that large ranks are not "
    "scaled down.",
    published="described, no number found",
    source=SECOND_HAND,
    arms={"rank 4 for all": EVEN, "ranks 1 to 10": UNEVEN, "experts, k = 2": MOLORA},
    effects=(
        Effect("different ranks", "medical", "ranks 1 to 10", "rank 4 for all", margin=0.03),
        Effect("general ability", "general", "ranks 1 to 10", "rank 4 for all", margin=0.03,
               primary=False),
    ),
    conditions=(LEARNT,),
    plot=Plot(("medical", "general")),
)  # fmt: skip

RANK_ONES = Claim(
    id="rank_one",
    title="Is every rank an expert of its own?",
    paper="Med-MoE-LoRA",
    item="rank-wise decoupling, second reading (SMoRA)",
    hypothesis="25 experts of rank one, 8 open, are better than 8 of rank 4, 2 open.",
    equal=EQUAL + " The same open rank (8); the larger routers are paid for with 7 rank columns.",
    published="no number found",
    source="SMoRA, arXiv 2501.15103",
    arms={"experts, k = 2": MOLORA, "rank-one experts": RANK_ONE},
    effects=(
        Effect("rank-one experts", "medical", "rank-one experts", "experts, k = 2", margin=0.03),
        Effect("general ability", "general", "rank-one experts", "experts, k = 2", margin=0.03,
               primary=False),
    ),
    conditions=(LEARNT,),
    plot=Plot(("medical", "general")),
)  # fmt: skip

CLAIMS = (DEPTH, PRESERVATION, SOFT_MERGE, RANKWISE, RANK_ONES)
