# %% [markdown] id="title" minutes=50
# # 05 Where experts belong
#
# **The question.** You can pay for forty experts. Which layers get them, how thick is each, and
# whose are they?
#
# - Reading and building: about 50 minutes. Computing: about one minute on a laptop.
# - You need: notebook 03, or to know what a router with top-k and a LoRA expert are.
# - You do not need: a GPU, a network, or notebook 04.
#
# Most ideas here are those of Med-MoE-LoRA. Of that paper we have the abstract and what others
# wrote about it, no equations and no tables. What you build is **our reading** of it.

# %% [markdown] id="predictions"
# ## Guess first
#
# Pick an answer before you go on. Nobody grades it. You will see it again beside the result.

# %% id="predict-depth"
predict(
    "5.A",
    "Forty experts, five layers, the same number of parameters: which plan scores best?",
    ["more in deep layers", "the same in all", "more in first layers", "it cannot be told"],
)

# %% id="predict-groups"
predict(
    "5.B",
    "Four general and four medical experts, and a term with δ = 0.3 that drives the two kinds "
    "apart. Where it is smallest, which share of a general sample goes to the general four?",
    ["0.30", "0.35", "0.65", "1.00"],
)

# %% [markdown] id="idea"
# ## The idea
#
# A budget of numbers that learn can be spent in three ways. Over **depth**: more experts in some
# layers. Over **rank**: thick and thin experts. Over **groups**: some experts for what the base
# knows already, some for what is new. At the end there may be a **merge**: one LoRA in place of
# all.

# %% id="diagram" tags=["keep-output"]
import copy

import torch
from peft import get_peft_model

from medmoe_lite import MoLoraConfig, load_base
from medmoe_lite.lab import about, ladder, nb05

show(nb05.drawings.spending())

# %% [markdown] id="interference-text" seeds="MedMoELoRA.interference"
# ## Why not one LoRA?
#
# Med-MoE-LoRA's reason is interference: tasks compete for the same few numbers. That can be
# measured. Take one plain LoRA and ask which way each task pulls it: the gradient. The cosine of
# two gradients is 1 where a step for one task is a step for the other, and below 0 where it is a
# step against it.

# %% id="load"
base, tokenizer = load_base("nano")
train_items, test_items = nb05.groups.items(), nb05.groups.items(48, "test", seed=1)
for name, items in train_items.items():
    print(f"{name:10}{items[0].prompt[:58]} -> {items[0].answer[:24]}")

# %% id="interference"
cosines = nb05.interference.gradient_cosines(base, tokenizer, train_items)

# %% id="interference-figure" tags=["keep-output"]
names = list(train_items)
title = "Do two tasks pull one LoRA the same way? (this run, before training)"
show(nb05.plots.cosines(cosines, names, title))

# %% [markdown] id="interference-reading"
# The diagonal compares two halves of one task. Where even that is near zero, every item pulls its
# own way, and no more can be expected of two tasks. Off the diagonal: near zero, the tasks hardly
# meet; below zero, a step for one undoes the other.
#
# Each number is from 24 items, before training. Whether experts help is another question, and
# was recorded:

# %% id="interference-recorded"
nb05.words.effects("lora_or_molora")

# %% [markdown] id="step-1" seeds="MedMoELoRA.asymmetric"
# ## Step 1: a plan over depth
#
# Med-MoE-LoRA puts more experts into deeper layers. To test that, all plans must have **the same
# number** of experts: a plan that wins with more of them shows nothing.
#
# **Exercise 5.1** (medium, 10 minutes). Every layer gets `low` experts. The rest is shared out by
# `weights`, in whole numbers whose sum is `total` exactly. Why it matters: a published comparison
# of such plans was criticised for unequal sizes. Stuck? Type `hint("5.1")`.

# %% id="ex-plan"
def experts_by_depth(weights, total, low):
    """weights: one a layer -> list of whole numbers, one a layer, with the sum `total`"""
    ### BEGIN SOLUTION
    rest = total - low * len(weights)
    shares = [rest * weight / sum(weights) for weight in weights]
    plan = [low + int(share) for share in shares]
    order = sorted(range(len(plan)), key=lambda i: (shares[i] % 1, i), reverse=True)
    for i in order[: total - sum(plan)]:
        plan[i] += 1
    return plan
    ### END SOLUTION

# %% id="check-plan"
check("5.1", experts_by_depth)

# %% id="use-plan"
experts_by_depth = use("5.1", experts_by_depth)

# %% id="plans" tags=["keep-output"]
from medmoe_lite.lab.plots_depth import depth_plans

deep = experts_by_depth([0, 1, 2, 3, 4], total=40, low=3)
plans = {"even": [8] * 5, "deep": deep, "first": deep[::-1]}
show(depth_plans(plans, "Forty experts over the five layers of nano"))

# %% [markdown] id="parity-plan-text"
# **The same as the package?** `depth_plan` asks for a shape and an average and keeps every layer
# between two bounds. On a straight line your plan is the same, up to ties in the rounding.

# %% id="parity-plan"
from medmoe_lite import depth_plan

for layers, average, low in ((5, 8, 3), (24, 5, 2)):
    mine = experts_by_depth(list(range(layers)), layers * average, low)
    package = depth_plan(layers, average, "increasing", low, 2 * average - low)
    print(f"{layers} layers, {sum(mine)} experts: same plan {mine == package}")
print("24 layers:", mine)

# %% [markdown] id="step-2"
# ## Step 2: what a layer costs
#
# **Exercise 5.2** (easy, 5 minutes). Count the numbers that learn in one mixture layer: the A and
# B of every expert, whose ranks may differ, and a router with a bias. Why it matters: the router
# is part of the budget. With thin experts it is a large part.

# %% id="ex-count"
def mixture_numbers(d_in, d_out, ranks):
    """ranks: one an expert -> how many numbers learn"""
    ### BEGIN SOLUTION
    return sum(ranks) * (d_in + d_out) + len(ranks) * (d_in + 1)
    ### END SOLUTION

# %% id="check-count"
check("5.2", mixture_numbers)

# %% id="use-count"
mixture_numbers = use("5.2", mixture_numbers)

# %% id="parity-count"
def block(ranks):
    """gate_proj, up_proj and down_proj of one block of nano"""
    return 2 * mixture_numbers(128, 384, ranks) + mixture_numbers(384, 128, ranks)

for name, plan in plans.items():
    by_hand = sum(block([4] * experts) for experts in plan)
    config = MoLoraConfig(num_experts=plan, top_k=2, r=4, lora_alpha=8, plain_modules=[])
    package = nb05.budget.learning(get_peft_model(copy.deepcopy(base), config))
    print(f"{name:6}{by_hand:9,} by your count, {package:9,} in the model")

# %% [markdown] id="depth-recorded-text"
# All decoder layers have the same widths. So plans with the same sum have the same numbers,
# routers included, and differ in where they are. That is a fair race. It was run over several
# seeds, with plain LoRA in attention beside:

# %% id="depth-figure" tags=["keep-output"]
recorded_plans, scores = nb05.words.depth()
title = f"Experts by layer, and what each plan scores (recorded, {nb05.words.seeds_of('depth')})"
show(nb05.plots.plan_scores(recorded_plans, scores, title))

# %% id="depth-reveal"
reveal("5.A", nb05.words.depth_answer())

# %% [markdown] id="depth-reading"
# Dots are seeds. An interval that holds zero says: these runs cannot tell. Five layers are few
# for a profile over depth, so even a clear result here would say little about twenty-four.

# %% [markdown] id="where-text" seeds="MING.exp-3"
# **Feed-forward alone, or attention too?** MING-MOE asks for this experiment. The same budget, in
# three layers of every block or in all seven; thinner experts pay for the additional places. The
# third row is the paper's own layout, with a little more numbers.

# %% id="where-recorded"
nb05.words.parameters("where")
nb05.words.effects("where")

# %% [markdown] id="step-3" seeds="MedMoELoRA.rank-wise"
# ## Step 3: thick and thin experts
#
# "Rank-wise decoupling" is all the abstract says. Two readings fit. **First:** experts of
# different rank, for large and small tasks. **Second:** every rank column is an expert of its
# own, as in SMoRA. Both are the same code: a list of ranks.
#
# **Exercise 5.3** (medium, 8 minutes). Turn the weights of the experts into what each rank column
# is multiplied by: the weight of its expert, times $\alpha / \sqrt{r_i}$. Why it matters: with one
# scale for all, the thick experts shout.

# %% id="ex-columns"
def column_factors(weights, ranks, alpha):
    """weights (..., e), ranks: one an expert -> (..., sum of ranks)"""
    ### BEGIN SOLUTION
    sizes = torch.tensor(ranks)
    scaled = weights * alpha / sizes.sqrt()
    return scaled.repeat_interleave(sizes, -1)
    ### END SOLUTION

# %% id="check-columns"
check("5.3", column_factors)

# %% id="use-columns"
column_factors = use("5.3", column_factors)

# %% id="loudness"
x = torch.randn(200, 128) / 128**0.5
print("mean length of an expert's update, alpha = 1")
for r in (1, 4, 16):
    inner, B = x @ torch.randn(128, r), torch.randn(r, 400) / 20
    root = (inner * column_factors(torch.ones(1, 1), [r], 1.0)) @ B
    plain = inner / r @ B
    lengths = [about(update.norm(dim=-1).mean().item(), 1) for update in (root, plain)]
    print(f"rank {r:2}: alpha / root r {lengths[0]}   alpha / r {lengths[1]}")

# %% id="parity-columns"
from medmoe_lite import Layout

mixed = [1, 1, 2, 2, 4, 4, 8, 10]
layouts = {"rank 4 for all": [4] * 8, "ranks 1 to 10": mixed, "25 of rank one": [1] * 25}
for name, ranks in layouts.items():
    layout = Layout.mixture(len(ranks), r=4, lora_alpha=4, expert_ranks=ranks, rslora=True)
    weights = torch.rand(6, len(ranks))
    package = (weights * torch.tensor(layout.scales))[:, layout.columns()]
    close = torch.allclose(column_factors(weights, ranks, 4.0), package)
    cost = mixture_numbers(128, 384, ranks)
    print(f"{name:16}{sum(ranks):3} columns, {cost:,} numbers, as the package: {close}")

# %% [markdown] id="rank-one-text"
# Look at the last row. A rank-one expert needs a router row of its own, so the same money buys
# fewer columns. On a wide model the row is a smaller part, but it stays: one $d_{in}$ beside one
# $d_{in} + d_{out}$.

# %% id="rankwise-recorded"
nb05.words.effects("rankwise", "rank_one")

# %% [markdown] id="rank-text" seeds="MING.exp-2"
# **How much rank?** MING-MOE's experiment with ranks 8, 16 and 32. Here the budget is *not* equal:
# more rank is more numbers, and that is the question. `nano` is 128 wide, so rank 8 here is a
# larger share of the width than 32 at 2048.

# %% id="rank-figure" tags=["keep-output"]
sizes, scores = nb05.words.ranks()
title = f"More rank, more numbers (recorded, {nb05.words.seeds_of('rank')})"
show(nb05.plots.rank_scores(sizes, scores, title))

# %% id="rank-recorded"
nb05.words.effects("rank")

# %% [markdown] id="step-4" seeds="MedMoELoRA.preservation"
# ## Step 4: groups that keep
#
# Med-MoE-LoRA's "knowledge-preservation plugin" gives general knowledge experts of its own. We
# take the term of LoRAMoE, which it names as its model. $Q_{bn}$ is how much sample $b$ uses
# expert $n$, averaged over its real tokens:
#
# $$Z_{bn} = Q_{bn} \cdot (1 \mp \delta), \qquad L = \frac{\mathrm{Var}(Z)}{\mathrm{Mean}(Z)^2}$$
#
# **Exercise 5.4** (hard, 10 minutes). Write it for one router. Factor $1 - \delta$ where sample
# and expert are of one kind, $1 + \delta$ where they are not. Why it matters: the published code
# has the signs the other way round, and counts padding. Both run without an error.

# %% id="ex-groups"
def group_term(p, mask, same, delta):
    """p (b, t, e), mask (b, t), same (b, e) bool -> one number"""
    ### BEGIN SOLUTION
    use = (p * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    z = use * torch.where(same, 1 - delta, 1 + delta)
    return z.var() / z.mean() ** 2
    ### END SOLUTION

# %% id="check-groups"
check("5.4", group_term)

# %% id="use-groups"
group_term = use("5.4", group_term)

# %% id="parity-groups"
from medmoe_lite.penalties import preservation_of

general, kinds = torch.tensor([True, False, True]), torch.arange(8) < 4
p = torch.randn(3, 6, 8).softmax(-1)
mask = (torch.arange(6) < torch.tensor([[6], [4], [5]])).float()
mine = group_term(p, mask, general[:, None] == kinds, 0.3)
package = preservation_of(p, kinds, general, 0.3, mask)
print("you and the package agree:", abs(mine - package).item() < 1e-5)

# %% [markdown] id="direction-text"
# **Where does it lead?** Test a direction before you train a model with it. Two samples, free
# logits, nothing but your term:

# %% id="direction"
logits = torch.zeros(2, 1, 8, requires_grad=True)
same = torch.tensor([True, False])[:, None] == kinds
optimizer = torch.optim.Adam([logits], lr=0.1)
for _ in range(150):
    optimizer.zero_grad()
    group_term(logits.softmax(-1), torch.ones(2, 1), same, delta=0.3).backward()
    optimizer.step()
optimum = logits.softmax(-1)[0, 0, :4].sum().item()
print("the general sample gives the general four", about(optimum, 2), "of its weight")

# %% [markdown] id="live-text"
# ## Train with it
#
# Eight experts a router, four of them general. Half of each batch is general: it replays what the
# base knows. The routers see hidden states only; your term alone knows which sample is which.

# %% id="train-groups"
torch.manual_seed(0)
config = MoLoraConfig(num_experts=8, top_k=2, r=4, lora_alpha=8, general_experts=4)
token_model = get_peft_model(copy.deepcopy(base), config)
start = nb05.groups.destinations(token_model, tokenizer, test_items)
batches = nb05.groups.batches(train_items, tokenizer, steps=40)
losses = nb05.groups.fit(token_model, batches, group_term, weight=1.0, delta=0.3)
print("answer loss", about(losses[0], 1), "to", about(losses[-1], 1))

# %% id="groups-figure" tags=["keep-output"]
end = nb05.groups.destinations(token_model, tokenizer, test_items)
shares = {"before": start[:, :4].sum(1), "after": end[:, :4].sum(1)}
title = "Who goes to the general experts? (this run, held-out prompts)"
show(nb05.plots.group_shares(shares, names, 0.3, title))
reached = about(shares["after"][names.index("general")], 2)
reveal("5.B", f"{optimum:.2f} is the optimum of the term; after 40 steps the run is at {reached}")

# %% [markdown] id="live-reading"
# The term can ask for a group; the router must be able to tell the samples apart, token by token.
# Compare the two formats with `knowledge`: a format's prompt looks like nothing the base has seen,
# a question about a new drug much like a general one. A likely reason, not a tested one.

# %% [markdown] id="fail-text" seeds="MING.fail-1"
# ## What the base loses
#
# MING-MOE names this failure: tasks that need the base's own knowledge get worse. Each row is an
# ability the base had before. Each column is a way to train the same four medical tasks. The
# first has no replay. All have the same steps.

# %% id="fail-figure" tags=["keep-output"]
arms = ["no replay", "replay, one LoRA", "experts, k = 2"]
arms += ["replay and groups", "replay and open experts"]
title = f"Change of what the base could do (recorded, {nb05.words.seeds_of('preservation')})"
show(nb05.plane.lost(nb05.words.lost(arms), nb05.words.families(), arms, title))

# %% id="fail-recorded"
nb05.words.effects("preservation")

# %% [markdown] id="fail-reading"
# Read the columns in pairs. No replay against replay is data. One LoRA against experts is
# architecture. Replay against replay and groups is the plugin: what it adds to the cheapest cure.

# %% [markdown] id="step-5" seeds="MedMoELoRA.soft-merge"
# ## Step 5: one LoRA in place of all
#
# Routed experts cannot be merged into the base: their weights change from token to token. "Soft
# merging" takes the mean weights $\bar w$ of the prompt instead. There are two ways to average,
# and only one is what the experts compute.

# %% id="cross-figure" tags=["keep-output"]
show(nb05.drawings.cross_products())

# %% [markdown] id="merge-exercise"
# **Exercise 5.5** (hard, 10 minutes). Average the weights over the prompt's tokens. Then return
# one pair of factors whose product is $\sum_i \bar w_i B_i A_i$, exactly. Why it matters: the
# average of products is not the product of averages. SMEAR uses the second on purpose and trains
# with it. Who mixes them up merges another model.

# %% id="ex-merge"
def merge_experts(weights, prompt, A, B):
    """weights (t, e), prompt (t,), A (e, r, d_in), B (e, d_out, r)
    -> A (e·r, d_in), B (d_out, e·r)"""
    ### BEGIN SOLUTION
    mean = (weights * prompt[:, None]).sum(0) / prompt.sum()
    scaled = mean[:, None, None] * B
    return A.flatten(0, 1), scaled.permute(1, 0, 2).flatten(1)
    ### END SOLUTION

# %% id="check-merge"
check("5.5", merge_experts)

# %% id="use-merge"
merge_experts = use("5.5", merge_experts)

# %% id="parity-merge"
A, B = torch.randn(8, 4, 128) / 11, torch.randn(8, 64, 4)
weights, prompt = torch.randn(12, 8).softmax(-1), (torch.arange(12) < 7).float()
one_A, one_B = merge_experts(weights, prompt, A, B)
product, factors = nb05.merging.parity(weights[:7].mean(0), A, B)
print("sum of products, as the package:", torch.allclose(one_B @ one_A, product, atol=1e-4))
print("averaged factors are off by", about(((factors - product).norm() / product.norm()).item(), 2))

# %% id="gap"
even = torch.full((8,), 1 / 8)
for name, own in (("each expert its own A", A), ("one A for all", A[:1].expand_as(A))):
    print(f"{name:24} off by {about(nb05.merging.products_against_averages(even, own, B), 2)}")

# %% [markdown] id="gap-reading"
# An error near one means: hardly anything of the wanted update is left. Products of one expert's B with
# another's A outnumber the wanted ones, and each wanted one is multiplied by $\bar w_i^2$. Where
# all experts share A, both averages are the same.

# %% [markdown] id="soft-text"
# ## How good is a soft merge?
#
# It depends on how much the weights move. A **sequence gate** decides once, from the mean of the
# prompt, so inside one sentence nothing moves. We train such a model, then merge both models over
# the same prompts and let the package measure the error.

# %% id="train-sequence"
torch.manual_seed(0)
config = MoLoraConfig(num_experts=8, top_k=None, gate="sequence", r=4, lora_alpha=8)
sentence_model = get_peft_model(copy.deepcopy(base), config)
losses = nb05.groups.fit(sentence_model, batches[:24])
print("answer loss", about(losses[0], 1), "to", about(losses[-1], 1))

# %% id="soft-merge"
found = {}
for name, model in (("by token, k = 2", token_model), ("by sentence", sentence_model)):
    error = nb05.merging.soft_merge_error(model, tokenizer, test_items["json"][:12])
    found[name] = {"updates": [error.update], "logits": [error.logits]}
    print(f"{name:16} same next token {about(error.same_token, 2)}, a LoRA of rank {error.rank}")

# %% id="soft-figure" tags=["keep-output"]
show(nb05.plots.merge_errors(found, "Error of a soft merge (this run, 12 notes)"))
gap = nb05.merging.trained_gap(sentence_model)
print("had we averaged the factors of the sentence model instead: off by", about(gap, 2))

# %% [markdown] id="soft-recorded-text"
# One run of a few steps. The ladder trained longer, merged task by task, and scored what the
# merged LoRA still answers. The model of the third bar was *trained* with averaged factors, as in
# SMEAR, so there they are no mistake:

# %% id="soft-recorded-figure" tags=["keep-output"]
title = f"Error of a soft merge (recorded, {nb05.words.seeds_of('soft_merge')})"
show(nb05.plots.merge_errors(nb05.words.merge_errors(), title))
nb05.words.effects("soft_merge")

# %% [markdown] id="break"
# ## Break it
#
# Three set-ups are sick, each by one line in its plan, its group term or its merge. None raises
# an error. Only the routers are trained here, on the term alone: that shows where it leads.
#
# Three dials tell: the plan, who uses the general experts, how strong the merged update is. A
# merge loses something even in health, as weights differ from token to token.

# %% id="sick-runs"
short = batches[:8]
runs = ("healthy", *nb05.failure.SICK)
readings = {run: nb05.failure.examine(base, run, short) for run in runs}

# %% id="sick-figure" tags=["keep-output"]
show(nb05.plots.dials(readings))
CAUSES = nb05.failure.CAUSES
for cause in CAUSES:
    print("possible cause:", cause)

# %% [markdown] id="diagnosis-text"
# **Exercise 5.6** (medium, 5 minutes). Name the cause of each sick run: one of `CAUSES`, written as
# `{"run P": CAUSES[0], ...}`. Why it matters: unequal budgets and reversed signs are found in
# published work. The losses look fine.

# %% id="ex-diagnosis"
### BEGIN SOLUTION
diagnosis = {"run P": CAUSES[1], "run Q": CAUSES[0], "run R": CAUSES[2]}
### END SOLUTION

# %% id="check-diagnosis"
check("5.6", diagnosis)

# %% [markdown] id="plane-text"
# ## Stability and plasticity
#
# One picture for all ways to spend the budget. To the right: more of the four medical tasks was
# learnt. Up: more of the base's abilities was kept. Every arm has about the same numbers that
# learn, the same steps and the same tasks.

# %% id="plane-figure" tags=["keep-output"]
title = f"One budget, many ways to spend it (recorded, {nb05.words.seeds_of('preservation')})"
show(nb05.plane.plane(nb05.words.points(), nb05.words.base_general(), title))

# %% [markdown] id="plane-reading"
# Small dots are seeds. Where the dots of two arms mix, these runs cannot tell them apart, however
# far their means are. Look for what lies both to the right of and above another arm in every seed.

# %% [markdown] id="designer-text"
# ## Design a budget
#
# Choose a model, a shape and its bounds. The dashed line is the uniform plan with the same
# average. Then set `sum` to rounding each layer by itself, and watch the title of the right panel.

# %% id="designer" tags=["keep-output"]
nb05.designer.budget_designer()

# %% [markdown] id="quiz-text"
# ## Quiz

# %% id="quiz"
quiz("05")

# %% [markdown] id="key-points"
# ## Key points
#
# - Compare plans at one budget: the same sum, counted with the routers.
# - Experts of different rank need a scale by the root of the rank. Rank-one experts pay for a
#   router row each.
# - The group term is smallest where a sample uses its own group more, by
#   $(1 + \delta) / (1 - \delta)$. Test the sign on two samples before you train.
# - Groups compete with a simple cure: replay. Measure what they add to it.
# - The average of products is not the product of averages. Stack the factors; it is exact.
# - A soft merge is as good as the gate is constant. Never ship one without its measured error.

# %% [markdown] id="papers-text"
# ## Where the papers stand
#
# From the recorded ladder, nulls included. Rows of Med-MoE-LoRA test our reading of an abstract.
# A small model can show how a mechanism works and refute "always". Nothing here is about patients.

# %% id="papers"
ladder.ledger("rank", "where", "depth", "preservation", "soft_merge", "rankwise", "rank_one")

# %% [markdown] id="next"
# ## Next
#
# [06 Knowledge and noise](06_knowledge_and_noise.ipynb) trains experts in order to throw them
# away: a shared expert for knowledge, routed ones for noise. To go on by yourself:
# `MoLoraConfig(num_experts=depth_plan(24, 5, "mola"))` is MoLA's plan.
