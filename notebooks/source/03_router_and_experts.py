# %% [markdown] id="title" minutes=45
# # 03 Router and experts
#
# **The question.** Eight small experts sit beside every layer. Who handles which token, and does
# anybody have to tell them the task?
#
# - Reading and building: about 45 minutes. Computing: about two minutes on a laptop.
# - You need: notebook 01, or to know that LoRA adds $(\alpha / r) B A x$ to a frozen layer.
# - You do not need: a GPU, a network, or notebook 02.
#
# You build a router and a mixture of LoRA experts, prove that the mixture is one LoRA with a
# mask, train it on five task families at once, and look at who works on your own sentence.

# %% [markdown] id="predictions"
# ## Guess first
#
# Pick an answer before you go on. Nobody grades it. You will see it again beside the result.

# %% id="predict-active"
predict(
    "3.A",
    "Eight experts, two open for a token. Which share of the adapter works for one token?",
    ["all of it", "about a half", "a bit more than a quarter", "about an eighth"],
)

# %% id="predict-families"
predict(
    "3.B",
    "After training on five families of tasks: who uses which experts?",
    [
        "all families use all experts alike",
        "families share the experts, in different shares",
        "each family has experts of its own",
    ],
)

# %% [markdown] id="idea"
# ## The idea
#
# One LoRA has to serve every task. A mixture has $e$ small LoRAs, the experts. A router looks at
# each token's hidden state $x$ and opens $k$ of them:
#
# $$y = W x + \frac{\alpha}{r} \sum_{i=1}^{e} w_i \, B_i A_i x$$
#
# - The weights $w_i$ come from the router. All but $k$ of them are zero.
# - MING-MOE uses $e = 8$, $k = 2$ and rank 16 in the feed-forward part of every block. The
#   attention part gets one plain LoRA.
# - The router learns from the same loss as the experts. Nobody shows it a task label.

# %% id="diagram" tags=["keep-output"]
from medmoe_lite.lab import nb03

show(nb03.diagram.mixture())

# %% id="imports"
import copy
import math

import torch
from torch import nn

from medmoe_lite import load_base
from medmoe_lite.lab import about, usage
from medmoe_lite.lab.claims import claims
from medmoe_lite.lab.fast import steps
from medmoe_lite.lab.live import live
from medmoe_lite.lab.recorded import recorded
from medmoe_lite.lab.teach import recall

# %% [markdown] id="step-1"
# ## Step 1: the router's weights
#
# **Exercise 3.1** (medium, 10 minutes). Turn one row of logits per token into weights: softmax,
# keep the $k$ largest, make them sum to one, leave zeros elsewhere. Why it matters: every mistake
# here runs without an error and trains a worse model. Stuck? Type `hint("3.1")`.

# %% id="ex-weights"
def top_k_weights(logits, k):
    """logits (..., e) -> weights (..., e), zero for all but the k largest"""
    ### BEGIN SOLUTION
    probabilities = logits.softmax(-1)
    best, chosen = probabilities.topk(k, -1)
    best = best / best.sum(-1, keepdim=True)
    return torch.zeros_like(probabilities).scatter(-1, chosen, best)
    ### END SOLUTION

# %% id="check-weights"
check("3.1", top_k_weights)

# %% id="use-weights"
top_k_weights = use("3.1", top_k_weights)

# %% id="try-weights"
logits = torch.tensor([[2.0, 1.0, 0.0, -3.0], [0.0, 0.0, 0.1, 3.0]])
for row in top_k_weights(logits, k=2).tolist():
    print(" ".join(f"{weight:.2f}" for weight in row), "  sum", f"{sum(row):.2f}")

# %% [markdown] id="step-2"
# ## Step 2: the mixture, expert by expert
#
# **Exercise 3.2** (easy, 5 minutes). Add up the experts, each by its weight. `A` is
# $(e, r, d_{in})$, `B` is $(e, d_{out}, r)$, `scale` is $\alpha / r$. Why it matters: this form is
# slow and plainly right. It will judge the next one.

# %% id="ex-loop"
def mixture_loop(x, weights, A, B, scale):
    """x (..., d_in), weights (..., e) -> (..., d_out)"""
    ### BEGIN SOLUTION
    total = 0
    for i in range(len(A)):
        total = total + weights[..., i : i + 1] * (x @ A[i].T @ B[i].T)
    return scale * total
    ### END SOLUTION

# %% id="check-loop"
check("3.2", mixture_loop)

# %% id="use-loop"
mixture_loop = use("3.2", mixture_loop)

# %% [markdown] id="step-3"
# ## Step 3: the mixture as one LoRA
#
# Write all $A_i$ under each other. That is one $A$ with $e \cdot r$ rows. Expert $i$ owns $r$ of
# them. Closing an expert means to multiply its $r$ inner numbers by zero.
#
# **Exercise 3.3** (hard, 10 minutes). Compute the same with two matrix products and a mask, for
# any number of experts. Why it matters: a mixture of experts is one LoRA whose rank columns open
# token by token. The whole package rests on this line.

# %% id="ex-stacked"
def mixture_stacked(x, weights, A, B, scale):
    """The same as mixture_loop, without a loop."""
    ### BEGIN SOLUTION
    e, r, d_in = A.shape
    mask = weights.repeat_interleave(r, -1)
    inner = x @ A.reshape(e * r, d_in).T
    return scale * (inner * mask) @ B.permute(1, 0, 2).reshape(-1, e * r).T
    ### END SOLUTION

# %% id="check-stacked"
check("3.3", mixture_stacked)

# %% id="use-stacked"
mixture_stacked = use("3.3", mixture_stacked)

# %% id="loop-equals-stack"
x, A, B = torch.randn(64, 128), torch.randn(8, 4, 128) / 11, torch.randn(8, 384, 4)
weights = top_k_weights(torch.randn(64, 8), k=2)
gap = mixture_loop(x, weights, A, B, 2.0) - mixture_stacked(x, weights, A, B, 2.0)
print("largest difference below 1e-4, in numbers of size 10:", gap.abs().max().item() < 1e-4)
x, weights, A, B = (t.double() for t in (x, weights, A, B))
gap = mixture_loop(x, weights, A, B, 2.0) - mixture_stacked(x, weights, A, B, 2.0)
print("in double precision below 1e-12:", gap.abs().max().item() < 1e-12)

# %% [markdown] id="step-4"
# ## Step 4: the layer
#
# **Exercise 3.4** (medium, 10 minutes). Put router and experts beside a frozen layer. At the start
# the layer must compute exactly what its base computes. `gate(x)` returns the weights: `forward`
# uses them, and so will your heatmap. Why it matters: this class is what you train below.

# %% id="ex-layer"
class MoLoRALinear(nn.Module):
    """A frozen nn.Linear with `router`, `A` (e, r, d_in) and `B` (e, d_out, r) beside it."""

    def __init__(self, base, num_experts, top_k, r, alpha):
        super().__init__()
        ### BEGIN SOLUTION
        self.base = base.requires_grad_(False)
        self.top_k, self.scale = top_k, alpha / r
        self.router = nn.Linear(base.in_features, num_experts)
        self.A = nn.Parameter(torch.empty(num_experts, r, base.in_features))
        self.B = nn.Parameter(torch.zeros(num_experts, base.out_features, r))
        for expert in self.A:
            nn.init.kaiming_uniform_(expert, a=math.sqrt(5))
        ### END SOLUTION

    def gate(self, x):
        ### BEGIN SOLUTION
        return top_k_weights(self.router(x), self.top_k)
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        update = mixture_stacked(x, self.gate(x), self.A, self.B, self.scale)
        return self.base(x) + update
        ### END SOLUTION

# %% id="check-layer"
check("3.4", MoLoRALinear)

# %% id="use-layer"
MoLoRALinear = use("3.4", MoLoRALinear)

# %% [markdown] id="inject"
# ## Into the model
#
# `nano` has five blocks. As in MING-MOE, the three feed-forward layers of each block get your
# class, with 8 experts of which 2 are open. The four attention layers get the plain LoRA of
# notebook 01. Our experts have rank 4: `nano` is 128 numbers wide, so 16 would be a lot.

# %% id="load"
from medmoe_lite.lab.molora import attach_molora

base, tokenizer = load_base("nano")
torch.manual_seed(0)
model = attach_molora(copy.deepcopy(base), layer=MoLoRALinear, num_experts=8, top_k=2, r=4, alpha=8)
layer = model.model.layers[2].mlp.up_proj
print(type(layer).__name__, "A", tuple(layer.A.shape), "B", tuple(layer.B.shape))

# %% [markdown] id="step-5"
# ## Step 5: count what works
#
# **Exercise 3.5** (easy, 5 minutes). How many adapter numbers of a layer work for one token, and
# how many are there? Why it matters: this is the promise of a mixture. All experts have to be in
# memory, but a token pays only for those it opens.

# %% id="ex-count"
def count_adapter(layer):
    """MoLoRALinear -> (numbers that work for one token, all numbers of the adapter)"""
    ### BEGIN SOLUTION
    router = sum(p.numel() for p in layer.router.parameters())
    experts = layer.A.numel() + layer.B.numel()
    return router + experts * layer.top_k // len(layer.A), router + experts
    ### END SOLUTION

# %% id="check-count"
check("3.5", count_adapter)

# %% id="use-count"
count_adapter = use("3.5", count_adapter)

# %% id="count-all"
active, whole = count_adapter(layer)
print(f"one layer of nano: {active:,} of {whole:,} numbers work for a token")
reveal("3.A", f"{active / whole:.0%}: two experts of eight, and the whole router")

# %% [markdown] id="dense" seeds="MING.check-1 MedCare.check-2"
# **Dense or mixture?** A dense layer uses all of its numbers for every token. A mixture keeps
# many and uses few: more room for different tasks at nearly the same work a token. The price is a
# router that must learn, and that no single weight can be merged into the base any more.

# %% [markdown] id="parity"
# ## The same as the package?
#
# `MoLoraConfig` is this method for PEFT. We copy your weights into it and compare the outputs of
# the whole model. $B$ gets random numbers first: with zeros everything agrees.

# %% id="parity-check"
from peft import get_peft_model

from medmoe_lite import MoLoraConfig
from medmoe_lite.lab.nb03.parity import into_package, spread_b

config = MoLoraConfig(num_experts=8, top_k=2, r=4, lora_alpha=8)
mine = spread_b(copy.deepcopy(model))
package = into_package(mine, get_peft_model(copy.deepcopy(base), config))
ids = torch.arange(5, 45).view(2, 20)
with torch.no_grad():
    moved = (mine(ids).logits - base(ids).logits).abs().max().item()
    apart = (mine(ids).logits - package(ids).logits).abs().max().item()
print("the update changes the output:", moved > 0.01, "| you and the package agree:", apart < 1e-3)

# %% [markdown] id="step-6"
# ## Step 6: train on five families at once
#
# Every batch holds six items of each family. The model sees their text and no label. Here is one
# item of each.

# %% id="families"
train_items, test_items = nb03.mix.training_items(), nb03.mix.held_items()
for name, items in train_items.items():
    print(f"{name:12}{items[0].prompt[:62]} -> {items[0].answer[:24]}")

# %% id="start-use"
before = {name: recall(model, tokenizer, items) for name, items in test_items.items()}
start = usage.summary(usage.collect(model, tokenizer, test_items))

# %% id="train"
batches = nb03.mix.mixed_batches(train_items, tokenizer, steps=200)
with live(steps(200)) as show_loss:
    losses = nb03.mix.fit(model, batches, every=40, show_loss=show_loss)

# %% id="after"
after = {name: recall(model, tokenizer, items) for name, items in test_items.items()}
chance = {"classify": " (chance 0.33)", "interaction": " (chance 0.50)"}
for name in nb03.mix.FAMILIES:
    print(f"{name:12}{about(before[name], 2)} before, {about(after[name], 2)} after", end="")
    print(chance.get(name, ""))

# %% [markdown] id="after-text"
# The share of items whose whole answer is right. Two families stay near chance: 200 steps do not
# teach them. How the experts are used is a question of its own, and it can be answered all the same.

# %% [markdown] id="sentence-text"
# ## Who works on your sentence
#
# Each row is a token, each column an expert. The line at the right is the sum of the weights,
# which is one for every token. Type a sentence of your own and choose another layer or module.
# Look for: the same word in two places, numbers, the tokens that frame a turn.

# %% id="explorer" tags=["keep-output"]
from medmoe_lite.lab.router_widget import router_explorer

SENTENCE = "Extract. fever in a woman of 68. Plan: jevbol 70 mg."
router_explorer(model, tokenizer, SENTENCE, layer=2)

# %% [markdown] id="use-text"
# ## Do families use different experts?
#
# We let the model read 60 test items a family and add up the weights. The picture shows the router
# whose expert use tells most about the family.

# %% id="family-figure" tags=["keep-output"]
use_after = usage.collect(model, tokenizer, test_items)
trained = usage.summary(use_after)
clearest = max(range(len(use_after.places)), key=trained["router_bits"].__getitem__)
number, module = use_after.places[clearest]
shares = trained["shares"][clearest]
title = "The router that tells families apart best (this run)"
show(nb03.plots.families(shares, nb03.mix.FAMILIES, title))

# %% [markdown] id="bits-text"
# One number for "different": how many **bits** about the family does it give to know which expert
# was used? Zero: all families alike. Five families with experts of their own: 2.32 bits.
#
# Two levels stand beside it. **Chance**: the same weights with the families dealt anew. **Before
# training**: the same router, still random. It is not zero, because families use different words
# and a random router also sends different words to different experts.

# %% id="bits-live"
print("chance           ", about(trained["bits_shuffled"]), "bits")
print("before training  ", about(start["bits"]), "bits")
print("after training   ", about(trained["bits"]), "bits, mean over 15 routers")

# %% [markdown] id="same-token-text"
# To take the words out, look at one token only: the last one of the question. It is the same in
# every family, so only what stands before it can make a difference.

# %% id="bits-same-token"
print("chance           ", about(trained["last_bits_shuffled"]), "bits")
print("before training  ", about(start["last_bits"]), "bits")
print("after training   ", about(trained["last_bits"]), "bits")

# %% [markdown] id="recorded-text"
# ## How sure is that?
#
# One run proves little. The same training was recorded with several seeds of the adapter, on two
# bases that were pre-trained from different seeds. What follows is written from that file.

# %% id="recorded"
record = recorded("03_routing")
runs = nb03.claims.complete(record["runs"])
levels = nb03.claims.bits(runs)
for tokens, found in levels.items():
    for level, values in found.items():
        print(f"{tokens:16}{level:17}{nb03.claims.told(values, 3)} bits, {len(values)} runs")

# %% id="recorded-figure" tags=["keep-output"]
title = "What an expert tells about the family (recorded)"
show(nb03.plots.levels(levels, title, "bits, mean of 15 routers"))

# %% id="recorded-gaps"
for tokens, found in levels.items():
    change = nb03.claims.gap(found["after training"], found["before training"])
    print(f"{tokens}: after minus before training {change}")
moved = [100 * run["trained"]["moved"] for run in nb03.claims.arm(runs, "molora")]
print(f"Two families place {nb03.claims.told(moved, 1)} % of their weight on different experts,")
print(f"mean of all pairs of families and 15 routers, over {len(moved)} runs.")
reveal("3.B", nb03.claims.settled(runs))

# %% [markdown] id="dense-text"
# ## Is a mixture better than one LoRA?
#
# The fair question needs two opponents. One plain LoRA has as many rank columns in all, 32. The
# other has as many as work for one token, 8. Same batches, same steps, same attention part.

# %% id="dense-recorded"
for arm in ("molora", "lora-total", "lora-active"):
    scores = [nb03.claims.mean_exact(run) for run in nb03.claims.arm(runs, arm)]
    print(f"{arm:12} exact match, mean of five families: {nb03.claims.told(scores, 3)}")
print("molora minus lora-total: ", nb03.claims.compare(runs, "molora", "lora-total"))
print("molora minus lora-active:", nb03.claims.compare(runs, "molora", "lora-active"))

# %% [markdown] id="dense-reading"
# Read it with care. Steps are equal, not the training of each number: an expert learns only from
# the tokens that open it, about a quarter of them. That is a possible reason for a gap, and it
# was not tested here. MING-MOE trains on 300,000 samples; this is 200 steps.

# %% [markdown] id="task-text"
# ## By token or by task?
#
# MING-MOE leaves one question open: what does routing by token cost, compared with routing by
# task? A task router picks the experts from a label, once for a whole text. We trained that too.

# %% id="task-recorded"
for key, words in (("exact", "right label"), ("wrong_label", "label of another family")):
    scores = [nb03.claims.mean_exact(run, key) for run in nb03.claims.arm(runs, "task")]
    print(f"by task, {words:24} {nb03.claims.told(scores, 3)}")
print("by token minus by task, right label:", nb03.claims.compare(runs, "molora", "task"))

# %% id="cost"
from medmoe_lite.lab.nb03.cost import multiply_adds

for name, sizes in (("nano", (128, 384, 8, 2, 4)), ("Qwen1.5-1.8B", (2048, 5504, 8, 2, 16))):
    print(f"{name}, up_proj, multiply-adds for one token")
    for way, count in multiply_adds(*sizes).items():
        print(f"   {way:22}{count:12,}")

# %% [markdown] id="cost-text" seeds="MING.open-3"
# By token, the router works at every token and nothing can be merged. By task, the choice falls
# once and the open experts may be merged into the base. Then they cost nothing more. But somebody
# must know the label, and a wrong one is answered with the wrong experts.

# %% [markdown] id="break"
# ## Break it
#
# Three routers are sick, each by one line. None of them raises an error, and their losses look
# alike. Three dials tell: what the weights of a token sum to, how many experts are open, and how
# large a gradient reaches the routers. In step 1 it is zero even in health, as $B$ is zero.

# %% id="sick-runs"
short = nb03.mix.mixed_batches(train_items, tokenizer, steps=10, batch_size=10, seed=1)
dials = {}
for run in ("healthy", *nb03.failure.SICK):
    dials[run] = nb03.failure.examine(base, run, short)
    print("trained", run, flush=True)

# %% id="sick-figure" tags=["keep-output"]
show(nb03.plots.dials(dials))
for cause in nb03.failure.CAUSES:
    print("possible cause:", cause)

# %% [markdown] id="diagnosis-text"
# **Exercise 3.6** (medium, 5 minutes). Name the cause of each sick run: one of `CAUSES`, written as
# `{"run P": CAUSES[0], ...}`. Why it matters: a router that cannot learn still routes. Its experts
# learn around it, the loss falls, and nobody notices.

# %% id="ex-diagnosis"
CAUSES = nb03.failure.CAUSES
### BEGIN SOLUTION
diagnosis = {"run P": CAUSES[2], "run Q": CAUSES[1], "run R": CAUSES[0]}
### END SOLUTION

# %% id="check-diagnosis"
check("3.6", diagnosis)

# %% [markdown] id="quiz-text"
# ## Quiz

# %% id="quiz"
quiz("03")

# %% [markdown] id="key-points"
# ## Key points
#
# - A router is a linear layer, a softmax, and a choice of $k$. Softmax, top-k, renormalise is the
#   same as a softmax over the $k$ largest logits.
# - A mixture of LoRA experts is one LoRA of rank $e \cdot r$ with a mask for each token.
# - A token pays for $k$ experts and the router; memory pays for all.
# - Expert use differs between families, in shares. Part of that is words, not tasks: always
#   compare with the untrained router and with chance.
# - A router without a gradient is silent. Watch the dials.

# %% [markdown] id="papers-text"
# ## Where the papers stand
#
# Written from the recorded runs. A small model can show how a mechanism works and refute "always".
# It cannot confirm a result on exams, and nothing here says anything about patients.

# %% id="papers"
claims(nb03.claims.verdicts(runs))

# %% [markdown] id="ladder-text"
# Two of these questions were asked again, with more tasks and the verdict rule fixed beforehand.
# These are their rows in the claim ledger.

# %% id="ladder"
from medmoe_lite.lab.ladder import ledger

ledger("lora_or_molora", "gate")

# %% [markdown] id="next"
# ## Next
#
# [04 Healthy and sick routers](04_healthy_and_sick_routers.ipynb) asks when a router is healthy:
# entropy, collapse, balance, and how many experts to open. To go on by yourself:
# `get_peft_model(model, MoLoraConfig())` is this notebook as a PEFT method.
