# %% [markdown] id="title" minutes=50
# # 07 Align without forgetting
#
# **The question.** A model has learnt facts. Now it shall learn a format. How does it learn the
# one and keep the other?
#
# - Reading and building: about 50 minutes. Computing: about one minute on a laptop.
# - You need: notebook 01, or to know that LoRA adds $(\alpha / r) B A x$ to a frozen layer.
# - You do not need: a GPU, a network, or notebooks 02 to 06.
#
# You open a second adapter beside the first, write the penalty of MedCare that is to keep them
# apart, measure the angles between what they read, and compare it with a projection that is exact.

# %% [markdown] id="predictions"
# ## Guess first
#
# Pick an answer before you go on. Nobody grades it. You will see it again beside the result.

# %% id="predict-frozen"
predict(
    "7.A",
    "The adapter with the facts is frozen. A second adapter beside it learns formats. How many of "
    "the facts that were known are still answered?",
    ["all: frozen weights cannot forget", "nine of ten", "between a half and nine of ten", "few"],
)

# %% id="predict-lambda"
predict(
    "7.B",
    "A penalty keeps the rows of the two adapters at right angles. How many more facts are kept?",
    ["most of what was lost comes back", "some more", "no difference that can be told", "fewer"],
)

# %% [markdown] id="problem"
# ## The problem
#
# First the obvious way: one adapter learns the facts, then the same adapter goes on with formats.
# The numbers are read from the recorded ladder. Facts are asked in wordings that were never
# taught; "general" is what the base could do before anything was taught.

# %% id="imports"
import copy

import torch
from torch import nn

from medmoe_lite import load_base
from medmoe_lite.lab import about, nb07
from medmoe_lite.lab.ladder import claim, ledger, numbers, show_claim
from medmoe_lite.lab.recorded import spread

# %% id="problem-recorded"
for arm in ("after stage 1", "formats only", "formats and replay"):
    print(arm)
    for name in ("heldout", "general"):
        print(f"   {name:8} {spread(numbers('forgetting', arm, name))}")

# %% [markdown] id="idea" seeds="MedCare.check-3"
# ## The idea
#
# MedCare gives each goal an adapter of its own, and adds a term to the loss of stage 2:
#
# $$y = W x + s\,B_K A_K x + s\,B_a A_a x \qquad
# L = L_{LM} + \lambda \sum_{\text{layers}} \sum_{ij} \left| A_K A_a^\top \right|_{ij}$$
#
# - **Why orthogonal?** Two goals that are tuned one after the other compete for the same
#   directions: the second moves what the first relies on.
# - The rows of $A$ are the directions that an adapter reads. If the second one reads others, it
#   should be silent where the first is at work. That is the hope. You will test it.

# %% id="diagram" tags=["keep-output"]
show(nb07.plots.stages())

# %% [markdown] id="step-1"
# ## Step 1: open the second stage
#
# Stage 1 runs now: 48 facts about invented drugs, in an adapter that PEFT calls `default`.

# %% id="stage-one"
base, tokenizer = load_base("nano")
known = nb07.second.learn_facts(base, tokenizer, steps=50)
items = nb07.second.suites()
before = nb07.second.asked(known, tokenizer, items)
print("after stage 1:", ", ".join(f"{name} {about(share, 2)}" for name, share in before.items()))

# %% [markdown] id="step-1-exercise"
# **Exercise 7.1** (medium, 10 minutes). The model carries two adapters, `default` and `alignment`.
# Open both, let `alignment` learn, and `default` only where `learn_knowledge` is true. Return the
# model. Why it matters: `set_adapter("alignment")`, which most people type, switches all the facts
# off.
#
# `model.base_model.set_adapter([...])` opens a list of adapters, and lets all of them learn. The
# names of parameters contain the adapter: `...up_proj.molora_experts.alignment.A`.

# %% id="ex-stage"
def open_stage_two(model, learn_knowledge=False):
    """PEFT model with "default" and "alignment" -> the same model, ready for stage 2"""
    ### BEGIN SOLUTION
    model.base_model.set_adapter(["default", "alignment"])
    for name, parameter in model.named_parameters():
        parts = name.split(".")
        facts_too = learn_knowledge and "default" in parts
        parameter.requires_grad_("alignment" in parts or facts_too)
    return model
    ### END SOLUTION

# %% id="check-stage"
check("7.1", open_stage_two)

# %% id="use-stage"
open_stage_two = use("7.1", open_stage_two)

# %% id="try-stage"
two = open_stage_two(nb07.second.add_second(known))
learning = sum(p.numel() for p in two.parameters() if p.requires_grad)
print(f"{learning:,} of {sum(p.numel() for p in two.parameters()):,} numbers learn")
ids = torch.arange(5, 45).view(2, 20)
with torch.no_grad():
    same = torch.allclose(two(ids).logits, known(ids).logits, atol=1e-4)
print("before its first step the second adapter changes nothing:", same)

# %% [markdown] id="step-2"
# ## Step 2: the paper's penalty
#
# **Exercise 7.2** (easy, 5 minutes). `pairs` holds $(A_K, A_a)$ of every layer, each $(r, d)$.
# Return the sum of all $|A_K A_a^\top|$, as one tensor. Why it matters: the same formula as a mean,
# as a square or on $B$ runs just as well, and its $\lambda$ means another thing. Stuck? Type
# `hint("7.2")`.

# %% id="ex-l1"
def overlap_l1(pairs):
    """list of (A_K (r, d), A_a (r, d)) -> scalar"""
    ### BEGIN SOLUTION
    return sum((a_k @ a_a.T).abs().sum() for a_k, a_a in pairs)
    ### END SOLUTION

# %% id="check-l1"
check("7.2", overlap_l1)

# %% id="use-l1"
overlap_l1 = use("7.2", overlap_l1)

# %% id="parity"
from medmoe_lite import orthogonal_penalty

pairs = nb07.second.pairs_of(two)
mine, package = overlap_l1(pairs), orthogonal_penalty(two, "default", "alignment", kind="l1")
print(len(pairs), "layers; you and the package agree:", torch.allclose(mine, package, rtol=1e-4))

# %% [markdown] id="step-3"
# ## Step 3: the penalty as a cosine
#
# A sum of products can be lowered without turning a single row: make $A_a$ small. $B_a$ then grows,
# and the adapter computes what it did.
#
# **Exercise 7.3** (medium, 5 minutes). Bring every row to length 1, take all cosines between rows
# of one and rows of the other, square them; mean over pairs of rows, then mean over layers. Why it
# matters: only a value that cannot be cheated can be compared between widths and runs.

# %% id="ex-cosine"
def overlap_cosine(pairs):
    """list of (A_K (r, d), A_a (r, d)) -> scalar between 0 and 1"""
    ### BEGIN SOLUTION
    layers = []
    for a_k, a_a in pairs:
        a_k = a_k / a_k.norm(dim=-1, keepdim=True)
        a_a = a_a / a_a.norm(dim=-1, keepdim=True)
        layers.append((a_k @ a_a.T).square().mean())
    return torch.stack(layers).mean()
    ### END SOLUTION

# %% id="check-cosine"
check("7.3", overlap_cosine)

# %% id="use-cosine"
overlap_cosine = use("7.3", overlap_cosine)

# %% id="cheat"
shrunk = [(a_k, 0.1 * a_a) for a_k, a_a in pairs]  # and B_a ten times larger: the same function
with torch.no_grad():
    print("l1 falls to", f"{float(overlap_l1(shrunk) / overlap_l1(pairs)):.2f}", "of its value")
    print("cosine stays:", torch.allclose(overlap_cosine(shrunk), overlap_cosine(pairs)))
    cosine = overlap_cosine(pairs).item()
    print("cosine at random", about(cosine, 4), f"and 1 / 128 is {1 / 128:.4f}")

# %% [markdown] id="two-stages" seeds="MedCare.exp-2 MedCare.exp-3"
# ## Both stages, with and without the penalty
#
# Now stage 2: invented notes become JSON with three fixed keys. A few steps, a third of each
# batch replays what the base knows, no fact is shown again. The knowledge adapter is frozen. Two
# runs from the same start and the same batches; in the second one your penalty is in the loss.

# %% id="train-plain"
lessons = nb07.second.format_batches(tokenizer, steps=36)
plain = open_stage_two(nb07.second.add_second(known))
plain = nb07.second.align(plain, lessons)

# %% id="train-penalty"
LAMBDA = 0.01
apart = open_stage_two(nb07.second.add_second(known))
penalty = lambda model: overlap_l1(nb07.second.pairs_of(model))
apart = nb07.second.align(apart, lessons, penalty, weight=LAMBDA)

# %% id="after-both"
runs = {"no penalty": plain, "with penalty": apart}
after = {name: nb07.second.asked(model, tokenizer, items) for name, model in runs.items()}
with torch.no_grad():
    for name, model in {"at the start": two, **runs}.items():
        pairs = nb07.second.pairs_of(model)
        l1, cosine = float(overlap_l1(pairs)), float(overlap_cosine(pairs))
        print(f"{name:13} l1 {about(l1, 0)}   cosine {about(cosine, 4)}")

# %% id="after-figure" tags=["keep-output"]
show(nb07.plots.kept({"after stage 1": before, **after}, "Learnt and kept (this run, one seed)"))

# %% [markdown] id="after-text"
# Look at three things: did the overlap fall, was the format learnt, what became of the facts? One
# run cannot rank the two. It can show whether the penalty reaches its own target. And a model that
# learnt less of the format has also had less reason to forget. The ranking comes below, over seeds.

# %% [markdown] id="step-4"
# ## Step 4: the angles between two adapters
#
# Cosines between rows depend on which rows span a space. **Principal angles** do not: the smallest
# one is the angle between the two closest directions of the spaces, and so on. 0 degrees: a
# direction is shared. 90 degrees: nothing is.
#
# **Exercise 7.4** (hard, 10 minutes). Take an orthonormal basis of the rows of each matrix (QR of
# the transpose). The singular values of $Q_K^\top Q_a$ are the cosines. Return degrees, smallest
# first. Why it matters: it is how "the two subspaces do not overlap" becomes a number.

# %% id="ex-angles"
def principal_angles(a_k, a_a):
    """a_k (r, d), a_a (s, d) -> (min(r, s),) degrees, smallest first"""
    ### BEGIN SOLUTION
    q_k, q_a = torch.linalg.qr(a_k.T).Q, torch.linalg.qr(a_a.T).Q
    cosines = torch.linalg.svdvals(q_k.T @ q_a).clamp(max=1)
    return cosines.acos().rad2deg()
    ### END SOLUTION

# %% id="check-angles"
check("7.4", principal_angles)

# %% id="use-angles"
principal_angles = use("7.4", principal_angles)

# %% id="angles-live" tags=["keep-output"]
chance = nb07.explore.random_angles(128, principal_angles)
rows = {}
for name, model in runs.items():
    pairs = [pair for pair in nb07.second.pairs_of(model) if pair[0].shape[1] == 128]
    angles = [principal_angles(a_k.detach(), a_a.detach()) for a_k, a_a in pairs]
    rows[name] = torch.stack(angles).mean(0).numpy()
show(nb07.plots.spaces(rows, chance, "Angles between what they read, mean of layers (this run)"))

# %% [markdown] id="angles-text"
# Compare the run without a penalty with the dotted line. In 128 dimensions, 16 random rows and 16
# others hardly meet; in 2048 dimensions they meet even less. How much is there to push apart? The
# widget shows the recorded runs, by kind of layer.

# %% id="angle-widget" tags=["keep-output"]
recorded_runs = nb07.curves.load()
nb07.explore.angle_explorer(recorded_runs, principal_angles)

# %% [markdown] id="target-text"
# ## Is it the right target?
#
# A fact is kept where $A_a x = 0$ for the inputs $x$ that it causes. The penalty knows $A_K$, and
# no $x$. Below, the rows of $A_a$ are at right angles to all rows of $A_K$, exactly.

# %% id="target-exact"
draw = torch.Generator().manual_seed(0)
a_k, a_a, x = (torch.randn(n, 128, generator=draw) for n in (16, 16, 1))
q_k = torch.linalg.qr(a_k.T).Q
a_perp = a_a - a_a @ q_k @ q_k.T
print("overlap below 0.001:", overlap_l1([(a_k, a_perp)]).item() < 1e-3)
lengths = [(a @ x.T).norm().item() for a in (a_a, a_perp)]
print("length of A_a x: before", about(lengths[0], 1), "and now", about(lengths[1], 1))

# %% [markdown] id="reads-text"
# So the penalty protects $x$ only as far as $x$ lies in what $A_K$ reads. Does it? In the recorded
# runs we took the main directions of the fact inputs in each layer (95 % of their squared size),
# and the share of $A$'s rows that lies in them. Compare the first adapter with random rows, then
# each arm.

# %% id="reads-recorded"
print("share of A in the directions of the fact inputs")
for line in nb07.curves.reading(recorded_runs):
    print("  ", line)

# %% [markdown] id="step-5"
# ## Step 5: take the directions out
#
# If the inputs of the facts are known, no penalty is needed. Let the columns of $Q$ be their main
# directions, orthonormal. Then $A_a \leftarrow A_a (I - Q Q^\top)$ cannot read them any more.
#
# **Exercise 7.5** (easy, 5 minutes). Write it. Why it matters: it is the exact form of what the
# penalty hopes for, it takes one line, and it aims at inputs in place of weights.

# %% id="ex-take-out"
def take_out(a, q):
    """a (r, d), q (d, m) with orthonormal columns -> (r, d)"""
    ### BEGIN SOLUTION
    return a - a @ q @ q.T
    ### END SOLUTION

# %% id="check-take-out"
check("7.5", take_out)

# %% id="use-take-out"
take_out = use("7.5", take_out)

# %% [markdown] id="adam-text"
# **Gradient or weights?** One can project the gradient before the step, or $A$ after it. With plain
# gradient steps that is the same. With Adam it is not: each entry is divided by a number of its
# own.

# %% id="adam"
q = torch.linalg.qr(torch.randn(8, 2, generator=draw)).Q
a = nn.Parameter(take_out(torch.randn(3, 8, generator=draw), q))
adam = torch.optim.Adam([a], lr=0.1)
a.grad = take_out(torch.randn(3, 8, generator=draw), q)
adam.step()
with torch.no_grad():
    print("projected gradient, then Adam: A Q is zero:", (a @ q).abs().max().item() < 1e-5)
    kept_off = (take_out(a, q) @ q).abs().max().item() < 1e-5
    print("projected A, after the step:   A Q is zero:", kept_off)

# %% [markdown] id="shield-text"
# What does the exact form do to the model trained above? Stage 2 without a penalty has cost facts.
# We take the fact inputs out of its $A_a$, without any training.

# %% id="shield"
q_facts = nb07.second.fact_directions(known, tokenizer)
shielded = copy.deepcopy(plain)
with torch.no_grad():
    for (_, a), q in zip(nb07.second.pairs_of(shielded), q_facts, strict=True):
        a.copy_(take_out(a, q))
after["taken out"] = nb07.second.asked(shielded, tokenizer, items)
for name, found in {"after stage 1": before, **after}.items():
    print(f"{name:14} facts {about(found['facts'], 2)}   format {about(found['format'], 2)}")

# %% [markdown] id="shield-reading"
# Afterwards is too late for the format: it was learnt with those directions. So one projects from
# the first step on, and the format has to be learnt from what is left. The recorded arm "off the
# fact inputs" does that after every step.

# %% [markdown] id="lambda-text" seeds="MedCare.open-3 MedCare.next-1"
# ## Forgetting curves
#
# How strong should the penalty be, and what does it do to learning and to forgetting? The paper
# leaves that open. Here are three weights and none, over seeds, for a frozen knowledge adapter.
# Move `lambda`, and watch three things together: facts, formats, overlap.

# %% id="lambda-widget" tags=["keep-output"]
print("weights in the paper:", claim("penalties")["published"])
nb07.explore.lambda_explorer(recorded_runs)

# %% id="tradeoff" tags=["keep-output"]
show(nb07.plots.tradeoff(recorded_runs))

# %% [markdown] id="gaps-text"
# The same as numbers: each arm minus the frozen one without a penalty, seed by seed, with the 95 %
# interval. Where zero lies inside, no difference can be told from these runs. `l1 0.01` is the
# paper's penalty with $\lambda = 0.01$. Read facts and formats of an arm together.

# %% id="gaps"
print("\n".join(nb07.curves.table(recorded_runs)))

# %% id="reveals"
reveal("7.A", nb07.curves.settled_frozen(recorded_runs))
reveal("7.B", nb07.curves.settled_lambda(recorded_runs))

# %% [markdown] id="ladder-text"
# The ladder has more opponents, each over seeds: the paper's own setting where both adapters learn,
# replay of facts, half the learning rate, and a projection off the rows of $A_K$, which is the
# penalty taken to its end.

# %% id="ladder-figure" tags=["keep-output"]
show_claim("orthogonal")

# %% [markdown] id="break" seeds="MedCare.fail-2"
# ## Break it
#
# "If knowledge degrades, check the strength of the penalty." That is good advice as far as the
# penalty is at work. Three runs are sick, each by one line, and none of them raises an error. The
# loss of the facts alone does not name the cause. The other dials do.

# %% id="sick-runs"
few = nb07.second.format_batches(tokenizer, steps=10, batch_size=9)
dials = {}
for run in ("healthy", *nb07.failure.SICK):
    dials[run] = nb07.failure.examine(known, tokenizer, run, few)
    print(run, "done", flush=True)

# %% id="sick-figure" tags=["keep-output"]
show(nb07.plots.dials(dials))
for cause in nb07.failure.CAUSES:
    print("possible cause:", cause)

# %% [markdown] id="diagnosis-text"
# **Exercise 7.6** (medium, 5 minutes). Name the cause of each sick run: one of `CAUSES`, written as
# `{"run P": CAUSES[0], ...}`. Why it matters: a penalty that does nothing looks like a penalty that
# does not help.

# %% id="ex-diagnosis"
CAUSES = nb07.failure.CAUSES
### BEGIN SOLUTION
diagnosis = {"run P": CAUSES[1], "run Q": CAUSES[2], "run R": CAUSES[0]}
### END SOLUTION

# %% id="check-diagnosis"
check("7.6", diagnosis)

# %% [markdown] id="published-text"
# One of these mistakes may be in the published code. Started with DeepSpeed, as its README does, it
# computes the penalty from copies, as far as we can read it; we have not run it. Whoever reports
# "with penalty" should also report how far the overlap fell.

# %% [markdown] id="quiz-text"
# ## Quiz

# %% id="quiz"
quiz("07")

# %% [markdown] id="key-points"
# ## Key points
#
# - A frozen adapter keeps its weights. It does not keep the answers: the second adapter adds to the
#   same layers.
# - The penalty compares what two adapters read. Look at the overlap and at the term in the loss
#   before you ask whether it helps.
# - $A_K A_a^\top = 0$ says nothing about $A_a x$ for a given input $x$. A projection off the inputs
#   does, exactly, on as many directions as you can spare.
# - Every protection is to be read together with the format: a model that learns nothing forgets
#   nothing.

# %% [markdown] id="papers-text"
# ## Where the papers stand
#
# Written from the recorded ladder. A small model can show how a mechanism works and refute
# "always". It cannot confirm a result on exams, and nothing here says anything about patients.

# %% id="papers"
ledger("forgetting", "orthogonal", "penalties", "restart")

# %% [markdown] id="restart-text"
# The last row asks another thing of the two stages: does a model that went through stage 1 learn
# the formats faster? In MedCare stage 1 contains formats as well, in experts that are then dropped.
# The arm "after facts" saw none.

# %% id="restart" tags=["keep-output"]
show_claim("restart")

# %% [markdown] id="next"
# ## Next
#
# [08 ECI and three steps](08_eci_and_three_steps.ipynb) leaves text behind: a label is read by a
# classification head. To go on by yourself: give
# `Stage(..., orthogonal={"weight": 1e-3})` or `project={"source": "facts"}` to `run_stage`.
