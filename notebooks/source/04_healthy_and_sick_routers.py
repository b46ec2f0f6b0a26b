# %% [markdown] id="title" minutes=50
# # 04 Healthy and sick routers
#
# **The question.** When does routing help, and when does it collapse? A router that sends every
# token to the same two experts still trains, and its loss still falls. How would you know?
#
# - Reading and building: about 50 minutes. Computing: about one minute on a laptop.
# - You need: what a router and a top-k choice are (notebook 03). You do not need its code.
# - You do not need: a GPU or a network.
#
# You build the dials that tell a sick router from a healthy one and the loss that keeps it
# healthy. Then you train one of each, and ask how many experts a token should open.

# %% [markdown] id="predictions"
# ## Guess first
#
# Pick an answer before you go on. Nobody grades it. You will see it again beside the result.

# %% id="predict-loss"
predict(
    "4.A",
    "Two runs, same data. In one of them two experts of eight take nearly all tokens. Its loss?",
    ["far above the other one", "nearly the same", "below the other one"],
)

# %% id="predict-k"
predict(
    "4.B",
    "A token opens K = 1, 2 or 3 experts of eight. Which K answers best after the same steps?",
    ["K = 1", "K = 2, as in the paper", "K = 3", "no difference can be seen"],
)

# %% [markdown] id="idea"
# ## The idea
#
# A router learns from the experts it opens. An expert that is opened early gets better early, so
# it is opened again. The rich get richer; the others never learn. That is **collapse**: MING-MOE
# pays for eight experts and uses two.
#
# The cure is a second loss. It compares where the choices fall with where the probabilities are:
#
# $$\text{balance} = e \sum_{i=1}^{e} \text{load}_i \, P_i$$
#
# - $\text{load}_i$ is the share of all choices that fell on expert $i$.
# - $P_i$ is the mean probability of expert $i$. All experts alike give 1.

# %% id="diagram" tags=["keep-output"]
from medmoe_lite.lab import about, ladder, nb03, nb04

show(nb04.diagram.balance())

# %% id="imports"
import torch

from medmoe_lite import balance_loss as package_balance
from medmoe_lite import load_base, record_routing
from medmoe_lite.lab.fast import steps
from medmoe_lite.lab.live import live

# %% [markdown] id="step-1"
# ## Step 1: count who works
#
# **Exercise 4.1** (easy, 5 minutes). Turn gate weights into the load: of all choices, which share
# fell on each expert? Padding makes no choice. Why it matters: a batch of short and long texts can
# be half padding. Counted in, it outvotes the words. Stuck? Type `hint("4.1")`.

# %% id="ex-load"
def expert_load(weights, mask):
    """weights (b, t, e), zero if closed; mask (b, t), 1 or 0 -> load (e,), sums to one"""
    ### BEGIN SOLUTION
    counts = (weights[mask.bool()] > 0).sum(0)
    return counts / counts.sum()
    ### END SOLUTION

# %% id="check-load"
check("4.1", expert_load)

# %% id="use-load"
expert_load = use("4.1", expert_load)

# %% id="counts-or-weights"
weights = torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.2, 0.8], [0.7, 0.3, 0.0]])[None]
mask = torch.tensor([[1, 1, 1]])
print("choices:", [round(v, 2) for v in expert_load(weights, mask).tolist()])
print("weights:", [round(v, 2) for v in weights[0].mean(0).tolist()])

# %% [markdown] id="counts-text"
# Expert 1 is chosen by every token and carries little weight. Counts say how much **work** an
# expert has: that is what a computer pays. Weights say how much it **contributes**. Load is the
# word for counts. Say which one you report.

# %% [markdown] id="step-2"
# ## Step 2: three dials
#
# A layer has eight loads and a model has fifteen routers. Nobody reads 120 numbers.
#
# **Exercise 4.2** (medium, 8 minutes). Return evenness, busiest, dead. Evenness is the entropy of
# the load divided by its largest value, so 1 is even. Busiest is the largest share. Dead counts
# experts with less than a tenth of an even share. Why it matters: entropies in bits, in nats, of
# four or eight experts cannot be compared.

# %% id="ex-dials"
def dials(load):
    """load (e,) -> (evenness from 0 to 1, share of the busiest expert, number of dead experts)"""
    ### BEGIN SOLUTION
    e = len(load)
    entropy = -(load * load.clamp_min(1e-12).log()).sum()
    evenness = entropy / torch.tensor(float(e)).log()
    return float(evenness), float(load.max()), int((load < 0.1 / e).sum())
    ### END SOLUTION

# %% id="check-dials"
check("4.2", dials)

# %% id="use-dials"
dials = use("4.2", dials)

# %% id="try-dials"
for name, shares in (
    ("even", [0.125] * 8),
    ("leaning", [0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.05]),
    ("collapsed", [0.5, 0.5] + [0.0] * 6),
):
    evenness, busiest, dead = dials(torch.tensor(shares))
    print(f"{name:10} evenness {evenness:.2f}   busiest {busiest:.2f}   dead {dead}")

# %% [markdown] id="collapse-text"
# With two open experts no share can pass one half, because a token cannot choose one expert
# twice. So 0.50 is the worst there is. Its evenness is one third, not zero.

# %% [markdown] id="step-3"
# ## Step 3: does the token decide?
#
# An even load is not enough. A router that throws dice is perfectly even. In a healthy router the
# **token** decides: each token has its favourites, and different tokens have different ones.
#
# **Exercise 4.3** (hard, 8 minutes). Take the entropy of the mean probabilities, minus the mean of
# the tokens' entropies, divided by $\log e$. Why it matters: this number is near 0 for a collapsed
# router and for dice. Only a router that tells tokens apart has more.

# %% id="ex-information"
def information(probabilities, mask):
    """probabilities (b, t, e), the softmax; mask (b, t) -> number between 0 and 1"""
    ### BEGIN SOLUTION
    p = probabilities[mask.bool()]
    of_mean = torch.special.entr(p.mean(0)).sum()
    mean_of = torch.special.entr(p).sum(-1).mean()
    return float((of_mean - mean_of) / torch.tensor(float(p.shape[-1])).log())
    ### END SOLUTION

# %% id="check-information"
check("4.3", information)

# %% id="use-information"
information = use("4.3", information)

# %% id="try-information"
mask = torch.ones(1, 64, dtype=torch.long)
favourites = torch.arange(64) % 8
for name, logits in (
    ("dice", torch.zeros(64, 8)),
    ("collapsed", torch.eye(8)[0].expand(64, 8) * 9.0),
    ("tokens decide", torch.eye(8)[favourites] * 9),
):
    print(f"{name:14} information {abs(information(logits.softmax(-1)[None], mask)):.2f}")

# %% [markdown] id="step-4"
# ## Step 4: the loss that keeps it even
#
# **Exercise 4.4** (medium, 8 minutes). Write $e \sum_i \text{load}_i P_i$ for one router, with
# $P_i$ the mean probability over real tokens. Your `expert_load` is there to be used. Why it
# matters: published codes differ here. Without the division by $k$ the even value is $k$, and a
# weight from one paper is wrong in another.

# %% id="ex-balance"
def balance_loss(weights, probabilities, mask):
    """weights, probabilities (b, t, e), mask (b, t) -> one number with a gradient"""
    ### BEGIN SOLUTION
    mean = probabilities[mask.bool()].mean(0)
    return len(mean) * (expert_load(weights, mask) * mean).sum()
    ### END SOLUTION

# %% id="check-balance"
check("4.4", balance_loss)

# %% id="use-balance"
balance_loss = use("4.4", balance_loss)

# %% [markdown] id="parity"
# ## The same as the package?
#
# We build MING-MOE's layout on `nano`: 8 experts, 2 open, in 15 feed-forward layers. Experts 0 and
# 1 get a **head start**, a bias of 2 in every router. That is our push: it makes visible in seconds
# what may take a real run thousands of steps.

# %% id="parity-check"
base, tokenizer = load_base("nano")
train_items, test_items = nb03.mix.training_items(), nb03.mix.held_items()
probe = nb04.train.probe(test_items, tokenizer)
model = nb04.train.mixture(base, head_start=2.0)
model(**probe)
mine, theirs = nb04.train.mean_term(model, balance_loss), package_balance(model)
print("yours", about(mine.item()), "| package", about(theirs.item()), end=" | ")
print("they agree:", abs(mine.item() - theirs.item()) < 1e-5)

# %% id="parity-telemetry"
with record_routing(model) as log, torch.no_grad():
    model(**probe)
for one in nb04.train.read(model, probe)[:3]:
    at = log.layer_ids.index(one.layer), log.module_names.index(one.module)
    gap = expert_load(one.weights, one.mask) - torch.tensor(log.chosen[at][0] / 2)
    same = gap.abs().max().item() < 1e-5
    print(f"layer {one.layer} {one.module:10} your load is that of record_routing: {same}")

# %% [markdown] id="telemetry-text"
# `record_routing` is how you watch any model of this package, at any length: it keeps sums only.
# `log.chosen` says how often a token opens an expert; divided by $k$ it is your load. Padding is
# left out there as well, as long as the model gets its `attention_mask`.

# %% [markdown] id="train-text"
# ## Train one of each
#
# Same start, same batches of five task families, same seed. The only difference is the weight of
# **your** balance loss: 0 in the first run, 0.3 in the second.

# %% id="batches"
batches = nb03.mix.mixed_batches(train_items, tokenizer, steps=36, batch_size=10)

# %% id="train-sick"
sick = nb04.train.mixture(base, head_start=2.0)
with live(steps(36)) as show_loss:
    sick_losses = nb04.train.fit(sick, batches, balance_loss, weight=0.0, on_step=show_loss)

# %% id="train-healthy"
healthy = nb04.train.mixture(base, head_start=2.0)
with live(steps(36)) as show_loss:
    healthy_losses = nb04.train.fit(healthy, batches, balance_loss, weight=0.3, on_step=show_loss)

# %% id="loss-figure" tags=["keep-output"]
lines = {"no balance loss": sick_losses, "with balance loss": healthy_losses}
title = "Loss of the answers, this run"
show(plots.curves(range(1, len(sick_losses) + 1), lines, title))
reveal("4.A", nb04.words.settled_loss(sick_losses, healthy_losses))

# %% [markdown] id="loss-text"
# Read both curves and say which run is sick. The loss knows nothing of routing: two experts can
# learn in place of eight for quite a while. So look at the routers themselves.

# %% id="maps" tags=["keep-output"] seeds="MING.fail-2"
loads, rows = {}, []
for name, trained in (("sick", sick), ("healthy", healthy)):
    seen = nb04.train.read(trained, probe)
    loads[name] = torch.stack([expert_load(one.weights, one.mask) for one in seen])
    rows = [nb04.plots.place(one.layer, one.module) for one in seen]
show(nb04.plots.maps(loads, rows, "Load of every router, this run (percent, from 20 on)"))

# %% [markdown] id="dials-text"
# MedCare asks for numbers instead of pictures: the entropy of routing, how the experts are used,
# and whether routing goes along with success. Here are your dials, mean of 15 routers.

# %% id="dials-live" seeds="MedCare.next-2"
untrained = nb04.train.mixture(base, head_start=2.0)
for name, one in (("at the start", untrained), ("sick", sick), ("healthy", healthy)):
    seen = nb04.train.read(one, probe)
    found = [dials(expert_load(r.weights, r.mask)) for r in seen]
    even, busy, dead = (sum(column) / len(found) for column in zip(*found))
    tells = sum(information(r.probabilities, r.mask) for r in seen) / len(seen)
    print(f"{name:13} evenness {about(even, 2)}  busiest {about(busy, 2)}", end="  ")
    print(f"dead {about(dead, 1)} of 8  information {about(tells)}")

# %% [markdown] id="dials-reading"
# All three lines start from the same push. Information is far from 1 even in health: after a few
# steps a router leans, it does not decide. So compare a router with itself before training and
# with another run, never with 1.

# %% [markdown] id="mismatch-text"
# The third question needs scores: is an expert that is used more also better when it works alone?
# That was recorded, as a rank correlation of use and own score: 1 where they agree. The claim says
# it is below 0.5. The first line is its distance from 0.5, the second its distance from 0.

# %% id="mismatch"
nb04.words.effects("mismatch")

# %% [markdown] id="microscope-text"
# ## The router microscope
#
# Switch between the two models, walk through layers and modules. On the left the load of all five
# layers, on the right one sentence at the router in the frame. Look for: a layer that stayed sick,
# and tokens that leave experts 0 and 1 first.

# %% id="microscope" tags=["keep-output"]
SENTENCE = "Extract. fever in a woman of 68. Plan: jevbol 70 mg."
views = {
    name: nb04.microscope.look(trained, tokenizer, probe, SENTENCE)
    for name, trained in (("sick", sick), ("healthy", healthy))
}
nb04.microscope.explore(views, layer=2, module="up_proj")

# %% [markdown] id="natural-text"
# ## Without a push
#
# Our routers were pushed. Do routers of this size collapse by themselves? The ladder trained
# without a head start, over several seeds, with balance weights of 0, 0.02 and 0.1.

# %% id="natural" tags=["keep-output"]
ladder.show_claim("collapse")

# %% id="natural-words"
nb04.words.effects("collapse")

# %% [markdown] id="natural-reading"
# Each line is a difference with its 95 % interval over seeds. Two questions hide in this claim: does
# the loss even out the load (less for the busiest expert), and what do the answers pay or gain?
#
# An even load is no goal in itself. With two open experts of eight, 0.125 is even for the busiest
# and 0.5 is collapse.

# %% [markdown] id="step-5"
# ## Step 5: how many experts, honestly
#
# MING-MOE uses 8 experts and leaves open what happens with more or fewer. A fair sweep must not
# give more numbers to more experts.
#
# **Exercise 4.5** (easy, 5 minutes). Settings for `n` experts that share 32 rank columns. The scale
# `lora_alpha / r` stays 2, at most 2 experts are open. Why it matters: a sweep that changes size
# and number together answers neither question.

# %% id="ex-sweep"
def same_rank(n):
    """number of experts -> dict of num_experts, r, lora_alpha, top_k"""
    ### BEGIN SOLUTION
    r = 32 // n
    return {"num_experts": n, "r": r, "lora_alpha": 2 * r, "top_k": min(2, n)}
    ### END SOLUTION

# %% id="check-sweep"
check("4.5", same_rank)

# %% id="use-sweep"
same_rank = use("4.5", same_rank)

# %% id="sweep-count"
for n in (2, 4, 8, 16):
    swept = nb04.train.mixture(base, plain_modules=[], **same_rank(n))
    learning = sum(p.numel() for p in swept.parameters() if p.requires_grad)
    open_columns = same_rank(n)["r"] * same_rank(n)["top_k"]
    print(f"{n:2} experts: {learning:,} numbers learn, {open_columns:2} rank columns open a token")

# %% id="sweep-recorded" tags=["keep-output"] seeds="MING.open-1"
ladder.show_claim("experts")

# %% id="sweep-words"
nb04.words.effects("experts")

# %% [markdown] id="sweep-reading"
# The recorded runs also have one plain LoRA in attention, the same in all of them. One thing is not
# equal and cannot be: with a fixed total rank and two open experts, more experts means fewer
# columns at work for a token. To tell the two apart you would have to change $K$ as well.

# %% [markdown] id="k-text"
# ## How many open experts, and what do they cost?
#
# The paper's first experiment compares $K$ = 1, 2, 3. Quality comes from the recorded ladder. Time
# is measured now, on your machine: all models in turns, medians, as multiples of the base alone.

# %% id="race"
short = nb03.mix.mixed_batches(train_items, tokenizer, steps=1, batch_size=10)[0]
racers = {"base": base, "LoRA, rank 8": nb04.train.mixture(base, num_experts=0, shared_experts=2)}
racers["LoRA, rank 32"] = nb04.train.mixture(base, num_experts=0, shared_experts=8)
for k in (1, 2, 3):
    racers[f"K = {k}"] = nb04.train.mixture(base, top_k=k).eval()
racers["by task"] = nb04.train.mixture(base, gate="task", num_tasks=5).eval()
times = nb04.speed.race(racers, short)

# %% id="race-told" seeds="MING.fail-4"
print(f"{'times the base alone':22}a batch   one token")
for name, ratio in times.items():
    print(f"{name:22}{about(ratio['a batch'], 2)}     {about(ratio['one token'], 2)}")

# %% [markdown] id="latency-text"
# This is the latency that MING-MOE names as a risk. Compare `K = 2` with plain LoRA of rank 8, the
# open columns, and of rank 32, all columns: what is left is the price of routing. A batch hides it
# behind large products. One token, as in decoding, shows it.

# %% id="quality-time" tags=["keep-output"] seeds="MING.exp-1"
batch_times = {name: ratio["a batch"] for name, ratio in times.items()}
show(nb04.plots.quality_time(nb04.words.quality_by_k(), batch_times, "the base's"))
reveal("4.B", nb04.words.best_k())

# %% [markdown] id="k-reading"
# Gaps of a few percent between the three times are noise of the clock. On a CPU this package
# multiplies all rank columns at once and closes some by a zero (notebook 03): $K$ changes which
# columns count, not how many are multiplied. Kernels that skip closed experts pay for each open
# one; `medmoe bench` compares them.

# %% [markdown] id="task-text"
# ## By token or by task: the price
#
# A task gate chooses from a label, not from the token. The line `by task` above is its time while
# the experts stay beside the base: to choose from a label is work as well.
#
# The real advantage is another one. For one task the gate is constant, so the open experts can be
# merged into the base and cost nothing more. A token gate can never be merged.

# %% id="task-recorded" seeds="MING.open-3"
ratio = times["by task"]["one token"] / times["K = 2"]["one token"]
print("time of one token, by task over by token:", about(ratio, 2))
nb04.words.effects("gate")

# %% [markdown] id="overfit-text"
# ## Does a mixture overfit?
#
# The paper lists it as a risk: good on what was trained, poor elsewhere. "Elsewhere" has two
# meanings, and each has a measure. Other **questions** on the same facts: train against held-out
# wordings. Other **tasks**: general ability, with and without replay in the mix.

# %% id="overfit-live"
train_probe = nb04.train.probe(train_items, tokenizer)
on_train, on_held = (nb04.train.loss_on(healthy, batch) for batch in (train_probe, probe))
print("this run, loss on train items", about(on_train, 2), "| on held-out items", about(on_held, 2))

# %% id="overfit-recorded" seeds="MING.fail-3"
for measure, words in (("kept.taught", "taught wordings"), ("kept.heldout", "other wordings")):
    print(f"{words:19}", nb04.words.level("drop", "shared and routed", measure))
for arm in ("experts, k = 2", "no replay"):
    for measure in ("medical", "general"):
        print(f"{arm:15}{measure:9}", nb04.words.level("preservation", arm, measure))

# %% [markdown] id="overfit-reading"
# The first two lines are train score and held-out score of the same facts, in a mixture with a
# shared expert. The gap is overfitting to wordings. The other four show what training without
# general items does to general ability. Always report both sides of such a pair.

# %% [markdown] id="break"
# ## Break it
#
# Four runs start with the same head start and add a balance loss. Their batches are filled with
# padding to one length, as many training scripts do. One run is healthy; three make one mistake
# each. None raises an error.

# %% id="sick-runs"
padded = nb04.failure.batches(train_items, tokenizer)
runs = {}
for run in ("healthy", *nb04.failure.SICK):
    runs[run] = nb04.failure.examine(base, run, padded, probe)
    print("trained", run, flush=True)

# %% id="sick-maps" tags=["keep-output"]
four = {name: found.load for name, found in runs.items()}
show(nb04.plots.maps(four, rows, "Load of every router, this run", numbers=False))

# %% id="sick-dials" tags=["keep-output"]
show(nb04.plots.symptoms(runs))
for cause in nb04.failure.CAUSES:
    print("possible cause:", cause)

# %% [markdown] id="diagnosis-text"
# **Exercise 4.6** (medium, 6 minutes). Name the cause of each sick run: one of `CAUSES`, written as
# `{"run P": CAUSES[0], ...}`. Why it matters: two of these heatmaps look much like the healthy one.
# A run's own balance loss is what it asked for, and the question may have been wrong. One dial is
# never enough.

# %% id="ex-diagnosis"
CAUSES = nb04.failure.CAUSES
### BEGIN SOLUTION
diagnosis = {"run P": CAUSES[2], "run Q": CAUSES[0], "run R": CAUSES[1]}
### END SOLUTION

# %% id="check-diagnosis"
check("4.6", diagnosis)

# %% [markdown] id="quiz-text"
# ## Quiz

# %% id="quiz"
quiz("04")

# %% [markdown] id="key-points"
# ## Key points
#
# - Collapse is silent: the loss falls all the same. Look at the load, router by router.
# - Count choices of real tokens. Padding, and weights in place of counts, give other numbers.
# - Divide an entropy by its largest value before you compare it.
# - An even load can be dice. Information tells whether the token decides.
# - The balance loss pushes through probabilities only. Its even value is 1 if you divide by $k$.
# - $K$ and the number of experts are questions of quality **and** time; fix the total rank.

# %% [markdown] id="papers-text"
# ## Where the papers stand
#
# Written from the recorded ladder, nulls included. A small model can show how a router fails and
# what a balance loss does. It cannot tell how many experts a large model needs.

# %% id="papers"
ladder.ledger("top_k", "experts", "collapse", "gate", "cost")

# %% [markdown] id="next"
# ## Next
#
# [05 Where experts belong](05_where_experts_belong.ipynb) spends one budget of experts over depth,
# ranks and groups. To watch your own model:
# `with record_routing(model) as log: model(**batch)`, then `log.chosen` and `log.entropy`.
