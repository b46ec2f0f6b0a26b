# %% [markdown] id="title" minutes=55
# # 08 ECI and three steps
#
# **The question.** A label is wanted: yes, no or maybe. The model writes an essay. Can a small head
# give the label, and does it help to make the essay think in three steps?
#
# - Reading and building: about 55 minutes. Computing: less than a minute on a laptop.
# - You need: PyTorch, and that LoRA adds a thin update to a frozen model (notebook 01).
# - You do not need: a GPU, a network, or the notebooks in between.
#
# You build the classification head of LlamaCare, its joint loss and its three-step answers, train
# them in one model, and find out what is wrong with the head as it was published.

# %% [markdown] id="predictions"
# ## Guess first
#
# Pick an answer before you go on. Nobody grades it. You will see it again beside the result.

# %% id="predict-way"
predict(
    "8.A",
    "One model learns to explain and, with a head, to label. Whose labels are better after 50 steps?",
    ["those in its explanations", "those of the head", "both alike"],
)

# %% id="predict-leak"
predict(
    "8.B",
    "A head reads the whole text and is right in training. And before the answer is written?",
    ["right as often", "right less often", "no better than a guess"],
)

# %% [markdown] id="idea"
# ## The idea
#
# LlamaCare calls it Extended Classification Integration, ECI: a second way out of the same model.
# The language-model head writes text. The new head pools the hidden states into one vector and
# gives one logit a class. Both losses train the same adapter:
#
# $$L = (1 - w) \, L_{LM} + w \, L_{CE}$$

# %% id="diagram" tags=["keep-output"]
import copy
import re

import torch
import torch.nn.functional as F
from torch import nn

from medmoe_lite import load_base
from medmoe_lite.lab import about, ladder, nb08
from medmoe_lite.lab.live import live

show(nb08.diagram.two_ways())

# %% [markdown] id="tuning-text"
# ## Two ways to tune
#
# **Fine-tuning** moves weights towards one task, with whatever loss the task has: here a class.
# **Instruction tuning** is fine-tuning on instructions and their answers, all of them text. The
# model learns to do what is asked, in words. Below is one item, as target of each.

# %% id="tuning" seeds="LlamaCare.check-1"
from medmoe_lite.tasks import make, with_steps

item = make("classify", "train", 1, seed=0)[0]
targets = {"prompt": item.prompt, "instruction tuning": with_steps(item).answer}
for name, text in targets.items():
    print(name, *text.replace(". ", ".\n").splitlines(), sep="\n   ")
print(f"a class, for ECI\n   {item.choices.index(item.answer)} of {len(item.choices)}")

# %% [markdown] id="rule-text"
# The rule behind the items: 7 of 10 or more is yes, 3 or less is no, the rest is maybe. A second
# trial stands beside the right one, so the question must be read. Drugs and trials are invented.

# %% [markdown] id="ce-text"
# ## What the cross entropy measures
#
# It is minus the logarithm of the probability that was given to the true class. So a uniform guess
# costs the logarithm of the number of classes. Being sure and wrong costs much more than that.

# %% id="ce" seeds="LlamaCare.check-2"
true = torch.tensor([0])
for name, logits in (("uniform guess", [0.0, 0, 0]), ("sure and right", [6.0, 0, 0]),
                     ("sure and wrong", [0.0, 6, 0])):  # fmt: skip
    print(f"{name:15} {F.cross_entropy(torch.tensor([logits]), true):.3f}")

# %% [markdown] id="shape-text"
# ## What the head reads
#
# The last hidden states are one vector for every token: `[b, s, d]`, which is batch, sequence and
# width. LlamaCare's `[b, s, 5120]` is Llama-2-13b, 5120 numbers a token. `nano` has a smaller $d$.

# %% id="load" seeds="LlamaCare.check-3"
base, tokenizer = load_base("nano")
items, asked = make("classify", "train", 800, seed=0), make("classify", "test", 60, seed=21)
batch, classes = nb08.nano.prompts(items[:4], tokenizer)
hidden = nb08.nano.states(base, batch)
for name, size in zip(("batch", "sequence", "width"), hidden.shape, strict=True):
    print(f"{name:9}{size}")
print("prompt tokens of each row:", batch["prompt_mask"].sum(1).tolist())

# %% [markdown] id="step-1"
# ## Step 1: pool the prompt
#
# **Exercise 8.1** (medium, 10 minutes). One vector from the states that the mask marks: their
# mean, their maximum, or the last of them. The marked tokens need not begin at the left. Why it
# matters: an answer or padding that slips in raises no error. Stuck? Type `hint("8.1")`.

# %% id="ex-pool"
def pool(hidden, mask, how):
    """hidden (b, t, d), mask (b, t), how "mean", "max" or "last" -> (b, d)"""
    ### BEGIN SOLUTION
    inside = mask.bool()[..., None]
    kept = torch.where(inside, hidden, 0.0)
    if how == "mean":
        return kept.sum(1) / inside.sum(1)
    if how == "max":
        return torch.where(inside, hidden, -torch.inf).amax(1)
    last = (mask * torch.arange(1, mask.shape[1] + 1)).argmax(1)
    return kept[torch.arange(len(kept)), last]
    ### END SOLUTION

# %% id="check-pool"
check("8.1", pool)

# %% id="use-pool"
pool = use("8.1", pool)

# %% [markdown] id="step-2"
# ## Step 2: the head
#
# **Exercise 8.2** (easy, 8 minutes). Pool, LayerNorm, a linear map to half the width, GELU, a
# linear map to the classes. It keeps its labels by name. Why it matters: what stands after the
# last map decides how low a logit can go.

# %% id="ex-head"
class LabelHead(nn.Module):
    """Parts `norm`, `inner`, `out`, and the names in `labels`; forward gives logits (b, c)."""

    def __init__(self, width, labels, how="mean"):
        super().__init__()
        ### BEGIN SOLUTION
        self.labels, self.how = tuple(labels), how
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, width // 2)
        self.out = nn.Linear(width // 2, len(self.labels))
        ### END SOLUTION

    def forward(self, hidden, mask):
        ### BEGIN SOLUTION
        u = pool(hidden, mask, self.how)
        return self.out(F.gelu(self.inner(self.norm(u))))
        ### END SOLUTION

# %% id="check-head"
check("8.2", LabelHead)

# %% id="use-head"
LabelHead = use("8.2", LabelHead)

# %% [markdown] id="isolation-text"
# ## The head alone
#
# Before it meets a model, the head meets texts without words: random embeddings, into which we put
# the mark of a class. The mark stands in one prompt token, in all of them, or in the last one. If
# a head fails here, no language model will save it.

# %% id="isolation" tags=["keep-output"] seeds="LlamaCare.exp-1 LlamaCare.next-1 LlamaCare.open-1"
LABELS = nb08.bench.LABELS
alone = nb08.bench.isolate(lambda how: LabelHead(nb08.bench.WIDTH, LABELS, how))
show(nb08.plots.places(alone, "Your head on synthetic embeddings (this run, 2 seeds)"))

# %% [markdown] id="isolation-reading"
# Read the rows. Each pooling has a place that suits it, and the last token knows nothing of a mark
# elsewhere: these embeddings never mix. In a language model they do: attention carries things to
# later tokens. So which pooling is best is a question about the model. Further below is a record.

# %% [markdown] id="leak-text"
# ## The answer leaks
#
# In training the answer is there, and it states the class. One head may read prompt and answer,
# the other the prompt alone. All scores are on new texts: with their answers, as in validation, and
# before they are written, as in use. In the second pair the prompt does not hold the class at all.

# %% id="leak"
scores = {}
for place in (nb08.bench.WHERE[0], nb08.bench.NOWHERE):
    for reads, too in (("prompt and answer", True), ("prompt", False)):
        seen, used = nb08.bench.leak(
            lambda how: LabelHead(nb08.bench.WIDTH, LABELS, how), place, too)  # fmt: skip
        scores[place, too] = used
        print(f"class {place:13} head reads {reads:18} validation {about(seen, 2)}", end="")
        print("  in use", about(used, 2))

# %% id="reveal-leak"
first, second = scores[nb08.bench.WHERE[0], True], scores[nb08.bench.NOWHERE, True]
reveal("8.B", f"right in {about(first, 2)} and {about(second, 2)} of the texts; a guess is 0.33")

# %% [markdown] id="leak-reading"
# With answers in view, validation cannot tell the two prompts apart: its score is about 1 even where
# nobody can know the class. And where the prompt does hold it, that head has learned less from it.

# %% [markdown] id="step-3"
# ## Step 3: the joint loss
#
# **Exercise 8.3** (medium, 10 minutes). `labels` are token numbers, -100 where no loss belongs.
# LM is a mean over the answer's tokens, CE a mean over the rows that have a class (-100: none).
# Why it matters: with sums, an answer of fifty tokens would outweigh its label fifty times.

# %% id="ex-loss"
def joint_loss(logits, labels, class_logits, classes, w):
    """logits (b, t, v), labels (b, t), class_logits (b, c), classes (b,) -> (1-w) LM + w CE"""
    ### BEGIN SOLUTION
    lm = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    ce = F.cross_entropy(class_logits, classes)
    return (1 - w) * lm + w * ce
    ### END SOLUTION

# %% id="check-loss"
check("8.3", joint_loss)

# %% id="use-loss"
joint_loss = use("8.3", joint_loss)

# %% [markdown] id="w-text"
# ## What does w buy?
#
# A bench where the two tasks must share: every state passes a layer of 4 numbers, too few for
# predicting the next word and the label. Your head and your loss are trained once for each $w$.
# Then choose: $w$, and how sure the head must be before it says a label. Below that it is silent.

# %% id="grid"
trained = nb08.joint.grid(lambda: LabelHead(nb08.bench.WIDTH, LABELS), joint_loss)
lines = {
    "label": [[found[seed].labels for found in trained.values()] for seed in (0, 1)],
    "next word": [[found[seed].words for found in trained.values()] for seed in (0, 1)],
}

# %% id="explorer" tags=["keep-output"]
import ipywidgets

from medmoe_lite.lab.widgets import explorer

WEIGHTS, SURE = list(nb08.joint.WEIGHTS), [0.34, 0.5, 0.7, 0.9, 0.95, 0.99, 0.999]


def draw(w, threshold):
    table = nb08.joint.confusion(trained[w][0], threshold)
    title = "One narrow layer, two tasks (this run)"
    return nb08.plots.price(lines, WEIGHTS, w, table, threshold, title)


controls = {
    "w": ipywidgets.SelectionSlider(options=WEIGHTS, value=0.6, description="w"),
    "threshold": ipywidgets.SelectionSlider(options=SURE, value=0.9, description="threshold"),
}
explorer(draw, controls)

# %% [markdown] id="w-reading"
# At $w = 0$ the head gets no gradient and guesses. At $w = 1$ the words are lost. In between there
# is a price, because this bench was built to have one. Raise the threshold: fewer labels are said.
# Watch whether those that remain are more often right. A head that is sure and wrong stays wrong.

# %% [markdown] id="step-4"
# ## Step 4: write three steps
#
# The paper's prompt asks to recall what is known, to summarise it, and to decide. Its wording is
# not public: **the words here are ours**. For `nano` the request is short, for a real model long.

# %% id="prompts"
from medmoe_lite.tasks import read_steps, three_step_prompt

for wording in ("short", "full"):
    print(f"{wording}:", three_step_prompt("Does zoltin help?", LABELS, wording))
RULES = nb08.steps.RULES
print(nb08.steps.trials_of(item))

# %% [markdown] id="ex-steps-text"
# **Exercise 8.4** (easy, 6 minutes). Write the answer to learn from. Recall: the one trial that
# the question is about. Summarise: its count beside the rule. Decide: a fixed sentence. Why it
# matters: a model imitates its targets. A recall that tells everything is no recall.

# %% id="ex-steps"
def three_steps(trials, drug, label):
    """trials [(drug, count, condition), ...] -> "Recall: {drug} helped {count} of 10 patients
    with {condition}. Summarise: {count} of 10, {rule}. Decide: The answer is {label}." """
    ### BEGIN SOLUTION
    name, count, condition = next(trial for trial in trials if trial[0] == drug)
    recall = f"{name} helped {count} of 10 patients with {condition}."
    summary = f"{count} of 10, {RULES[label]}."
    return f"Recall: {recall} Summarise: {summary} Decide: The answer is {label}."
    ### END SOLUTION

# %% id="check-steps"
check("8.4", three_steps)

# %% id="use-steps"
three_steps = use("8.4", three_steps)

# %% id="steps-parity"
mine = [three_steps(*nb08.steps.trials_of(i), i.answer) for i in items]
print("as the package writes them:", mine == [with_steps(i).answer for i in items])

# %% [markdown] id="step-5"
# ## Step 5: read the label back
#
# **Exercise 8.5** (medium, 8 minutes). From a text to its label, or None where it cannot be told:
# cut off, out of order, undecided, another word. Why it matters: a reader that guesses in doubt
# turns every broken answer into a result.

# %% id="ex-read"
def read_label(text, labels):
    """A text in the form "Recall: ... Decide: The answer is yes." -> "yes"; None where unclear"""
    ### BEGIN SOLUTION
    form = r"Recall: .+ Summarise: .+ Decide: The answer is (\w+)\."
    parts = re.fullmatch(form, text)
    return parts[1] if parts and parts[1] in labels else None
    ### END SOLUTION

# %% id="check-read"
check("8.5", read_label)

# %% id="use-read"
read_label = use("8.5", read_label)

# %% [markdown] id="train-text"
# ## Train both ways at once
#
# LoRA of rank 8 on all linear layers of `nano`, your head on its states, your loss. Every target
# is an explanation in three steps, and a class. Fifty steps of ten items, with $w = 0.3$.

# %% id="loop"
def fit(model, head, batches, w, lr=4e-3):
    weights = [p for p in [*model.parameters(), *head.parameters()] if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.0)
    model.train()
    steps = len(batches)
    with live(steps) as show_loss:
        for step, batch in enumerate(batches):
            optimizer.param_groups[0]["lr"] = lr * min((step + 1) / 10, 1 - 0.9 * step / steps)
            given = {key: batch[key] for key in ("input_ids", "attention_mask")}
            out = model(**given, output_hidden_states=True)
            said = head(out.hidden_states[-1], batch["prompt_mask"])
            loss = joint_loss(out.logits, batch["labels"], said, batch["classes"], w)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            show_loss(loss.item())

# %% id="train"
from peft import LoraConfig, get_peft_model

torch.manual_seed(0)
config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear")
model = get_peft_model(copy.deepcopy(base), config)
head = LabelHead(base.config.hidden_size, LABELS, "mean")
batches = nb08.nano.batches([with_steps(i) for i in items], tokenizer, steps=50)
fit(model, head, batches, w=0.3)

# %% [markdown] id="parity"
# ## The same as the package?
#
# `with_eci` puts a head on any model, and the model's own `forward` returns the joint loss. We
# copy your head's weights into it.

# %% id="parity-check"
from medmoe_lite import with_eci

theirs = with_eci(copy.deepcopy(model), labels=list(LABELS), pooling="mean", weight=0.3).eval()
head.eval()
theirs.get_base_model().eci["modules_to_save"]["default"].load_state_dict(head.state_dict())
rows = dict(batches[0])
classes = rows.pop("classes")
with torch.no_grad():
    out = theirs(**rows, class_labels=classes, output_hidden_states=True)
    said = head(out.hidden_states[-1], rows["prompt_mask"])
    mine = joint_loss(out.logits, rows["labels"], said, classes, 0.3)
print("logits agree:", torch.allclose(said, out.eci_logits, atol=1e-4),
      "| losses agree:", torch.allclose(mine, out.loss, atol=1e-4))  # fmt: skip

# %% [markdown] id="ask-text"
# ## Ask the same model twice
#
# First in words: it writes three steps, and your reader looks for the label. Then through the head,
# which reads the prompt once and writes nothing. All drugs and conditions here are new to it.

# %% id="ask"
stepwise = [with_steps(i) for i in asked]
essay = nb08.nano.ask_text(model, stepwise, tokenizer)
from_text = [read_label(text, LABELS) for text in essay.texts]
from_head = nb08.nano.ask_head(model, head, stepwise, tokenizer)
text_right, head_right = (nb08.nano.share(said, stepwise) for said in (from_text, from_head))
print("right in the text:", about(text_right, 2), "| from the head:", about(head_right, 2))
tolerant = [read_steps(text, LABELS).label for text in essay.texts]
alike = sum(a == b for a, b in zip(tolerant, from_text, strict=True))
print("the package's tolerant reader agrees with yours in", about(alike, 0), "of 60 texts")

# %% id="essays" tags=["nbval-ignore-output"]
for asked_item, text in list(zip(asked, essay.texts, strict=True))[:4]:
    print(f"true: {asked_item.answer:6} it writes: {text}")

# %% id="confusions" tags=["keep-output"]
answers = [i.answer for i in asked]
tables = {
    "read from the text": nb08.plots.confusion(answers, from_text),
    "from the head": nb08.plots.confusion(answers, from_head),
}
show(nb08.plots.confusions(tables, "One model, two ways to a label (this run)"))

# %% id="reveal-way"
gap = head_right - text_right
found = "about alike" if abs(gap) < 0.1 else "the head" if gap > 0 else "the explanations"
told = f"{about(head_right, 2)} by the head, {about(text_right, 2)} in words"
reveal("8.A", f"in this run {found}: {told}")

# %% [markdown] id="blind-text"
# ## Does it read the question?
#
# Two trials stand in each prompt. Where both have the same label, the question does not matter.
# Where they differ, it decides. So there is a better opponent than a guess: a perfect reader of the
# trials who never looks at the question.

# %% id="blind"
print(f"a reader who ignores the question: {nb08.steps.blind(asked):.2f} | a guess: 0.33")
for together, words in ((True, "trials agree"), (False, "trials differ")):
    kept = [k for k, i in enumerate(asked) if nb08.steps.agree(i) == together]
    score = nb08.nano.share([from_head[k] for k in kept], [asked[k] for k in kept])
    print(f"{words:14} {len(kept):2} items, head right in", about(score, 2))

# %% id="where-right"
for part, share in nb08.steps.where_right(essay.texts, asked).items():
    print(f"the text {part:24}", about(share, 2))

# %% [markdown] id="ask-reading"
# A head that does not beat the blind reader has not shown that it reads the question, however far
# above a guess it is. The text shows its work, and with it the step that fails. Compare its lines:
# finding the trial, applying the rule, deciding. A tidy explanation can still decide wrongly.

# %% [markdown] id="lengths-text"
# ## Asked to be brief
#
# A failure that LlamaCare names: the model explains at length although it was told not to. Ours
# learned from explanations only. Now we ask for one word, in the plain form of the question.

# %% id="lengths" tags=["keep-output"] seeds="LlamaCare.fail-2"
from dataclasses import replace

brief = [replace(i, prompt=f"{i.prompt} Answer yes, no or maybe.") for i in asked]
short = nb08.nano.ask_text(model, brief, tokenizer)
counts = {"asked for three steps": essay.tokens, "asked for one word": short.tokens,
          "label from the head": [0] * len(asked)}  # fmt: skip
show(nb08.plots.lengths(counts, "How much is written for one label (this run)"))

# %% id="brief"
one_word = [text if text in LABELS else read_label(text, LABELS) for text in short.texts]
print("asked for one word, a label can be read in", about(sum(map(bool, one_word)), 0), "of 60;",
      about(nb08.nano.share(one_word, brief), 2), "are right")  # fmt: skip
label = nb08.nano.ask_head(model, head, brief, tokenizer)
print("the head says a label in", len(label), "of 60;",
      about(nb08.nano.share(label, brief), 2), "are right")  # fmt: skip

# %% [markdown] id="brief-reading"
# Three things can go wrong in words: a word that is no label, a piece of an explanation, a text that
# does not end and is cut at 75 tokens. A head cannot do any of them. What it can do is be wrong.

# %% [markdown] id="strategy-text"
# ## Must the model learn, or only the head?
#
# LlamaCare leaves the tuning strategy open. The cheapest one freezes everything: the states are
# computed once, and the head learns from them in a second. Compare it with the joint run.

# %% id="strategy" seeds="LlamaCare.open-2"
torch.manual_seed(0)
frozen = LabelHead(base.config.hidden_size, LABELS, "mean")
nb08.nano.head_alone(base, frozen, items[:300], tokenizer)
only = nb08.nano.ask_head(base, frozen, asked, tokenizer)
print("head on the frozen base:    ", about(nb08.nano.share(only, asked), 2))
print("head, and LoRA on joint loss:", about(head_right, 2), "| a guess: 0.33")

# %% [markdown] id="ablation-text"
# ## With and without, over seeds
#
# One run proves little. The recorded ladder trained with the head and without it, five poolings,
# and with three steps or at once: same items, same steps, several seeds. Without three steps the
# target is the label alone. It is scored on items whose two trials differ, so that the question
# decides. What follows is written from that file.

# %% id="ablation-eci" tags=["keep-output"] seeds="LlamaCare.exp-2 LlamaCare.next-2"
nb08.claims.lines("eci")
ladder.show_claim("eci")

# %% id="ablation-steps" tags=["keep-output"] seeds="LlamaCare.next-2"
nb08.claims.lines("three_steps")
ladder.show_claim("three_steps")

# %% id="pooling" tags=["keep-output"] seeds="LlamaCare.open-1"
nb08.claims.lines("pooling")
ladder.show_claim("pooling")

# %% id="recorded-blind"
from medmoe_lite.reproduce.llamacare_works import telling

blind = nb08.steps.blind(telling(96))
print(f"on the recorded items, a reader who ignores the question: {blind:.2f}")
found = ladder.numbers("eci", "generated", "accuracy")
print(f"   generated label     {sum(found) / len(found):.2f}, {min(found):.2f} to {max(found):.2f}")
for arm in ladder.claim("pooling")["arms"]:
    found = ladder.numbers("pooling", arm, "accuracy")
    print(f"   head, {arm:13} {sum(found) / len(found):.2f}, {min(found):.2f} to {max(found):.2f}")

# %% [markdown] id="ablation-reading"
# In the live run the model had to learn a whole explanation in 50 steps; in the record it is one
# word, and the head has not overtaken it. LlamaCare publishes a score with ECI; we found none
# without.
#
# Look at the spread: some seeds have found the trick of reading the question, others still guess.
# A mean over two such groups has a wide interval, and the ledger says so.

# %% [markdown] id="break"
# ## Find the bug
#
# This is the head as it was published, rebuilt from its description: flatten all states, two
# windows of 8, six linear maps, a LeakyReLU after each. It trains without an error. On prompts it
# answers inconsistently. Each reading below was taken from it and from your head.
#
# There are two published forms. A and D come from the one above; C, E and F from the simpler one, a
# single linear map of all states with a LeakyReLU. B is the published loss.

# %% id="case" seeds="LlamaCare.fail-1"
readings = nb08.evidence.examine(lambda: LabelHead(nb08.bench.WIDTH, LABELS, "mean"))
flips = nb08.evidence.flips(readings["C"].published)
print("one prompt in 12 batches, answers that differ from the usual one:", about(flips, 0))

# %% id="case-first" tags=["keep-output"]
show(nb08.case_plots.first(readings))

# %% id="case-second" tags=["keep-output"]
show(nb08.case_plots.second(readings))

# %% id="suspects"
from medmoe_lite.published_head import FAULTS, PublishedHead

for fault in FAULTS:
    print(f"{fault.name:17} {fault.look}")

# %% [markdown] id="case-text"
# **Exercise 8.6** (hard, 12 minutes). Nine faults, six readings. Name the fault that each reading
# shows: `{"A": "size", ...}`. Why it matters: nothing here stops a training run, and some of it
# makes the training score better. Only a reading that ought not to move gives it away.

# %% id="ex-case"
NAMES = nb08.evidence.NAMES
### BEGIN SOLUTION
faults = {"A": "narrow_chain", "B": "all_tokens", "C": "padding",
          "D": "feature_windows", "E": "answer_leak", "F": "logit_activation"}  # fmt: skip
### END SOLUTION

# %% id="check-case"
check("8.6", faults)

# %% [markdown] id="rest-text"
# Three faults need no plot. The head has one length, its size grows with it, and it does not know
# the names of its classes: their order lies in another file.

# %% id="rest"
try:
    PublishedHead(length=24, width=32)(torch.zeros(1, 16, 32))
except RuntimeError as error:
    print("a shorter text:", str(error).splitlines()[0])
for length in (950, 1900):
    with torch.device("meta"):
        size = sum(p.numel() for p in PublishedHead(length, 5120).parameters())
        own = sum(p.numel() for p in LabelHead(5120, LABELS).parameters())
    print(f"{length} tokens of width 5120: {size:,} numbers published, {own:,} in your head")
print("knows its labels:", hasattr(PublishedHead(24, 32), "labels"), "| yours:", head.labels)

# %% id="cures"
for fault in FAULTS:
    print(f"{fault.name:17} cure: {fault.cure}")

# %% [markdown] id="quiz-text"
# ## Quiz

# %% id="quiz"
quiz("08")

# %% [markdown] id="key-points"
# ## Key points
#
# - A head turns states into a label in one pass: always one of the classes, no token written.
# - It may read the prompt only. The answer knows the answer; padding knows nothing.
# - Nothing stands after the last linear map, and the labels are kept by name.
# - Means, not sums: LM over answer tokens, CE over rows with a class, weighed by $1 - w$ and $w$.
# - A text must be read, and a strict reader says None. A tidy explanation can decide wrongly.
# - Compare with more than a guess: what does a reader get who ignores the question?

# %% [markdown] id="papers-text"
# ## Where the papers stand
#
# Written from the recorded ladder, nulls included. A small model can show how a mechanism works
# and refute "always". It cannot confirm a result on exams, and nothing here is about patients.

# %% id="papers"
ladder.ledger("eci", "pooling", "three_steps", "four_bit", "exams")

# %% [markdown] id="next"
# ## Next
#
# [09 The 1.8B run](09_the_real_run.ipynb) puts the pieces on the real model, in four bits. To go on
# by yourself: `with_eci(model, labels=[...])` is this notebook's head for any model, and it is saved
# with the adapter.
