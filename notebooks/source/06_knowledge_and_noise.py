# %% [markdown] id="title" minutes=50
# # 06 Knowledge and noise
#
# **The question.** MedCare trains routed experts beside a shared one, and then throws the routed
# ones away. Why train experts to throw them away?
#
# - Reading and building: about 50 minutes. Computing: about one minute on a laptop.
# - You need: notebooks 01 and 03, or to know what a LoRA and a top-k router are.
# - You do not need: a GPU, a network, or notebooks 04 and 05.
#
# You build the shared expert, the layer of two parts and the drop. You train them twice, see what
# the drop costs, and measure whether the busiest expert is the best one.

# %% [markdown] id="predictions"
# ## Guess first
#
# Pick an answer before you go on. Nobody grades it. You will see it again beside the result.

# %% id="predict-drop"
predict(
    "6.A",
    "Shared and routed experts have learnt facts together. The routed ones are thrown away."
    " What happens to the facts?",
    ["more are answered", "as many as before", "fewer are answered"],
)

# %% id="predict-mismatch"
predict(
    "6.B",
    "Each of eight routed experts is tried alone. Does the one that is used most score best?",
    ["yes, use follows score", "no link can be seen", "the most used ones score worst"],
)

# %% [markdown] id="idea"
# ## The idea
#
# Medical data teach two things at once: facts, and the many formats they come in. MedCare gives
# the two an own place each, in every feed-forward layer:
#
# $$y = W x + \frac{\alpha}{r} \Big( B_K A_K x + \sum_{i=1}^{e} w_i \, B_i A_i x \Big)$$
#
# - The **Knowledge Aggregator** $B_K A_K$ is one shared expert of rank $n r$. It is always open.
# - The **Noise Aggregator** is the mixture of notebook 03. A router opens two of its experts.
# - After stage 1 the Noise Aggregator is dropped. A second stage (notebook 07) then learns the
#   formats anew.

# %% id="imports"
import copy
import math
import random
from functools import partial

import torch
from torch import nn

from medmoe_lite import load_base
from medmoe_lite.lab import about, nb06
from medmoe_lite.lab.ladder import ledger
from medmoe_lite.lab.lora import LoRALinear, lora_update
from medmoe_lite.lab.molora import MoLoRALinear, attach_molora, mixture_stacked

# %% id="diagram" tags=["keep-output"]
show(nb06.diagram.two_parts())

# %% [markdown] id="why"
# **Why should that help?** The paper's argument: what all tasks share goes to the part that is
# always open. What is peculiar to one format, and errors of the router, stay in the routed part.
# Drop it, and cleaner knowledge is left. It is a claim about where training puts things. You will
# test it.

# %% [markdown] id="step-1"
# ## Step 1: shared experts are one LoRA
#
# $n$ experts that are always open, each scaled by $\alpha / r$, can be written as one LoRA of rank
# $n r$. But a LoRA divides its $\alpha$ by its own rank.
#
# **Exercise 6.1** (medium, 10 minutes). Return `A`, `B` and `alpha` of that one LoRA. Why it
# matters: who exports a shared expert with the old $\alpha$ loses a part of it, silently. Stuck?
# Type `hint("6.1")`.

# %% id="ex-join"
def join_shared(A, B, alpha):
    """A (n, r, d_in), B (n, d_out, r) -> A (n r, d_in), B (d_out, n r), alpha of the one LoRA"""
    ### BEGIN SOLUTION
    n, r, d_in = A.shape
    one_B = B.permute(1, 0, 2).reshape(-1, n * r)
    return A.reshape(n * r, d_in), one_B, n * alpha
    ### END SOLUTION

# %% id="check-join"
check("6.1", join_shared)

# %% id="use-join"
join_shared = use("6.1", join_shared)

# %% id="try-join"
x, A, B = torch.randn(6, 128), torch.randn(4, 4, 128) / 11, torch.randn(4, 384, 4)
each = sum(lora_update(x, A[i], B[i], alpha=8) for i in range(4))
joined = lora_update(x, *join_shared(A, B, alpha=8))
agree = torch.allclose(each, joined, atol=1e-3)
print("four experts of rank 4 and one LoRA of rank 16 agree:", agree)

# %% [markdown] id="step-2"
# ## Step 2: the layer of two parts
#
# Begin with `MoLoRALinear` of notebook 03. It has `base`, `router`, `A` (e, r, d_in), `B`
# (e, d_out, r), `scale` and `gate(x)`, the weights of the routed experts.
#
# **Exercise 6.2** (medium, 15 minutes). Add the shared expert, as one pair of rank $n r$, with
# weight 1: it stands outside the softmax. While `self.closed` is true, the routed experts are
# shut. Why it matters: this class is what you train and take apart below.

# %% id="ex-layer"
class KnowledgeNoiseLinear(MoLoRALinear):
    """Adds shared_A (n r, d_in), shared_B (d_out, n r) and closed, which is False at the start."""

    def __init__(self, base, num_experts, top_k, r, alpha, shared_experts):
        super().__init__(base, num_experts, top_k, r, alpha)
        ### BEGIN SOLUTION
        d_in, d_out, rank = base.in_features, base.out_features, shared_experts * r
        self.shared_A = nn.Parameter(torch.randn(rank, d_in) / math.sqrt(3 * d_in))
        self.shared_B = nn.Parameter(torch.zeros(d_out, rank))
        self.closed = False
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        y = self.base(x) + self.scale * (x @ self.shared_A.T @ self.shared_B.T)
        if self.closed:
            return y
        return y + mixture_stacked(x, self.gate(x), self.A, self.B, self.scale)
        ### END SOLUTION

# %% id="check-layer"
check("6.2", KnowledgeNoiseLinear)

# %% id="use-layer"
KnowledgeNoiseLinear = use("6.2", KnowledgeNoiseLinear)

# %% [markdown] id="inject"
# Into the model: the feed-forward layers of `nano` get your class, with four shared experts of
# rank 4 and eight routed ones. Attention gets plain LoRA, which MedCare counts as knowledge. So
# $n$ is 4 here; MedCare uses 2, of rank 16.

# %% id="attach"
base, tokenizer = load_base("nano")
two_parts = partial(KnowledgeNoiseLinear, shared_experts=4)


def new_model(seed=0):
    torch.manual_seed(seed)
    return attach_molora(copy.deepcopy(base), two_parts, num_experts=8, top_k=2, r=4, alpha=8)


layer = nb06.parts.layers(new_model())[nb06.failure.LAYER]
for part, size in nb06.parts.sizes(layer).items():
    print(f"{part:16}{size:8,} numbers")

# %% [markdown] id="parity-text"
# ## The same as the package?
#
# In the package the shared expert is one more argument. We copy your weights into it and compare
# the outputs of the whole model. Every $B$ gets random numbers first.

# %% id="parity-check"
from peft import get_peft_model

from medmoe_lite import MoLoraConfig, drop_noise
from medmoe_lite.lab.nb06.parity import into_package, same_bits, spread_b

config = MoLoraConfig(num_experts=8, top_k=2, r=4, lora_alpha=8, shared_experts=4)
mine = spread_b(new_model())
package = into_package(mine, get_peft_model(copy.deepcopy(base), config))
ids = torch.arange(5, 45).view(2, 20)
with torch.no_grad():
    whole = package(ids).logits
    print("you and the package agree:", torch.allclose(mine(ids).logits, whole, atol=1e-3))
    print("the update changes the output:", (whole - base(ids).logits).abs().max().item() > 0.01)

# %% [markdown] id="step-3"
# ## Step 3: the drop
#
# What is left without the routed experts is a LoRA of notebook 01. `LoRALinear(base, r, alpha)`
# has `A` (r, d_in) and `B` (d_out, r), and scales by `alpha / r`.
#
# **Exercise 6.3** (medium, 10 minutes). Make it from a layer of two parts. Leave that layer as it
# is. Why it matters: the drop is an exact operation. If it changes more than it should, no error
# tells you.

# %% id="ex-drop"
def drop(layer):
    """KnowledgeNoiseLinear -> LoRALinear that computes base + shared expert"""
    ### BEGIN SOLUTION
    rank = len(layer.shared_A)
    left = LoRALinear(layer.base, rank, layer.scale * rank)
    left.A, left.B = layer.shared_A, layer.shared_B
    return left
    ### END SOLUTION

# %% id="check-drop"
check("6.3", drop)

# %% id="use-drop"
drop = use("6.3", drop)

# %% id="exact"
left = nb06.parts.dropped(mine, drop)
with torch.no_grad(), nb06.parts.closed(mine):
    print("dropped = routed experts closed:", torch.allclose(left(ids).logits, mine(ids).logits))
drop_noise(package)
print("the numbers left are those of the package, bit for bit:", same_bits(left, package))

# %% [markdown] id="exact-text"
# Nothing was approximated, merged or averaged. Whether the drop is *good* is another question,
# and training decides it.

# %% [markdown] id="train-text"
# ## Train stage 1
#
# Facts about nine drugs and conditions in three wordings, notes to be answered as JSON, and replay
# of what the base knows. All parts learn together, from one loss. Facts are tested in wordings
# that were not taught; `general` is what the base could do before.

# %% id="lessons"
lessons = nb06.lesson.batches(tokenizer, steps=60)
held = nb06.lesson.held_items()
for name, items in held.items():
    print(f"{name:8} {items[0].prompt[:58]!r} -> {items[0].answer[:22]!r}")

# %% id="train-naive"
naive = new_model()
losses = nb06.lesson.fit(naive, lessons)
print("loss of the last ten steps:", about(sum(losses[-10:]) / len(losses[-10:]), 2))

# %% id="score-naive"
scores = partial(nb06.lesson.scores, tokenizer=tokenizer, suites=held)
found = {}
left = nb06.parts.dropped(naive, drop)
for name, model in {"base": base, "stage 1": naive, "dropped": left}.items():
    found[name] = scores(model)
    told = "   ".join(f"{suite} {about(share, 2)}" for suite, share in found[name].items())
    print(f"{name:8} {told}", flush=True)
naive_kept, naive_dropped = found["stage 1"], found["dropped"]

# %% [markdown] id="loss-text"
# Look at the last two lines. The loss saw only the sum of both parts. Any split that gives the
# right sum is as good as another, so facts and format went where the gradient happened to put
# them. Nothing told the shared expert to know them by itself.

# %% [markdown] id="step-4"
# ## Step 4: noise dropout
#
# The shared expert must sometimes do the whole job alone. So in a part of the steps, all routed
# experts are closed. It is our addition; we have not found it in the paper.
#
# **Exercise 6.4** (easy, 5 minutes). Close the routed experts of all layers with probability `p`,
# otherwise open them. Draw with `rng.random()`. Why it matters: one draw a step, for all layers.
# With a draw for each layer, some routed expert would always be there to help.

# %% id="ex-noise"
def close_noise(layers, p, rng):
    """Set `closed` of all layers for the next step; returns nothing"""
    ### BEGIN SOLUTION
    closed = rng.random() < p
    for layer in layers:
        layer.closed = closed
    ### END SOLUTION

# %% id="check-noise"
check("6.4", close_noise)

# %% id="use-noise"
close_noise = use("6.4", close_noise)

# %% id="train-noise"
robust = new_model()
parts, rng = nb06.parts.layers(robust), random.Random(0)
losses = nb06.lesson.fit(robust, lessons, before_step=lambda: close_noise(parts, 0.5, rng))
close_noise(parts, 0.0, rng)
print("loss of the last ten steps:", about(sum(losses[-10:]) / len(losses[-10:]), 2))

# %% id="score-noise" tags=["keep-output"]
robust_kept, robust_dropped = scores(robust), scores(nb06.parts.dropped(robust, drop))
models = {"naive": (naive_kept, naive_dropped), "noise dropout": (robust_kept, robust_dropped)}
show(nb06.plots.before_after(models, "The drop after stage 1, this run"))

# %% [markdown] id="roles-text"
# ## Which part plays which role?
#
# The paper leaves open what each part does. Silence one part at a time and ask again: with the
# routed experts closed, the shared part answers; with the shared part silent, the routed experts
# do. Same start, same batches in both trainings.

# %% id="roles" seeds="MedCare.open-2" tags=["keep-output"]
rows = {}
for name, model, (kept, left) in zip(models, (naive, robust), models.values()):
    with nb06.parts.without_shared(model):
        rows |= {f"{name}: both": kept, f"{name}: shared": left, f"{name}: routed": scores(model)}
show(nb06.plots.roles(rows, "Who can answer alone, this run"))

# %% [markdown] id="roles-reading"
# If the parts had roles of their own, `shared` alone would keep the facts and `routed` alone the
# format. If both were needed for the same answer, each alone would fail at both. Hold the rows
# against these two pictures.

# %% [markdown] id="recorded-text"
# ## How sure is that?
#
# One run proves little. The ladder has the same comparison over seeds, with more facts, three
# formats and all general families of the base. What follows is computed from that file.

# %% [markdown] id="exp-1" seeds="MedCare.exp-1"
# **First, stage 1 alone, against the base.** This is MedCare's first experiment: does a shared
# expert learn knowledge, and do routed ones on top bring more, as long as nothing is dropped?
# Facts in other wordings, share of right answers, mean and range over seeds:

# %% id="knowledge-alone" seeds="MedCare.exp-1"
for line in nb06.claims.base_to_knowledge():
    print(line)

# %% [markdown] id="drop-text"
# **Then the drop.** A thin line is one seed. The dotted line is a shared expert of the same rank
# that was trained alone, without any routed ones.

# %% id="recorded-drop" tags=["keep-output"]
show(nb06.explore.drop_figure())

# %% id="recorded-numbers"
for arm, name in ((nb06.claims.NAIVE, "naive"), (nb06.claims.NOISE, "noise dropout 0.5")):
    print(f"{name}: mean and range over seeds, the change with its 95 % interval")
    for words, measure in nb06.explore.SHOWN.items():
        print(f"   {words:10} {nb06.claims.drop_told(arm, measure)}")
    print("   knowledge left, minus shared alone:", nb06.claims.against_alone(arm, "heldout"))
reveal("6.A", nb06.claims.prediction_drop())

# %% [markdown] id="explore-text"
# Choose a measure and a training. Look for measures that gain by the drop, for seeds that go
# against the mean, and for what the shared expert would have reached alone.

# %% id="explore-drop" tags=["keep-output"]
from medmoe_lite.lab.widgets import explorer

explorer(nb06.explore.draw_drop, nb06.explore.drop_controls())

# %% [markdown] id="step-5"
# ## Step 5: is the busiest expert the best one?
#
# The paper's reason for the drop is a **mismatch**: the router does not open the experts that do
# best. It shows single experts in a figure, without a number. A number for "do two orders agree"
# is the rank correlation: replace values by ranks, then correlate.
#
# **Exercise 6.5** (medium, 10 minutes). Equal values share the mean of their places. Where one
# list is constant there is no order: return 0. Why it matters: use and score are on different
# scales, and one extreme expert would rule an ordinary correlation.

# %% id="ex-rank"
def rank_correlation(use, own):
    """Two lists of numbers -> Spearman's rank correlation, -1 to 1"""
    ### BEGIN SOLUTION
    def ranks(values):
        return [sum(o < v for o in values) + sum(o == v for o in values) / 2 for v in values]

    a, b = (torch.tensor(ranks(v)) for v in (use, own))
    a, b = a - a.mean(), b - b.mean()
    size = a.norm() * b.norm()
    return float(a @ b / size) if size else 0.0
    ### END SOLUTION

# %% id="check-rank"
check("6.5", rank_correlation)

# %% id="use-rank"
rank_correlation = use("6.5", rank_correlation)

# %% [markdown] id="mismatch-text"
# Now your model. How much weight does each expert get? And how well does it answer alone, open
# with weight 1 in every layer beside the shared expert? The score is the mean of facts and JSON.

# %% id="mismatch-live" seeds="MedCare.next-2"
tried = {name: held[name] for name in ("facts", "json")}
used = nb06.parts.use_of(naive, tokenizer, tried)
own = []
for expert in range(8):
    with nb06.parts.alone(naive, expert):
        found = nb06.lesson.scores(naive, tokenizer, tried)
    own.append(sum(found.values()) / 2)
    told = f"use {about(used[expert], 2)}, own score {about(own[expert], 2)}"
    print(f"expert {expert}: {told}", flush=True)
link = rank_correlation(used, own)
print("entropy of use", about(nb06.parts.use_entropy(used), 2), "of 3 bits")
print("largest share ", about(max(used), 2), "of the weight; alike would be 0.125")
print("rank correlation of use and own score", about(link, 2))

# %% id="mismatch-figure" tags=["keep-output"]
levels = {"router chooses": naive_kept, "none": naive_dropped}
levels = {name: (found["facts"] + found["json"]) / 2 for name, found in levels.items()}
show(nb06.plots.mismatch([used], [own], "Used most, scoring best? This run", levels=levels,
                         correlations=[link], measured=True))

# %% [markdown] id="mismatch-recorded-text" seeds="MedCare.next-2"
# Eight experts of one run say next to nothing: by chance alone, a rank correlation of eight dots
# lies beyond ±0.6 about one time in eight. So look at the recorded seeds, each with a router of
# its own.

# %% id="mismatch-recorded" seeds="MedCare.next-2"
for line in nb06.claims.alone_against():
    print(line)
reveal("6.B", nb06.claims.prediction_mismatch())

# %% id="explore-mismatch" tags=["keep-output"]
explorer(nb06.explore.draw_mismatch, nb06.explore.mismatch_controls())

# %% [markdown] id="mismatch-reading"
# Careful: this does not yet show a bad router. An expert was trained for the tokens that open it,
# as one of a pair. Alone and for all tokens, it does another job. Compare the single experts with
# the pair that the router chooses, in the lines above.

# %% [markdown] id="restart-text"
# ## Why throw them away, then?
#
# MedCare does not stop at the drop. A new adapter learns the formats in stage 2, and the paper
# says that it learns them faster. Here are three starts for the same stage 2: the base, the
# dropped model of stage 1, and a model that has learnt facts alone.

# %% id="restart-figure" tags=["keep-output"]
show(nb06.explore.restart_figure())

# %% id="restart-numbers"
for line in nb06.claims.restart_told():
    print(line)

# %% [markdown] id="restart-reading"
# Stage 1 had seen these very formats, and what is left of them after the drop is a head start: see
# the first points of the curves. The third arm tells whether knowing the facts helps by itself.

# %% [markdown] id="break" seeds="MedCare.fail-1"
# ## Break it
#
# A failure signature of the paper: alignment gets worse after stage 1. Was the Noise Aggregator
# properly removed? The ladder warns that a *correct* drop can lower the formats too. A score
# cannot tell; the update itself can.

# %% [markdown] id="break-how" seeds="MedCare.fail-1"
# Three drops of your naive model went wrong, each by one line. At one layer, token by token, we
# hold the update that is left against the shared expert's own: its length, where 1 is right, and
# its direction, where 1 is the same. Beside them: the score, and the numbers left.

# %% id="sick-runs" seeds="MedCare.fail-1"
some = {"facts": held["facts"], "json": held["json"][:8]}
dials = {}
for run in ("healthy", *nb06.failure.SICK):
    dials[run] = nb06.failure.examine(naive, tokenizer, run, some)
    left = f"{dials[run].numbers:6,} numbers of the adapter left in the layer"
    print(f"{run:8} {left}", flush=True)

# %% id="sick-figure" tags=["keep-output"]
show(nb06.plots.dials(dials))
for cause in nb06.failure.CAUSES:
    print("possible cause:", cause)

# %% [markdown] id="diagnosis-text"
# **Exercise 6.6** (medium, 5 minutes). Name the cause of each bad drop: one of `CAUSES`, written as
# `{"run P": CAUSES[0], ...}`. Why it matters: compare the scores. A faulty drop may score as well
# as the right one, or better. It would be found out only when the second stage trains beside what
# should be gone.

# %% id="ex-diagnosis"
CAUSES = nb06.failure.CAUSES
### BEGIN SOLUTION
diagnosis = {"run P": CAUSES[2], "run Q": CAUSES[0], "run R": CAUSES[3]}
### END SOLUTION

# %% id="check-diagnosis"
check("6.6", diagnosis)

# %% [markdown] id="quiz-text"
# ## Quiz

# %% id="quiz"
quiz("06")

# %% [markdown] id="key-points"
# ## Key points
#
# - $n$ shared experts are one LoRA of rank $n r$, scaled by $\alpha / r$, outside the softmax.
# - The drop is exact: base and shared expert are left, bit for bit. It is not free: the loss never
#   asked the shared expert to work alone.
# - Noise dropout asks for it: close all routed experts in a part of the steps.
# - How often an expert is used and how well it does alone are two things. Measure both, over
#   seeds.
# - Check a drop by its update, not by a score.

# %% [markdown] id="papers-text"
# ## Where the papers stand
#
# Rows of the claim ledger, with the verdict and the interval from the recorded seeds. A small
# model can show how a mechanism works and refute "always". It cannot confirm a result on exams,
# and nothing here says anything about patients.

# %% id="papers"
ledger("drop", "mismatch", "restart", "corpus")

# %% [markdown] id="next"
# ## Next
#
# [07 Align without forgetting](07_align_without_forgetting.ipynb) goes on where MedCare goes on:
# stage 2 learns a format and should keep the facts. To go on by yourself:
# `MoLoraConfig(shared_experts=2)`, `Stage(..., noise_dropout=0.5)`, `drop_noise`.
