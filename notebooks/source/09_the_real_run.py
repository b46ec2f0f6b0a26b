# %% [markdown] id="title" minutes=60
# # 09 The 1.8B run
#
# **The question.** Does it hold on the real model? Before anybody rents a card: what would the run
# need, what would it cost, and does the same code go all the way through?
#
# - Reading and building: about one hour. Computing: about one minute on a laptop.
# - You need: to know LoRA, a mixture with a shared expert, and the two stages of MedCare.
# - You do not need: a GPU. With one, and with the model on disk, the same cells train
#   Qwen1.5-1.8B-Chat.
#
# You build a memory plan that refuses what cannot fit, price a run, and take the MedCare recipe
# through both stages on a base in four bits.

# %% [markdown] id="status"
# ## What this notebook cannot show
#
# No training of the real 1.8B weights is recorded in this repository yet. Every number about it
# below is a count, which is exact, or a plan, which is an estimate. What is trained and measured
# here is `nano`, unless your machine has a card and the model.

# %% [markdown] id="predictions"
# ## Guess first
#
# Pick an answer before you go on. Nobody grades it. You will see it again beside the result.

# %% id="predict-part"
predict(
    "9.A",
    "1.8B in four bits, MedCare's adapters, 4 texts of 1,024 tokens: what takes most memory?",
    ["the weights", "the adapters with Adam", "what the blocks keep", "the logits"],
)

# %% id="predict-drop"
predict(
    "9.B",
    "After stage 1 the routed experts are dropped. What happens to the facts in this run?",
    ["nearly all are lost", "about half are lost", "nearly all stay"],
)

# %% [markdown] id="idea"
# ## The way of a run
#
# A real run differs from the ones before in size alone. But size decides: a plan that is wrong by
# a factor of two ends after an hour of waiting, with an error. So count first.

# %% id="way" tags=["keep-output"]
from medmoe_lite.lab import about, nb09

show(nb09.plots.way())

# %% id="imports"
import json

import torch

from medmoe_lite import load_base
from medmoe_lite.lab.ladder import ledger
from medmoe_lite.train.recipe import Recipe
from medmoe_lite.train.run import run_stage

# %% [markdown] id="step-1"
# ## Step 1: read the recipe
#
# A recipe is one YAML file a paper. Each value has two columns, the paper's and nano's, and says
# where it stands. What was never published has the word `unknown`.
#
# **Exercise 9.1** (easy, 5 minutes). List the keys that are unknown. Why it matters: these are
# choices that you make, and a reader of your results must know that you made them.

# %% id="ex-unknown"
def unknown_values(recipe):
    """recipe.sources(): entries with .key, .paper, .nano -> list of keys"""
    ### BEGIN SOLUTION
    return [value.key for value in recipe.sources() if value.paper == "unknown"]
    ### END SOLUTION

# %% id="check-unknown"
check("9.1", unknown_values)

# %% id="use-unknown"
unknown_values = use("9.1", unknown_values)

# %% id="show-unknown"
for name in ("ming_moe", "medcare", "llamacare"):
    recipe = Recipe.read(name)
    print(f"{name}, {len(recipe.sources())} values; unknown:")
    print(nb09.words.listed(unknown_values(recipe)))

# %% id="show-changes"
medcare = Recipe.read("medcare")
rows = ["default.r", "default.shared_experts", "alignment.lora_dropout"]
stage_rows = ["knowledge.batch_size", "knowledge.lr", "knowledge.noise_dropout"]
keys = [f"adapters.{row}" for row in rows] + [f"stages.{row}" for row in stage_rows]
nb09.words.changes(medcare, keys)

# %% [markdown] id="recipe-text"
# `medmoe recipe medcare`, typed in a terminal, prints the whole table with its sources.

# %% [markdown] id="step-2"
# ## Step 2: count what learns
#
# **Exercise 9.2** (medium, 10 minutes). Count the trained numbers of a recipe. A target module has
# a low-rank pair with $r \cdot (e + s)$ columns, for $e$ routed and $s$ shared experts, and a
# router with a bias. A plain module has rank $r$. Why it matters: each of them costs 16 bytes.

# %% id="ex-trainable"
def trainable(config, shapes, layers):
    """shapes: name -> (d_in, d_out); layers: blocks -> trained numbers of the whole model"""
    ### BEGIN SOLUTION
    count = 0
    for name in config.target_modules:
        d_in, d_out = shapes[name]
        columns = config.r * (config.num_experts + config.shared_experts)
        count += columns * (d_in + d_out) + config.num_experts * (d_in + 1)
    for name in config.plain_modules:
        count += config.r * sum(shapes[name])
    return layers * count
    ### END SOLUTION

# %% id="check-trainable"
check("9.2", trainable)

# %% id="use-trainable"
trainable = use("9.2", trainable)

# %% [markdown] id="true-sizes-text"
# Is it true? We build the model of the true configuration on torch's `meta` device: shapes without
# numbers, so it takes no memory. PEFT then counts the adapters on two of its 24 layers.

# %% id="true-sizes"
sizes = nb09.shapes.sizes()
counted = nb09.shapes.count_parameters()
print(f"meta device: {sum(counted.values()):,} numbers, by formula the same:", end=" ")
print(sum(counted.values()) == sizes["linear"] + sizes["other"])
trained = {}
for name in ("ming_moe", "medcare"):
    config = Recipe.read(name).config("paper")
    trained[name] = trainable(config, sizes["shapes"], sizes["layers"])
    same = trained[name] == nb09.shapes.count_trained(config) * sizes["layers"] // 2
    print(f"{name:9} N={config.num_experts} K={config.top_k} r={config.r}: ", end="")
    print(f"{trained[name]:,} trained, the same as PEFT counts: {same}")

# %% [markdown] id="step-3"
# ## Step 3: what lies on the card
#
# Only the linear layers of the blocks go into four bits. In nf4 with double quantisation a weight
# has 4 bits, a block of 64 weights 8 bits, and 256 blocks 32 bits. Embeddings, head and norms stay
# in 16 bits. Adapters, their gradients and Adam's two moments have 32 bits.
#
# **Exercise 9.3** (medium, 10 minutes). Bytes at rest, by part. Why it matters: it decides which
# base your card can hold.

# %% id="ex-resting"
def resting_bytes(linear, other, trained, four_bit):
    """counts of numbers -> {"weights", "adapters", "gradients", "optimiser"} in bytes"""
    ### BEGIN SOLUTION
    bits = 4 + 8 / 64 + 32 / (64 * 256) if four_bit else 16
    return {
        "weights": linear * bits / 8 + other * 2,
        "adapters": trained * 4,
        "gradients": trained * 4,
        "optimiser": trained * 8,
    }
    ### END SOLUTION

# %% id="check-resting"
check("9.3", resting_bytes)

# %% id="use-resting"
resting_bytes = use("9.3", resting_bytes)

# %% id="show-resting"
from medmoe_lite.bases.plan import QWEN_1_8B, memory

GIB = 2**30
for four_bit in (False, True):
    parts = resting_bytes(sizes["linear"], sizes["other"], trained["ming_moe"], four_bit)
    told = ", ".join(f"{part} {value / GIB:.2f}" for part, value in parts.items())
    print(f"MING-MOE, {'4 bits ' if four_bit else '16 bits'}: {told} GiB")
package = memory(QWEN_1_8B, "qlora", rank=16, experts=8)
print("the package's plan says the same:", round(package.total) == round(sum(parts.values())))
share = 2 * sizes["other"] / parts["weights"]
print(f"{share:.0%} of the weights' bytes are not in four bits: embeddings and head")

# %% [markdown] id="step-4"
# ## Step 4: what a step adds
#
# The backward pass needs what the blocks saw. How much that is depends on the implementation, so
# we measure it: one block of the true width, in ordinary memory, with MedCare's adapters.

# %% id="block"
block = nb09.shapes.block_bytes("medcare")
rough = memory(QWEN_1_8B, "qlora", batch=1, length=1).activations - 10 * sizes["vocab"]
print(f"one block keeps {block:,} bytes a token, its input alone {2 * sizes['hidden']:,}")
print(f"a base without adapters, by the package's formula: {rough / sizes['layers']:,.0f}")

# %% [markdown] id="block-text"
# Adapters in 32 bits keep copies of their inputs in 32 bits. A formula for the bare base misses
# that. What is measured here is what autograd keeps; a card needs some room more for work in
# progress.
#
# **Checkpointing** keeps the input of each block alone, `hidden` numbers of 2 bytes. In the
# backward pass it computes one block after the other again.

# %% [markdown] id="step-4-exercise"
# **Exercise 9.4** (medium, 10 minutes). Bytes that a step adds. The logits of a token are as wide
# as the vocabulary: 2 bytes each, 4 more for the loss, 4 for their gradient. Why it matters: this
# part grows with your texts, and it is the one that people forget.

# %% id="ex-running"
def running_bytes(tokens, answers, sizes, block, checkpointing):
    """tokens in all, tokens that need logits -> {"activations", "logits"} in bytes;
    sizes has "layers", "hidden", "vocab"; block: bytes a token that one block keeps"""
    ### BEGIN SOLUTION
    kept = sizes["layers"] * block
    if checkpointing:
        kept = sizes["layers"] * 2 * sizes["hidden"] + block
    logits = answers * sizes["vocab"] * (2 + 4 + 4)
    return {"activations": tokens * kept, "logits": logits}
    ### END SOLUTION

# %% id="check-running"
check("9.4", running_bytes)

# %% id="use-running"
running_bytes = use("9.4", running_bytes)

# %% id="show-parts"
def all_parts(sizes, trained, four_bit, **running):
    """The whole plan in bytes, from your two functions."""
    resting = resting_bytes(sizes["linear"], sizes["other"], trained, four_bit)
    return {**resting, **running_bytes(sizes=sizes, **running)}


plans = {}
for name, saves, answers in (("plain", 0, 4096), ("checkpointing", 1, 4096), ("both", 1, 1024)):
    running = {"tokens": 4096, "answers": answers, "block": block, "checkpointing": bool(saves)}
    found = all_parts(sizes, trained["medcare"], True, **running)
    plans[name] = {part: value / GIB for part, value in found.items()}
largest = {name: max(parts, key=parts.get) for name, parts in plans.items()}
words = {"activations": "what the blocks keep (activations)"}
found = {name: words.get(part, f"the {part}") for name, part in largest.items()}
reveal("9.A", f"{found['plain']}; with checkpointing: {found['checkpointing']}")

# %% id="parts-figure" tags=["keep-output"]
title = "Plan at 1.8B, 4 bits, MedCare, 4 texts of 1,024 tokens"
show(nb09.plots.budget(plans, card=16, title=title))

# %% [markdown] id="parts-text"
# The third bar, `both`, also leaves out the logits of prompts: a quarter of the tokens are
# answers. The package's trainer never computes logits before the first answer.

# %% [markdown] id="step-5"
# ## Step 5: refuse
#
# **Exercise 9.5** (easy, 5 minutes). Return the GiB that a run needs, or raise a `ValueError` that
# names the largest part. Why it matters: an error in a second is worth more than one in an hour,
# and the largest part says which lever to pull.

# %% id="ex-plan"
def plan(parts, card, reserve=1.5):
    """parts in bytes, card and reserve in GiB -> GiB, reserve included"""
    ### BEGIN SOLUTION
    need = sum(parts.values()) / 2**30 + reserve
    if need > card:
        largest = max(parts, key=parts.get)
        raise ValueError(f"{need:.1f} of {card:g} GiB; the largest part: {largest}")
    return need
    ### END SOLUTION

# %% id="check-plan"
check("9.5", plan)

# %% id="use-plan"
plan = use("9.5", plan)

# %% [markdown] id="paper-batch-text"
# Now MedCare's own setting. Its recipe says how many texts a card sees at once and how long they
# may be. Which card takes a part of full length, and with which levers?

# %% id="paper-batch"
print("batch:", medcare.values["stages.knowledge.batch_size"].source)
at_once, length = 4, medcare.values["stages.knowledge.max_length"].paper
longest = at_once * length
print(f"{at_once} texts of {length:,} tokens: {longest:,} tokens at once")
for card in (16, 24, 40, 80):
    for saves, answers in ((False, longest), (True, longest), (True, longest // 4)):
        running = {"tokens": longest, "answers": answers, "checkpointing": saves}
        found = all_parts(sizes, trained["medcare"], True, block=block, **running)
        how = f"{card:3} GiB, checkpointing {'on' if saves else 'off':>3}, "
        how += f"logits of {answers / longest:4.0%}"
        try:
            print(f"{how}: fits, {plan(found, card):.1f} GiB")
            break
        except ValueError as refusal:
            print(f"{how}: {refusal}")

# %% [markdown] id="planner-text"
# ## The planner
#
# Your functions behind controls. Try to make the paper's batch fit a card of 16 GiB. What does
# four bits change there, and what does it not?

# %% id="planner" tags=["keep-output"]
nb09.widget.planner(all_parts, trained["medcare"])

# %% [markdown] id="step-6"
# ## Step 6: what it costs
#
# A number that multiplies a token needs two operations forward and two backward, for the gradient
# of its input. A trained number needs two more, for its own gradient. Checkpointing does the
# forward pass twice.
#
# **Exercise 9.6** (easy, 5 minutes). Hours of a card. Why it matters: you will be asked before you
# may start.

# %% id="ex-hours"
def gpu_hours(tokens, frozen, trained, tflops, used, checkpointing):
    """tflops: 10^12 operations a second at best; used: share of it that is reached"""
    ### BEGIN SOLUTION
    forward = 2 * (frozen + trained)
    backward = 2 * (frozen + trained) + 2 * trained
    each = forward * (2 if checkpointing else 1) + backward
    return tokens * each / (tflops * 1e12 * used) / 3600
    ### END SOLUTION

# %% id="check-hours"
check("9.6", gpu_hours)

# %% id="use-hours"
gpu_hours = use("9.6", gpu_hours)

# %% id="show-hours"
ASSUMED = {"tokens of a text": 400, "share of the peak that is used": 0.3}
print("assumed, not measured:", ASSUMED)
frozen = sizes["linear"] + sizes["vocab"] * sizes["hidden"]  # the embedding only looks up
steps = Recipe.read("ming_moe").values["stages.multitask.steps"].paper
batch = Recipe.read("ming_moe").values["stages.multitask.batch_size"].paper
tokens = steps * batch * ASSUMED["tokens of a text"]
print(f"MING-MOE: {steps:,} steps of {batch} texts, {tokens / 1e6:,.0f} million tokens")
for card, (gib, tflops) in nb09.words.CARDS.items():
    hours = gpu_hours(tokens, frozen, trained["ming_moe"], tflops, 0.3, True)
    speed = tokens / hours / 3600
    print(f"{card:5} {gib:3} GiB: {hours:6.1f} hours, {speed:7,.0f} tokens a second")

# %% [markdown] id="hours-text"
# All experts count as trained here, since the stacked form multiplies all of them. Peaks are from
# the makers' datasheets. On a machine with a card, `medmoe bench --only gpu` measures a training
# step at these sizes and replaces the assumed share by a fact.

# %% [markdown] id="llamacare-text" seeds="LlamaCare.exp-3"
# ## LlamaCare's profile
#
# LlamaCare says: 13B parameters, four bits, one card of 24 GB. Its third experiment asks for
# memory and speed with its classification head and without. Memory is a count. Speed was recorded
# on nano.

# %% id="llamacare-memory" seeds="LlamaCare.exp-3"
from types import SimpleNamespace

from medmoe_lite.bases.plan import linear_shapes

llama = SimpleNamespace(hidden_size=5120, intermediate_size=13824, num_attention_heads=40,
                        num_key_value_heads=40)
linear = 40 * sum(a * b for a, b in linear_shapes(llama).values())
other = 2 * 32000 * llama.hidden_size
for bits in (16, 4):
    parts = resting_bytes(linear, other, trained=0, four_bit=bits == 4)
    try:
        print(f"13B in {bits} bits: fits 24 GiB with {24 - plan(parts, 24):.1f} to spare")
    except ValueError as refusal:
        print(f"13B in {bits} bits: {refusal}")
head = nb09.words.head_numbers(llama.hidden_size)
print(f"the package's head at that width: {head / 1e6:.0f} million numbers; LlamaCare's: about 100")

# %% id="llamacare-speed" tags=["keep-output"] seeds="LlamaCare.exp-3"
spent = nb09.words.spent()
title = f"A question on nano, one thread. Recorded, {nb09.words.seeds_told(spent)}"
show(plots.bars(spent, title, "milliseconds", digits=1, measured=False))

# %% id="llamacare-reading" seeds="LlamaCare.exp-3"
from medmoe_lite.lab.ladder import numbers

length = nb09.words.mean(numbers("eci", "generated", "tokens"))
print(f"A generated label has {length:.1f} tokens here: little is left for a head to save.")
found = nb09.words.profile()
print(f"Weights of nano in 4 bits take {found['weights_4_bit']:.2f} of those in 32 bits.")
print(f"Experts against one LoRA of the same rank: a step {found['step_over_lora_all']:.2f} times,")
print(f"memory kept {found['saved_over_lora_all']:.2f} times, decoding "
      f"{found['decode_over_lora_all']:.2f} times as much.")

# %% [markdown] id="run-text"
# ## The run
#
# Now the whole way. `pick_base` looks for a card and for the model on disk, and says what it took.
# It never fetches anything unless you type `pick_base(download=True)`.

# %% id="pick"
pick = nb09.machine.pick_base()

# %% [markdown] id="pick-text"
# With nano the recipe's nano column is used, with the 1.8B model the paper's. Steps and batch are
# this notebook's: few, so that you see the whole way at once. The data are invented drugs and
# notes on both.

# %% id="run"
model, tokenizer = load_base(pick.place, four_bit=True)
job = nb09.run.Job(pick)
curve = nb09.run.Curve(tokenizer, nb09.run.suites())
for stage in job.stages:
    model = job.ready(model, stage)
    curve.begin(stage, model)
    run_stage(model, tokenizer, stage, job.data, on_step=curve.note)

# %% id="peak"
peak = nb09.machine.peak()
told = "no card was used" if peak is None else f"{about(peak, 1)} of {pick.card:.0f} GiB"
print("highest memory on the card, to hold against the plan:", told)

# %% [markdown] id="merge-text"
# Two lines deserve a second look. Dropping is exact: the routed experts are gone. Merging is not
# free: a base in four bits cannot take a small update, because rounding it again would swallow
# most of it. So these layers are unpacked, and a plan for stage 2 must hold them.

# %% id="stage-2-memory"
attention = [sizes["shapes"][name] for name in medcare.config("paper").plain_modules]
many = sizes["layers"] * sum(d_in * d_out for d_in, d_out in attention)
four, full = (resting_bytes(many, 0, 0, four_bit)["weights"] for four_bit in (True, False))
second = trainable(medcare.config("paper", "alignment"), sizes["shapes"], sizes["layers"])
shared = medcare.config("paper", num_experts=0, plain_modules=[])
both = second + trainable(shared, sizes["shapes"], sizes["layers"])
print(f"at 1.8B: attention unpacked, {(full - four) / GIB:.2f} GiB more")
print(f"{both:,} numbers learn in stage 2,", end=" ")
print(f"{both / trained['medcare']:.0%} of those of stage 1")

# %% id="drop-reading"
end = [i for i, step in enumerate(curve.steps) if step == curve.marks[1][0]]
before, after = (curve.rows["facts"][i] for i in end)
reveal("9.B", f"facts {about(before, 2)} before the drop, {about(after, 2)} after, in this one run")

# %% [markdown] id="drop-text"
# Nano's column closes the routed experts in a share of the steps of stage 1 (`noise_dropout`), so
# that the shared expert learns to stand alone. The paper's column does not. What that changes is
# the question of notebook 06.

# %% [markdown] id="forgetting-text"
# ## Forgetting, beside the recorded ladder
#
# Left: this run, a few dozen steps, one seed. Right: nano as recorded over seeds, with hundreds of
# steps. Do not compare heights across: compare what stage 2 does to the facts.

# %% id="forgetting-figure" tags=["keep-output"]
show(nb09.plots.forgetting(curve, pick.name, nb09.words.levels(), nb09.words.seeds()))

# %% [markdown] id="router-text"
# ## Routers, beside recorded ones
#
# One row a router, its experts sorted by their share of the gate's weight. A healthy row is even;
# a collapsed one has a bright first column and nothing at the right. The recorded runs were trained
# longer and without a balance loss; MedCare's recipe has one on nano. So the two need not agree.

# %% id="router-figure" tags=["keep-output"]
use_recorded = nb09.words.recorded_use()
show(nb09.plots.routers(curve.usage, curve.places, pick.name, use_recorded, len(use_recorded)))

# %% id="router-levels"
now = curve.health
print(f"{'this run':16} busiest {about(now['max_load'], 2)}  dead {about(now['dead'], 1)}")
for arm, levels in nb09.words.router_levels().items():
    seeds, load = len(levels["max_load"]), nb09.words.mean(levels["max_load"])
    print(f"{arm:16} busiest  {load:.2f}  dead  {nb09.words.mean(levels['dead']):.1f}", end="")
    print(f"  recorded, {seeds} seeds")

# %% [markdown] id="needs"
# ## What a 1.8B record would need
#
# The size itself has been tried, without the weights; see the lines below. What is still missing:
#
# - A card that the plan accepts, and the model on disk.
# - Texts of the papers' kind. The kit's invented facts show the mechanism, not medicine.
# - The values that no paper gives: see step 1.
# - Several seeds of each arm, with and without the drop, with and without the penalty. Multiply the
#   hours of step 6 accordingly.

# %% id="true-size"
print("recorded:", *nb09.words.true_size(), sep="\n   ")

# %% [markdown] id="break"
# ## Break it
#
# Four set-ups are broken. Three were started on nano, for a few steps. One was not: the plan
# refused it. Bars of the plan are at the sizes of the 1.8B model.

# %% id="sick-runs"
nano, its_words = load_base("nano")
lessons = nb09.failure.batches(its_words)
runs = {}
for name in ("healthy", *nb09.failure.SICK):
    runs[name] = nb09.failure.examine(nano, its_words, name, lessons)
    print(f"{name}: {len(runs[name].losses)} steps", flush=True)

# %% id="sick-figure" tags=["keep-output"]
show(nb09.plots.dials(runs, nb09.failure.CARD))
for cause in nb09.failure.CAUSES:
    print("possible cause:", cause)

# %% [markdown] id="diagnosis-text"
# **Exercise 9.7** (medium, 5 minutes). Name the cause of each: one of `CAUSES`, written as
# `{"run P": CAUSES[0], ...}`. Why it matters: on a rented card, the first ten minutes of a run are
# where money is saved.

# %% id="ex-diagnosis"
CAUSES = nb09.failure.CAUSES
### BEGIN SOLUTION
diagnosis = {
    "run P": CAUSES[2],
    "run Q": CAUSES[0],
    "run R": CAUSES[1],
    "run S": CAUSES[3],
}
### END SOLUTION

# %% id="check-diagnosis"
check("9.7", diagnosis)

# %% [markdown] id="diagnosis-after"
# Run R in one line: Adam divides a step by $\sqrt{v} + \varepsilon$. At the start $B = 0$, so the
# gradient of $A$ and its $v$ are exactly zero.

# %% id="epsilon"
epsilon = torch.tensor(1e-8)
print("Adam's epsilon in float32 is zero:", bool(epsilon == 0), end="; ")
print("in float16:", bool(epsilon.half() == 0), end="; ")
print("in bfloat16:", bool(epsilon.bfloat16() == 0))

# %% [markdown] id="epsilon-text"
# That is why adapters learn in 32 bits here, whatever the base is stored in. Run Q is the quiet
# one: its loss falls as it should. Qwen's chat template leaves the last turn open, so a text that is
# made with it has to be closed with the stop token by whoever prepares it.

# %% id="stop-token"
from medmoe_lite.tasks import encode

item = next(item for item in job.data["facts"] if item.style == "chat")
labels = [token for token in encode(item, tokenizer)["labels"] if token != -100]
print("the package trains:", json.dumps(tokenizer.decode(labels)))

# %% [markdown] id="quiz-text"
# ## Quiz

# %% id="quiz"
quiz("09")

# %% [markdown] id="key-points"
# ## Key points
#
# - Count before you load: numbers exactly, bytes by part, hours with assumptions that are said.
# - Four bits shrink the linear layers. Embeddings, activations and logits do not notice.
# - Each lever has its part: checkpointing for activations, logits of answers for logits, bits for
#   weights, rank for adapters.
# - A base in four bits takes no merge without unpacking.
# - The same recipe, stages and calls run on nano and on the 1.8B model. That they run says nothing
#   about how well they do.

# %% [markdown] id="papers-text"
# ## Where the papers stand
#
# From the recorded ladder on nano. The last two rows are what a run of this size would be for.

# %% id="papers"
ledger("four_bit", "cost", "benchmarks", "exams")

# %% [markdown] id="next"
# ## Next
#
# [10 Reproduction lab](10_reproduction_lab.ipynb) lets you test a claim of your own: a card written
# before the run, seeds, a verdict.
