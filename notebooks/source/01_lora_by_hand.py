# %% [markdown] id="title" minutes=40
# # 01 LoRA by hand
#
# **The question.** Can a small addition beside frozen weights teach a language model new facts?
# And how small may it be?
#
# - Reading and building: about 40 minutes. Computing: about one minute on a laptop.
# - You need: Python, and what a linear layer and a gradient step are.
# - You do not need: a GPU, a network, or to know how a transformer works inside.
#
# You build LoRA in six steps, check it against the library PEFT, and teach a small language
# model 48 facts about drugs that do not exist. Then you look at what it learned.

# %% [markdown] id="predictions"
# ## Guess first
#
# Pick an answer before you go on. Nobody grades it. You will see it again beside the result.

# %% id="predict-size"
predict(
    "1.A",
    "Which share of all numbers must learn before the model can answer questions on new facts?",
    ["about 2 percent", "about 8 percent", "about 30 percent", "all of them"],
)

# %% id="predict-rank"
predict(
    "1.B",
    "We double the rank from 16 to 32. What happens to questions in wordings it was never taught?",
    ["many more are answered", "about as many are answered", "many fewer are answered"],
)

# %% [markdown] id="idea"
# ## The idea
#
# A linear layer computes $W x$. Full fine-tuning changes every number of $W$. LoRA leaves $W$ as
# it is and adds a product of two thin matrices:
#
# $$y = W x + \frac{\alpha}{r} \, B A x$$
#
# - $A$ has $r$ rows. It squeezes the input to $r$ numbers.
# - $B$ has $r$ columns. It brings them back to the width of the output.
# - $r$ is the rank, such as 8. The factor $\alpha / r$ sets the strength.

# %% id="diagram" tags=["keep-output"]
from medmoe_lite.lab import nb01

show(nb01.diagram.layer())

# %% id="imports"
import copy
import math

import torch
from torch import nn

from medmoe_lite import load_base
from medmoe_lite.lab import about, lora, ranks, teach
from medmoe_lite.lab.claims import Claim, claims
from medmoe_lite.lab.live import live
from medmoe_lite.lab.recorded import by_arm, paired, recorded, spread

# %% [markdown] id="step-1"
# ## Step 1: the update
#
# **Exercise 1.1** (easy, 5 minutes). Write what LoRA adds to the output. Why it matters: the
# factor in front is where two codes of "LoRA" most often differ. Stuck? Type `hint("1.1")`.

# %% id="ex-update"
def lora_update(x, A, B, alpha):
    """x (..., d_in), A (r, d_in), B (d_out, r) -> (..., d_out)"""
    ### BEGIN SOLUTION
    r = A.shape[0]
    return (x @ A.T @ B.T) * (alpha / r)
    ### END SOLUTION

# %% id="check-update"
check("1.1", lora_update)

# %% id="use-update"
lora_update = use("1.1", lora_update)

# %% [markdown] id="step-2"
# ## Step 2: the layer
#
# **Exercise 1.2** (medium, 10 minutes). Put the update beside a frozen layer. At the start the
# layer must compute exactly what its base computes. And it must still be able to learn. Why it
# matters: three of the four usual bugs sit in these lines.

# %% id="ex-layer"
class LoRALinear(nn.Module):
    """A frozen nn.Linear with a low-rank update beside it: attributes base, alpha, A, B."""

    def __init__(self, base, r, alpha):
        super().__init__()
        ### BEGIN SOLUTION
        self.base, self.alpha = base.requires_grad_(False), alpha
        self.A = nn.Parameter(torch.empty(r, base.in_features))
        self.B = nn.Parameter(torch.zeros(base.out_features, r))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        return self.base(x) + lora_update(x, self.A, self.B, self.alpha)
        ### END SOLUTION

# %% id="check-layer"
check("1.2", LoRALinear)

# %% id="use-layer"
LoRALinear = use("1.2", LoRALinear)

# %% [markdown] id="step-3"
# ## Step 3: attach it to a model
#
# **Exercise 1.3** (medium, 10 minutes). Freeze a model and wrap every linear layer whose own name
# is in `targets`. Calling it twice must do no harm: in a notebook a cell is soon run twice. Why it
# matters: an adapter that is frozen by accident, or wrapped in another one, fails without a word.

# %% id="ex-attach"
def attach_lora(model, targets, r, alpha):
    """Freeze `model`, wrap its target layers in LoRALinear, return it."""
    ### BEGIN SOLUTION
    if any(isinstance(module, LoRALinear) for module in model.modules()):
        return model
    model.requires_grad_(False)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if name in targets and isinstance(child, nn.Linear):
                setattr(parent, name, LoRALinear(child, r, alpha))
    return model
    ### END SOLUTION

# %% id="check-attach"
check("1.3", attach_lora)

# %% id="use-attach"
attach_lora = use("1.3", attach_lora)

# %% [markdown] id="step-4"
# ## Step 4: count
#
# **Exercise 1.4** (easy, 3 minutes). How many numbers learn, and how many are there in all? Why it
# matters: gradients and optimiser states are kept only for those that learn.

# %% id="ex-count"
def count_parameters(model):
    """Returns (learning, all)."""
    ### BEGIN SOLUTION
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return learning, sum(p.numel() for p in model.parameters())
    ### END SOLUTION

# %% id="check-count"
check("1.4", count_parameters)

# %% id="use-count"
count_parameters = use("1.4", count_parameters)

# %% [markdown] id="model"
# ## The model
#
# `nano` is a language model of the same make as Qwen1.5, about a thousand times smaller. It can
# read, look up, compare and add, and it knows some facts on countries, animals and real drugs. It
# has never met the 36 drugs whose names we made up.

# %% id="load"
base, tokenizer = load_base("nano")
facts, asked = teach.new_facts(drugs=12), teach.new_facts(drugs=12, wordings="heldout")
for example in (facts[1], asked[1], asked[2]):
    print(f"{example.prompt}   ->   {example.answer}")

# %% [markdown] id="wordings"
# Each fact is taught in three wordings and asked in three others. A model that only repeats what
# it has seen fails on the others.

# %% id="before"
known = teach.known_items()
print("new facts, taught wordings: ", about(teach.recall(base, tokenizer, facts), 2))
print("new facts, other wordings:  ", about(teach.recall(base, tokenizer, asked), 2))
print("what it knew before:        ", about(teach.recall(base, tokenizer, known), 2))

# %% id="attach-nano"
LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
torch.manual_seed(0)
adapted = attach_lora(copy.deepcopy(base), LAYERS, r=8, alpha=16)
learning, whole = count_parameters(adapted)
print(f"{learning:,} of {whole:,} numbers learn: {learning / whole:.1%}")

# %% [markdown] id="parity"
# ## The same as PEFT?
#
# PEFT is the library that the papers use. We copy your $A$ and $B$ into its LoRA and compare the
# outputs of the whole model. $B$ gets random numbers first: with zeros every LoRA agrees.

# %% id="peft"
from peft import LoraConfig, get_peft_model

stock = get_peft_model(copy.deepcopy(base), LoraConfig(r=8, lora_alpha=16, target_modules=LAYERS))
mine = copy.deepcopy(adapted)
for name, layer in lora.adapters(mine).items():
    nn.init.normal_(layer.B, std=0.02)
    theirs = stock.base_model.model.get_submodule(name)
    theirs.lora_A["default"].weight.data.copy_(layer.A)
    theirs.lora_B["default"].weight.data.copy_(layer.B)

# %% id="peft-compare"
ids = torch.tensor([teach.encode(facts[1], tokenizer)["input_ids"]])
with torch.no_grad():
    difference = (mine(ids).logits - stock(ids).logits).abs().max().item()
    moved = (mine(ids).logits - base(ids).logits).abs().max().item()
print("the update changes the output:", moved > 0.01, "| you and PEFT agree:", difference < 1e-4)

# %% [markdown] id="step-5"
# ## Step 5: teach
#
# The loop is the ordinary one. Two thirds of every batch are new facts, one third is old work, so
# that the model stays in practice. Only $A$ and $B$ move.

# %% id="loop"
def train(model, batches, lr=4e-3):
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.0)
    losses, steps = [], len(batches)
    with live(steps) as show_loss:
        for step, batch in enumerate(batches):
            optimizer.param_groups[0]["lr"] = lr * min((step + 1) / 10, 1 - 0.9 * step / steps)
            loss = model(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            show_loss(losses[-1])
    return losses

# %% id="teach"
replay = teach.known_items(n=60, split="train")
batches = teach.lessons(tokenizer, facts, steps=60, replay=replay)
losses = {"r = 8": train(adapted, batches)}

# %% id="after"
print("new facts, taught wordings: ", about(teach.recall(adapted, tokenizer, facts), 2))
print("new facts, other wordings:  ", about(teach.recall(adapted, tokenizer, asked), 2))
print("what it knew before:        ", about(teach.recall(adapted, tokenizer, known), 2))

# %% [markdown] id="step-6"
# ## Step 6: merge
#
# **Exercise 1.5** (medium, 5 minutes). $W x + s B A x = (W + s B A) x$. Make one plain layer of the
# two. Why it matters: a merged model is as fast as its base. A mixture of experts cannot be merged
# like this, as you will see in notebook 03.

# %% id="ex-merge"
def merge(layer):
    """LoRALinear -> a new nn.Linear that computes the same; the input is not changed."""
    ### BEGIN SOLUTION
    merged = copy.deepcopy(layer.base)
    with torch.no_grad():
        merged.weight += (layer.alpha / layer.A.shape[0]) * layer.B @ layer.A
    return merged
    ### END SOLUTION

# %% id="check-merge"
check("1.5", merge)

# %% id="use-merge"
merge = use("1.5", merge)

# %% id="merge-all"
plain = copy.deepcopy(adapted)
for name, layer in lora.adapters(plain).items():
    parent, _, own = name.rpartition(".")
    setattr(plain.get_submodule(parent), own, merge(layer))
with torch.no_grad():
    difference = (plain(ids).logits - adapted(ids).logits).abs().max().item()
print("merged and unmerged agree:", difference < 1e-3)
print("as many numbers as the base:", count_parameters(plain)[1] == count_parameters(base)[1])

# %% [markdown] id="ranks"
# ## How large must the rank be?
#
# MING-MOE uses rank 16 and asks its readers to try 8, 16 and 32. We add 2. The factor
# $\alpha / r$ stays at 2, so that only the rank differs. Full fine-tuning, where every number
# learns, stands beside them with half the learning rate.

# %% id="train-ranks"
models = {"r = 8": adapted}
for r in (2, 16, 32):
    torch.manual_seed(0)
    models[f"r = {r}"] = attach_lora(copy.deepcopy(base), LAYERS, r=r, alpha=2 * r)
models["full"] = copy.deepcopy(base).requires_grad_(True)
for arm, model in models.items():
    if arm not in losses:
        losses[arm] = train(model, batches, lr=2e-3 if arm == "full" else 4e-3)

# %% id="curves" tags=["keep-output"]
ARMS = ("r = 2", "r = 8", "r = 16", "r = 32", "full")
smooth = {arm: torch.tensor(losses[arm]).view(-1, 5).mean(1).tolist() for arm in ARMS}
title = "Learning 48 new facts (this run)"
show(plots.curves(range(5, 61, 5), smooth, title, y_label="loss, mean of 5 steps"))

# %% id="rank-bars" tags=["keep-output"]
answered = {arm: teach.recall(models[arm], tokenizer, asked) for arm in ARMS}
show(plots.bars(answered, "New facts in wordings never taught (this run)", "share answered"))

# %% [markdown] id="recorded-text"
# One run proves little. The same comparison was recorded with several seeds for the adapter and
# the order of the data, on two bases that were pre-trained from different seeds. What follows is
# written from that file.

# %% id="recorded"
record = recorded("01_ranks")
runs = record["runs"]
for arm, values in by_arm(runs, "held_out").items():
    print(f"{arm:7} answers {spread(values)} in other wordings")

# %% id="recorded-pairs"
print(paired(runs, "held_out", "r = 8", "r = 2"))
print(paired(runs, "held_out", "r = 32", "r = 16"))
print("Of what the base knew:", paired(runs, "known", "r = 8", "full"))

# %% id="recorded-figure" tags=["keep-output"]
after = by_arm(runs, "held_out")
show(plots.bars(after, "Recorded: new facts in other wordings", "share answered", measured=False))

# %% id="recorded-known" tags=["keep-output"]
kept = by_arm(runs, "known")
show(plots.bars(kept, "Recorded: what the base knew", "share answered", measured=False))

# %% [markdown] id="reading"
# Read both figures together. More numbers learn the new facts better, up to a point. They also
# move the model further away from what it knew. Choosing a rank is choosing between the two.

# %% id="reveal-size"
mean = {arm: sum(shares) / len(shares) for arm, shares in after.items()}
enough = next(arm for arm in ARMS if mean[arm] >= 0.8 * mean["full"])
learning = next(run["learning"] for run in runs if run["arm"] == enough)
share = learning / count_parameters(base)[1]
reveal("1.A", f"{share:.0%} of them, {enough}, reach four fifths of full fine-tuning")

# %% id="reveal-rank"
reveal("1.B", paired(runs, "held_out", "r = 32", "r = 16"))

# %% [markdown] id="inside" seeds="MING.check-2"
# ## What was learned, as a matrix
#
# Full fine-tuning was free to use any rank. Did it? We subtract the old weights from the new ones
# and look at the singular values of the difference. Then we cut all updates to a small rank and
# ask the questions again.

# %% id="updates"
changes = {arm: ranks.updates(base, models[arm]) for arm in ("r = 32", "full")}
name = "model.layers.2.mlp.up_proj"
for arm in changes:
    needed = ranks.energy_rank(changes[arm][name])
    print(f"{arm:7} 90 % of its squared size lies in {about(needed, 0)} of 128 directions")

# %% id="cut"
KEPT = (0, 1, 2, 4, 8, 16)
still = {
    arm: {
        k: teach.recall(ranks.with_updates(base, changes[arm], k), tokenizer, asked[::2])
        for k in KEPT
    }
    for arm in changes
}

# %% [markdown] id="explorer-text"
# **Rank explorer.** Choose an update and a layer, and move the cut with the arrow keys. The grey
# bars are thrown away. The right picture shows how many questions are still answered.

# %% id="explorer" tags=["keep-output"]
import ipywidgets

from medmoe_lite.lab.widgets import explorer


def draw(update, layer, rank):
    sizes = ranks.singular_values(changes[update][layer])
    title = f"{update}: {layer.split('.')[-1]} (this run)"
    return ranks.rank_picture(sizes, rank, still[update], title)


controls = {
    "update": ipywidgets.Dropdown(options=list(changes), value="full", description="update"),
    "layer": ipywidgets.Dropdown(options=list(changes["full"]), value=name, description="layer"),
    "rank": ipywidgets.IntSlider(value=8, min=0, max=16, description="rank kept"),
}
explorer(draw, controls)

# %% [markdown] id="break"
# ## Break it
#
# Three runs are sick. Each has one mistake, made on purpose. The curves show the loss on a fixed
# set of questions, before the first step and after every second one.
#
# **Exercise 1.6** (medium, 5 minutes). Name the cause of each: `{"run P": CAUSES[0], ...}`. Why it
# matters: this is how such bugs show themselves in a real run, where nobody tells you that there is
# one.

# %% id="sick-runs"
patients = {}
for run in ("healthy", *nb01.failure.SICK):
    torch.manual_seed(0)
    sick = nb01.failure.infect(copy.deepcopy(base), run)
    patients[run] = nb01.failure.watch(sick, tokenizer, facts, batches[:16])
    print("trained", run, flush=True)

# %% id="sick-figure" tags=["keep-output"]
show(plots.curves(range(0, 17, 2), patients, "Three sick runs and a healthy one (this run)"))
for cause in nb01.failure.CAUSES:
    print("possible cause:", cause)

# %% id="ex-diagnosis"
CAUSES = nb01.failure.CAUSES
### BEGIN SOLUTION
diagnosis = {"run P": CAUSES[2], "run Q": CAUSES[0], "run R": CAUSES[1]}
### END SOLUTION

# %% id="check-diagnosis"
check("1.6", diagnosis)

# %% [markdown] id="quiz-text"
# ## Quiz

# %% id="quiz"
quiz("01")

# %% [markdown] id="key-points" seeds="MING.check-3 MedCare.check-1"
# ## Key points
#
# - LoRA adds $(\alpha / r) B A$ to a frozen layer. $B$ starts at zero, so nothing changes at first.
# - It learns $r (d_{in} + d_{out})$ numbers a layer in place of $d_{in} d_{out}$.
# - What it costs: one more choice (the rank, and where to attach), and a ceiling on what an update
#   can express. What it saves: gradients and optimiser states of the frozen weights.
# - So against full fine-tuning its main advantage is memory and file size, not quality: the
#   recorded runs above say how much quality it gives up at each rank.
# - Merged, it costs nothing at inference.
# - Say what you did with $\alpha$ whenever you compare ranks.

# %% [markdown] id="papers-text"
# ## Where the papers stand

# %% id="papers"
few, many = by_arm(runs, "energy_rank")["full"], record["settings"]["largest_rank"]
claims(
    [
        Claim("MING-MOE", "Weight updates are of low rank.", "small model, recorded",
              f"90 % of a full update lies in {spread(few, 0)} of {many} directions"),
        Claim("MING-MOE", "Some rank of 8, 16, 32 is enough.", "small model, recorded",
              paired(runs, "held_out", "r = 32", "r = 8")),
        Claim("MedCare", "LoRA needs few parameters and keeps performance.",
              "small model, recorded", paired(runs, "held_out", "full", "r = 8")),
        Claim("All four", "The adapted model is better at medicine.", "not tested here",
              "needs the real model and published exams"),
    ]
)  # fmt: skip

# %% [markdown] id="next"
# ## Next
#
# [02 Four bits](02_four_bits.ipynb) puts the same update beside a base that is stored in 4 bits.
# [03 Router and experts](03_router_and_experts.ipynb) gives a layer several updates, and a router
# that chooses for each token which ones to open.
