"""What the four papers ask, try and warn of, and which notebook cells treat it.

A cell of a source names items in its attribute `seeds`, as in

    # %% [markdown] id="collapse" seeds="MING.fail-2"

`covered` collects them; a test asks that no item is missing and no name is misspelt. Kinds: check
(a question to test one's understanding), exp (an experiment to begin with), fail (the signature of
a failure), open (a question the paper leaves open), next (a check that somebody should do).
"""

from collections.abc import Iterable
from pathlib import Path

from medmoe_lite.course.source import parse

ITEMS = {
    "MING.check-1": "How does a mixture of experts differ from a dense model on diverse tasks?",
    "MING.check-2": "Which property of weight updates lets LoRA work?",
    "MING.check-3": "How does parameter-efficient tuning weigh quality against cost?",
    "MING.exp-1": "One, two or three open experts",
    "MING.exp-2": "LoRA ranks 8, 16, 32",
    "MING.exp-3": "Experts in the feed-forward part alone, or in attention as well",
    "MING.fail-1": "Tasks that need the base's own knowledge get worse",
    "MING.fail-2": "The router collapses: all tokens go to the same experts",
    "MING.fail-3": "Overfitting to the training tasks, little generalisation",
    "MING.fail-4": "Routing makes inference slower",
    "MING.open-1": "How does quality change with the number of experts?",
    "MING.open-2": "How does it compare with training on larger, more diverse data?",
    "MING.open-3": "What does routing by token cost against routing by task?",
    "MING.next-1": "A controlled study with clinicians",
    "MING.next-2": "Bias and fairness over specialties and groups",
    "MING.next-3": "Stability over time, as knowledge changes",
    "MedCare.check-1": "What is LoRA's main advantage over full fine-tuning?",
    "MedCare.check-2": "How does a mixture use its parameters, compared with a dense model?",
    "MedCare.check-3": "Why an orthogonal penalty when tuning for several goals?",
    "MedCare.exp-1": "The knowledge stage alone, against the base",
    "MedCare.exp-2": "Both stages, measured on alignment tasks",
    "MedCare.exp-3": "The penalty switched off: what is retained?",
    "MedCare.fail-1": "Alignment gets worse after stage 1: was the Noise Aggregator removed?",
    "MedCare.fail-2": "Knowledge degrades: check the strength of the penalty",
    "MedCare.open-1": "How small may the corpus of stage 1 be?",
    "MedCare.open-2": "Which roles do Knowledge and Noise Aggregator play?",
    "MedCare.open-3": "What does the penalty do to learning and to forgetting?",
    "MedCare.next-1": "An ablation over strengths of the penalty",
    "MedCare.next-2": "Numbers for the quality of routing, and their relation to scores",
    "MedCare.next-3": "Clinical usefulness, judged by practitioners",
    "LlamaCare.check-1": "How does fine-tuning on data differ from tuning to follow instructions?",
    "LlamaCare.check-2": "What does cross-entropy measure in classification?",
    "LlamaCare.check-3": "What do the dimensions of the decoder's output stand for?",
    "LlamaCare.exp-1": "The head alone, on synthetic embeddings",
    "LlamaCare.exp-2": "A tuned model against the head, on labels",
    "LlamaCare.exp-3": "Memory and speed",
    "LlamaCare.fail-1": "The head gives inconsistent or wrong labels",
    "LlamaCare.fail-2": "Long explanations although a short answer was asked for",
    "LlamaCare.fail-3": "Quality falls after quantisation",
    "LlamaCare.open-1": "Other heads and poolings",
    "LlamaCare.open-2": "Other strategies of fine-tuning",
    "LlamaCare.open-3": "How does it scale with the size of the model?",
    "LlamaCare.next-1": "A minimal head on synthetic embeddings",
    "LlamaCare.next-2": "With and without the head, with and without the prompt's structure",
    "LlamaCare.next-3": "Other domains and rare conditions",
    "MedMoELoRA.asymmetric": "More experts in deeper layers",
    "MedMoELoRA.preservation": "Experts of their own for general knowledge",
    "MedMoELoRA.soft-merge": "Soft merging with adaptive routing",
    "MedMoELoRA.rank-wise": "Rank-wise decoupling",
    "MedMoELoRA.interference": "Tasks that compete for the same parameters",
}


def covered(sources: Iterable[Path]) -> dict[str, list[str]]:
    """Item -> "notebook/cell" of every cell that says it treats it."""
    found: dict[str, list[str]] = {}
    for source in sources:
        for cell in parse(source.read_text(encoding="utf-8"), source.name):
            for item in str(cell.attributes.get("seeds", "")).split():
                found.setdefault(item, []).append(f"{source.stem}/{cell.id}")
    return found
