"""LlamaCare (arXiv 2406.02350): the classification head, its pooling, four bits, three steps."""

from __future__ import annotations

from functools import partial
from typing import Any

from .claim import Claim, Condition, Effect, Plot, Work
from .llamacare_works import run_labels, run_steps

SOURCE = "arXiv 2406.02350"
EQUAL = (
    "LoRA of rank 8 on all linear layers, same items, order, steps and learning rate; joint "
    "loss 0.8 LM + 0.2 CE with the head, LM alone without. The head's own numbers come on top."
)
LOOKS = "a reader who never looks at the question gets about half of these items, .6 with luck"
NEEDS = ("medmoe_lite.eci_model:with_eci",)


def head(pooling: str, **more: Any) -> Work:
    """A `Work` with an ECI head."""
    name = f"eci_{pooling}" + ("_four_bit" if more.get("four_bit") else "")
    return Work(name, partial(run_labels, pooling=pooling, **more), seconds=45)


HEAD = head("mean_max")
GENERATED = Work("eci_none", partial(run_labels, pooling=None), seconds=40)
HEAD_4 = head("mean_max", four_bit=True, generate=True)
GENERATED_4 = Work(
    "eci_none_four_bit", partial(run_labels, pooling=None, four_bit=True), seconds=60
)

ECI = Claim(
    id="eci",
    title="Does a classification head give better labels than generation?",
    paper="LlamaCare",
    item="first experiments 1 to 3, next checks 1 and 2: accuracy, violations, length, speed",
    hypothesis="A head on pooled prompt states is more accurate than generated labels after the "
    "same training, and never leaves the set of labels.",
    equal=EQUAL,
    published="PubMedQA 57.6 with ECI; no number without it was found",
    source=SOURCE,
    arms={"head": HEAD, "generated": GENERATED},
    effects=(
        Effect("accuracy at the end", "accuracy", "head", "generated", margin=0.03),
        Effect("accuracy on the way", "area", "head", "generated", margin=0.03, primary=False),
        Effect("violations", "violations", "head", "generated", "less", 0.01, primary=False),
        Effect("generated tokens", "tokens", "head", "generated", "less", 0.5, primary=False),
        Effect("milliseconds an item", "ms", "head", "generated", "less", 0.1, primary=False),
        Effect("the head helps generation", "generated.accuracy", "head", "generated", "more",
               0.03, other_measure="accuracy", primary=False),
    ),
    conditions=(Condition("generated", "accuracy", 0.65, why=LOOKS),),
    needs=NEEDS,
    plot=Plot(curve="curve", label="accuracy"),
    quick=True,
)  # fmt: skip

POOLINGS = {name: head(name, generate=False) for name in ("mean", "max", "last", "attention")}

POOLING = Claim(
    id="pooling",
    title="Which pooling should the head read?",
    paper="LlamaCare",
    item="open question: pooling strategies",
    hypothesis="Mean and max together are better than each alone and than the last token.",
    equal=EQUAL + " Only the pooling differs; mean and max together have twice the inputs.",
    published="none: the paper does not compare",
    source=SOURCE,
    arms={"mean and max": HEAD, **POOLINGS},
    effects=(
        Effect("than the mean", "accuracy", "mean and max", "mean", margin=0.03),
        Effect("than the last token", "accuracy", "mean and max", "last", margin=0.03),
        Effect("than the maximum", "accuracy", "mean and max", "max", margin=0.03, primary=False),
        Effect("than attention", "accuracy", "mean and max", "attention", margin=0.03,
               primary=False),
    ),
    needs=NEEDS,
    plot=Plot(("accuracy", "area"), label="accuracy, at the end and on the way"),
)  # fmt: skip

FOUR_BIT = Claim(
    id="four_bit",
    title="What do four bits cost?",
    paper="LlamaCare",
    item="mechanism 3 and failure signature 3: performance after quantisation",
    hypothesis="Trained on a base in four bits, labels are no worse.",
    equal=EQUAL + " The base's linear layers are stored in nf4 with double quantisation, or in "
    "full precision; adapters and head are in full precision in both.",
    published="comparable results on a 24 GB card in 4 bits; no comparison with 16 bits found",
    source=SOURCE,
    arms={
        "head": HEAD,
        "head, 4 bits": HEAD_4,
        "generated": GENERATED,
        "generated, 4 bits": GENERATED_4,
    },
    effects=(
        Effect("with the head", "accuracy", "head, 4 bits", "head", "no less", 0.05),
        Effect("generated", "accuracy", "generated, 4 bits", "generated", "no less", 0.05),
    ),
    conditions=(Condition("generated", "accuracy", 0.65, why=LOOKS),),
    needs=NEEDS,
    plot=Plot(("accuracy", "area"), label="accuracy, at the end and on the way"),
)

STEPS = Claim(
    id="three_steps",
    title="Does the three-step prompt help?",
    paper="LlamaCare",
    item="next check 2: with and without the prompt structure",
    hypothesis="Trained to recall, summarise and decide, the model decides better than when it "
    "answers at once.",
    equal="LoRA of rank 16, same items, order and steps. An answer in three steps has about ten "
    "times the tokens, so the same steps cost more and teach more tokens.",
    published="no number found; the prompt's wording is not public and is reconstructed here",
    source=SOURCE,
    arms={
        "three steps": Work("three_steps", partial(run_steps, three=True), seconds=75),
        "at once": Work("one_step", partial(run_steps, three=False), seconds=30),
    },
    effects=(
        Effect("decisions", "accuracy", "three steps", "at once", margin=0.03),
        Effect("cost in tokens", "tokens", "three steps", "at once", "more", 5, primary=False),
        Effect("unreadable", "violations", "three steps", "at once", "less", 0.01, primary=False),
    ),
    conditions=(Condition("at once", "accuracy", 0.34, 0.98, "chance, or nothing left to learn"),),
    needs=("medmoe_lite.tasks.steps:with_steps",),
    plot=Plot(("accuracy", "violations")),
    limit="A model of a million numbers cannot reason in words; what can be seen is whether "
    "copying the right sentence first makes the decision easier.",
)

EXAMS = Claim(
    id="exams",
    title="Does LlamaCare reach 57.6 on PubMedQA and 8.5 of 10 with people?",
    paper="LlamaCare",
    item="the headline and next check 3",
    hypothesis="PubMedQA 57.6 %, USMLE 44.64 %, human evaluation 8.5 of 10.",
    equal="not run",
    published="57.6, 44.64 and 8.5",
    source=SOURCE,
    arms={},
    effects=(),
    plot=Plot(),
    limit="It takes the published benchmarks, a base of 13B parameters, and people who judge.",
)

CLAIMS = (ECI, POOLING, FOUR_BIT, STEPS, EXAMS)
