"""MedCare (arXiv 2406.17484): the two stages, what is dropped between them, and what protects."""

from __future__ import annotations

from functools import partial

from .claim import Claim, Condition, Effect, Plot, Work
from .medcare_works import REPLAY, run_mismatch, run_restart
from .settings import lora
from .stages import JOINT_WORK, KA_NA, KNOWLEDGE_WORK, align, joint

TABLE_1 = (
    "MedCare Table 1, mean of eight exams, after stage 1 and after alignment: 1.8B 51.95 to 48.33, "
    "7B 65.51 to 64.07, 14B 70.39 to 69.69"
)
FIGURE_6 = (
    "MedCare Figure 6 (1.8B, knowledge tasks, read off the bars), Noise Aggregator kept and "
    "dropped: 36.9 and 43.0 with the least data, 41.2 and 47.0 with all of it"
)
KNOWN = Condition("after stage 1", "heldout", 0.5, why="what was not learnt cannot be forgotten")

ALONE = align("align_alone", {"formats": 1}, second=False)
SAME = align("align_replay", REPLAY, second=False)

FORGETTING = Claim(
    id="forgetting",
    title="Does tuning in sequence forget?",
    paper="MedCare",
    item="mechanism 1: the problem that the two stages are to solve",
    hypothesis="Learning formats with the same adapter loses the facts of stage 1 and general "
    "abilities; replaying general data saves the latter.",
    equal="One LoRA of rank 16 goes on from the same weights for the same steps; with replay a "
    "quarter of each batch is general.",
    published=TABLE_1,
    source="arXiv 2406.17484, Table 1",
    arms={"after stage 1": KNOWLEDGE_WORK, "formats only": ALONE, "formats and replay": SAME},
    effects=(
        Effect("facts", "heldout", "formats only", "after stage 1", "less", 0.1),
        Effect(
            "general ability", "general", "formats only", "after stage 1", "less", 0.1,
            other_measure="before.general",
        ),
        Effect(
            "replay saves general ability", "general", "formats and replay", "formats only",
            margin=0.1, primary=False,
        ),
        Effect(
            "with replay, facts are lost all the same", "heldout", "formats and replay",
            "after stage 1", "less", 0.1, primary=False,
        ),
    ),
    conditions=(KNOWN, Condition("formats only", "formats", 0.8, why="formats must be learnt")),
    plot=Plot(("heldout", "general", "formats")),
    quick=True,
)  # fmt: skip

KA_ONLY = joint("ka_only", KA_NA | {"num_experts": 0}, seconds=32)
NOISE = joint("ka_na_noise", KA_NA, noise=0.5)

DROP = Claim(
    id="drop",
    title="Is it better to drop the Noise Aggregator after stage 1?",
    paper="MedCare",
    item="first experiment 1, mechanism 3, open question 2: KA only, KA and NA, NA dropped",
    hypothesis="Dropping the routed experts improves knowledge, and the shared expert that is left "
    "is better than one that was trained alone.",
    equal="Same data and steps; shared expert of rank 16 in every arm, so that the dropped model "
    "and 'shared alone' have the same numbers. The routed experts (8 of rank 4) come on top while "
    "training.",
    published=FIGURE_6,
    source="arXiv 2406.17484, Figure 6",
    arms={"shared alone": KA_ONLY, "shared and routed": JOINT_WORK, "noise dropout 0.5": NOISE},
    effects=(
        Effect(
            "dropping improves knowledge", "dropped.heldout", "shared and routed",
            "shared and routed", margin=0.03, other_measure="kept.heldout",
        ),
        Effect(
            "better than a shared expert trained alone", "dropped.heldout", "shared and routed",
            "shared alone", margin=0.03, other_measure="kept.heldout",
        ),
        Effect(
            "formats fall by the drop", "dropped.formats", "shared and routed", "shared and routed",
            "less", 0.1, other_measure="kept.formats", primary=False,
        ),
        Effect(
            "with noise dropout the drop costs no knowledge", "dropped.heldout",
            "noise dropout 0.5", "noise dropout 0.5", "no less", 0.05,
            other_measure="kept.heldout", primary=False,
        ),
        Effect(
            "noise dropout, after the drop", "dropped.heldout", "noise dropout 0.5",
            "shared and routed", margin=0.03, primary=False,
        ),
    ),
    conditions=(Condition("shared and routed", "kept.heldout", 0.4, why="facts must be learnt"),),
    plot=Plot(("kept.heldout", "dropped.heldout", "kept.formats", "dropped.formats")),
    quick=True,
    quick_arms=("shared alone", "shared and routed", "noise dropout 0.5"),
)  # fmt: skip


MISMATCH_WORK = Work("mismatch", run_mismatch, uses=(JOINT_WORK,), seconds=20)

MISMATCH = Claim(
    id="mismatch",
    title="Are the experts that are used most the ones that score best?",
    paper="MedCare",
    item="mechanism 3 and next check 2: use of an expert against its own score",
    hypothesis="Use and own score do not go together: their rank correlation is below 0.5.",
    equal="One model; each routed expert is opened alone, with weight 1, beside the shared one.",
    published="a figure of single experts; the paper says 'mismatch', without a coefficient",
    source="arXiv 2406.17484, section 5",
    arms={"experts alone": MISMATCH_WORK},
    effects=(
        Effect(
            "rank correlation",
            "rank_correlation",
            "experts alone",
            0.5,
            "less",
            0.0,
            correlation=True,
        ),
        Effect(
            "from none",
            "rank_correlation",
            "experts alone",
            0.0,
            "same",
            0.3,
            primary=False,
            correlation=True,
        ),
    ),
    conditions=(
        Condition("experts alone", "spread", 0.02, why="equal scores have no order to compare"),
    ),
    plot=Plot(("rank_correlation",), label="rank correlation of use and own score"),
)


SCRATCH = Work("formats_base", partial(run_restart, start=None, config=lora(16)), seconds=21)
AFTER_DROP = Work(
    "formats_dropped",
    partial(run_restart, start=JOINT_WORK, config=KA_NA),
    uses=(JOINT_WORK,),
    seconds=25,
)
AFTER_FACTS = Work(
    "formats_facts",
    partial(run_restart, start=KNOWLEDGE_WORK, config=lora(16)),
    uses=(KNOWLEDGE_WORK,),
    seconds=25,
)

RESTART = Claim(
    id="restart",
    title="Does a model that went through stage 1 learn formats faster?",
    paper="MedCare",
    item="section 5: the target format is learnt faster after the Noise Aggregator was dropped",
    hypothesis="After stage 1 and the drop, a new adapter learns the formats in fewer steps than "
    "on the base.",
    equal="A new LoRA of rank 16 on all linear layers, same data and steps. After stage 1 "
    "the knowledge adapter stays open and frozen. Measured as the mean exact match over the steps.",
    published="MedCare Figure 5 (1.8B, read off the bars), format tasks with the least alignment "
    "data: 45 without stage 1, 54.5 with it; with all of it 59 and 62",
    source="arXiv 2406.17484, Figure 5",
    arms={"on the base": SCRATCH, "after stage 1, dropped": AFTER_DROP, "after facts": AFTER_FACTS},
    effects=(
        Effect("speed", "area", "after stage 1, dropped", "on the base"),
        Effect(
            "at the end", "formats", "after stage 1, dropped", "on the base", margin=0.03,
            primary=False,
        ),
        Effect("facts alone", "area", "after facts", "on the base", primary=False),
    ),
    conditions=(Condition("on the base", "area", 0.1, 0.95, "formats must be learnt meanwhile"),),
    plot=Plot(curve="curve"),
)  # fmt: skip

QUARTER = joint("ka_na_25", KA_NA, source="facts_25")
HALF = joint("ka_na_50", KA_NA, source="facts_50")

CORPUS = Claim(
    id="corpus",
    title="How does the size of the stage-1 corpus matter?",
    paper="MedCare",
    item="open question 1: a smaller corpus in stage 1",
    hypothesis="More stage-1 data give more knowledge, and dropping the Noise Aggregator pays at "
    "every size.",
    equal="Same steps and mix; 25, 50 or 100 % of the facts, each in its three taught wordings. "
    "All facts are asked, so those that were left out count as wrong.",
    published=FIGURE_6,
    source="arXiv 2406.17484, Figure 6",
    arms={"25 %": QUARTER, "50 %": HALF, "100 %": JOINT_WORK},
    effects=(
        Effect("four times the data", "kept.heldout", "100 %", "25 %", margin=0.1),
        Effect(
            "the drop at 25 %", "dropped.heldout", "25 %", "25 %", margin=0.03,
            other_measure="kept.heldout",
        ),
        Effect(
            "the drop at 100 %", "dropped.heldout", "100 %", "100 %", margin=0.03,
            other_measure="kept.heldout",
        ),
        Effect(
            "twice the data", "kept.heldout", "100 %", "50 %", margin=0.1, primary=False,
        ),
    ),
    plot=Plot(("kept.heldout", "dropped.heldout")),
    limit="Facts here are independent of each other: none can be inferred from others, so coverage "
    "alone sets the upper limit.",
)  # fmt: skip

CLAIMS = (FORGETTING, DROP, MISMATCH, RESTART, CORPUS)
