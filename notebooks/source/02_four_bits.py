# %% [markdown] id="title" minutes=45 seeds="LlamaCare.fail-3 LlamaCare.exp-3"
# # 02 Four bits
#
# **The question.** LlamaCare was tuned on one graphics card, because its base was stored in four
# bits a weight. What is lost at four bits? And what learns on top of them?
#
# - Reading and building: about 45 minutes. Computing: about half a minute on a laptop.
# - You need: notebook 01, or to know that LoRA adds $(\alpha / r) B A x$ to a frozen layer.
# - You do not need: a GPU or a network.
#
# You store weights in four bits by hand, byte for byte as the library bitsandbytes does. You ask
# a model what it still knows, and train LoRA over codes that cannot learn.

# %% [markdown] id="predictions"
# ## Guess first
#
# Pick an answer before you go on. Nobody grades it. You will see it again beside the result.

# %% id="predict-bits"
predict(
    "2.A",
    "We round nano's weights to fewer and fewer bits. When has it lost a tenth of its answers?",
    ["already at 8 bits", "at 5 bits", "at 4 bits", "at 3 bits", "only at 2 bits"],
)

# %% id="predict-learns"
predict(
    "2.B",
    "QLoRA trains a model whose weights are 4-bit codes. Which numbers get a gradient?",
    ["codes, scales, A and B", "scales, A and B", "A and B alone"],
)

# %% [markdown] id="idea"
# ## The idea
#
# Four bits can name 16 different numbers. A matrix holds thousands of different weights. So the
# weights are cut into **blocks** of 64. Each block keeps one **scale**: its largest absolute value,
# the absmax. Each weight keeps the number of the nearest of 16 **levels**:
#
# $$w \approx \text{absmax} \cdot \text{level}[\text{code}]$$
#
# The 16 levels are the same everywhere. They form the **code book**.

# %% id="imports"
import copy

import torch
from torch import nn

from medmoe_lite import load_base, nf4
from medmoe_lite.lab import about, lora, nb02, teach
from medmoe_lite.lab.live import live

# %% id="diagram" tags=["keep-output"]
show(nb02.diagrams.storage())

# %% [markdown] id="step-1"
# ## Step 1: the code book
#
# Trained weights are distributed much like a bell. nf4 puts its levels where the weights are: at
# **quantiles** of the normal distribution. `torch.special.ndtri(share)` is the number below which
# that share of a bell lies.
#
# - Positive levels: 8 equally spaced shares from `outer` towards 0.5; 0.5 itself is left out.
# - Negative levels: 7 shares in the same way, with a minus. One level is zero.

# %% [markdown] id="step-1-exercise"
# **Exercise 2.1** (medium, 8 minutes). Return the 16 levels, ascending, divided by the largest. Why
# it matters: the largest weight of a block must have a level of its own, exactly 1, and a weight of
# zero should stay zero. Stuck? Type `hint("2.1")`.

# %% id="ex-code"
def code_book(outer=0.9677083):
    """-> (16,) from -1 to 1, ascending"""
    ### BEGIN SOLUTION
    up = torch.special.ndtri(torch.linspace(outer, 0.5, 9)[:-1])
    down = -torch.special.ndtri(torch.linspace(outer, 0.5, 8)[:-1])
    levels = torch.cat([down, torch.zeros(1), up]).sort().values
    return levels / levels.max()
    ### END SOLUTION

# %% id="check-code"
check("2.1", code_book)

# %% id="use-code"
code_book = use("2.1", code_book)

# %% id="try-code"
LEVELS = code_book()
print(" ".join(f"{level:.3f}" for level in LEVELS))

# %% [markdown] id="step-2"
# ## Step 2: quantise
#
# Lay the weights in one row and cut it into blocks. The last block may be short: pad it with zeros.
#
# **Exercise 2.2** (medium, 10 minutes). Return the place of the nearest level for each weight, as
# `torch.uint8`, and one absmax a block. Why it matters: a maximum over the wrong axis, or a level
# rounded down, raises no error. The model is only worse.

# %% id="ex-quantise"
def quantise(weight, code, block=64):
    """weight, any shape -> places (numbers,) torch.uint8, absmax (blocks,)"""
    ### BEGIN SOLUTION
    flat = weight.flatten()
    table = nn.functional.pad(flat, (0, -len(flat) % block)).view(-1, block)
    absmax = table.abs().amax(1)
    between = (code[:-1] + code[1:]) / 2
    places = torch.bucketize(table / absmax[:, None], between).flatten()
    return places[: len(flat)].to(torch.uint8), absmax
    ### END SOLUTION

# %% id="check-quantise"
check("2.2", quantise)

# %% id="use-quantise"
quantise = use("2.2", quantise)

# %% [markdown] id="model-text"
# Now real weights: the 35 linear layers in the five blocks of `nano`.

# %% id="load"
base, tokenizer = load_base("nano")
weight = base.model.layers[2].mlp.up_proj.weight.detach()
places, absmax = quantise(weight, LEVELS)
print("first weights ", " ".join(f"{w:7.3f}" for w in weight[0, :6]))
print("their places  ", " ".join(f"{p:7d}" for p in places[:6]))
print("read back     ", " ".join(f"{LEVELS[p] * absmax[0]:7.3f}" for p in places[:6].long()))

# %% id="levels-figure" tags=["keep-output"]
scaled = (weight.flatten().view(-1, 64) / absmax[:, None]).flatten()
title = "Weights of one layer of nano, and three code books (this run)"
show(nb02.plots.levels(scaled, nb02.grid.four_bit_codes(), title))

# %% [markdown] id="levels-text"
# **int4** has equal steps. **fp4** is a tiny floating-point number: fine near zero, coarse outside.
# **nf4** follows the bell. Every block has a weight at -1 or at 1, because it was divided by its own
# largest.

# %% [markdown] id="step-3"
# ## Step 3: dequantise
#
# **Exercise 2.3** (easy, 7 minutes). Read the weights back, in a given shape and dtype. Multiply in
# 32 bits and round to `dtype` once, at the end. Why it matters: on a GPU `dtype` is bfloat16, with
# about three digits. Rounding level and scale before the product loses some of them twice.

# %% id="ex-dequantise"
def dequantise(places, absmax, code, shape, block=64, dtype=torch.float32):
    """places (numbers,), absmax (blocks,) -> weights of the given shape and dtype"""
    ### BEGIN SOLUTION
    levels = code[places.long()]
    scales = absmax.repeat_interleave(block)[: len(places)]
    return (levels * scales).view(shape).to(dtype)
    ### END SOLUTION

# %% id="check-dequantise"
check("2.3", dequantise)

# %% id="use-dequantise"
dequantise = use("2.3", dequantise)

# %% [markdown] id="parity"
# ## The same as bitsandbytes?
#
# bitsandbytes is the library that QLoRA was published with. It packs two codes into a byte, the
# first one in the upper half. We quantise one layer with it and compare.

# %% id="parity-check"
from bitsandbytes.functional import dequantize_4bit, quantize_4bit

packed, state = quantize_4bit(weight, blocksize=64, quant_type="nf4")
mine = dequantise(places, absmax, LEVELS, weight.shape)
theirs = dequantize_4bit(packed, state)
print(f"{weight.numel():,} weights in {packed.numel():,} bytes")
print("all codes equal: ", torch.equal(nf4.unpack(packed, weight.numel()), places))
print("all scales equal:", torch.equal(state.absmax, absmax))
print("weights agree:   ", torch.allclose(mine, theirs, atol=1e-6))

# %% [markdown] id="errors-text"
# ## Which code book errs least?
#
# The same weights, your functions, three code books.

# %% id="errors-figure" tags=["keep-output"]
def rounding(code, block=64):
    """weight -> the same weight after rounding"""
    return lambda w: dequantise(*quantise(w, code, block), code, w.shape, block)


whole = nb02.exam.all_weights(base)
codes = nb02.grid.four_bit_codes()
found = {name: rounding(code)(whole) - whole for name, code in codes.items()}
title = "Errors of all 35 layers of nano at four bits (this run)"
show(nb02.plots.errors(found, float(whole.std()), title))

# %% [markdown] id="step-4"
# ## Step 4: the scales cost, too
#
# A scale of 32 bits for 64 weights adds half a bit to each. QLoRA stores the scales in 8 bits: it
# subtracts their mean and **quantises them again**, in blocks of 256, with 256 levels.
#
# **Exercise 2.4** (easy, 4 minutes). Do that with your own `quantise`. Why it matters: with 13
# billion weights it saves hundreds of megabytes. And scales are all positive: without the subtraction half of
# the levels would never be used.

# %% id="ex-double"
def double_quantise(absmax, code):
    """absmax (blocks,), code (256,) -> places (blocks,), scales (blocks / 256,), mean ()"""
    ### BEGIN SOLUTION
    mean = absmax.mean()
    places, scales = quantise(absmax - mean, code, 256)
    return places, scales, mean
    ### END SOLUTION

# %% id="check-double"
check("2.4", double_quantise)

# %% id="use-double"
double_quantise = use("2.4", double_quantise)

# %% id="count-bytes"
small, scales, mean = double_quantise(absmax, nf4.dynamic_code())
plain = len(places) / 2 + absmax.nbytes
double = len(places) / 2 + small.nbytes + scales.nbytes + mean.nbytes
for name, size in (("32 bits", weight.nbytes), ("4 bits", plain), ("4 bits, double", double)):
    print(f"{name:16}{size:9,.0f} bytes, {8 * size / weight.numel():.3f} bits a weight")
print(f"by formula: {nf4.bits_per_weight():.3f}, and 32 bits a matrix for the mean")
restored = nf4.restore_absmax(small, scales, mean)
print(f"the scales are off by {((restored - absmax).abs() / absmax).mean():.2%} on average")

# %% [markdown] id="whole-text"
# ## A whole model in four bits
#
# `load_base("nano", four_bit=True)` stores the linear layers with bitsandbytes, scales quantised
# twice. We do the same with your functions. Do both models compute the same?

# %% id="whole-parity"
def four_bits(w):
    """weight -> what is read back after quantisation and double quantisation"""
    places, absmax = quantise(w, LEVELS)
    scales = nf4.restore_absmax(*double_quantise(absmax, nf4.dynamic_code()))
    return dequantise(places, scales, LEVELS, w.shape)


four, _ = load_base("nano", four_bit=True)
yours = nb02.exam.rounded(base, four_bits)
ids = torch.arange(5, 45).view(2, 20)
with torch.no_grad():
    apart, moved = ((m(ids).logits - four(ids).logits).abs().mean() for m in (yours, base))
print("four bits move the logits by", about(moved.item(), 2), "on average")
print("yours and bitsandbytes differ by", about((apart / moved).item(), 4), "of that")

# %% [markdown] id="whole-note"
# Almost nothing, but not nothing: on a CPU bitsandbytes rounds about two scales in a thousand to the second
# nearest of the 256 levels. All 4-bit codes agree.
#
# Embeddings, norms and the head stay in full precision. They are few in a large model, and easily
# hurt.

# %% [markdown] id="lost-text"
# ## What is lost?
#
# A failure signature of LlamaCare: *performance degrades after quantisation*. We look for it. The exam: a few questions of every family that `nano` masters. Two measures: the share answered,
# and the loss of the answers' tokens. The loss moves first.

# %% id="exam"
items = nb02.exam.items()
results = {"32 bits": nb02.exam.sit(base, tokenizer, items)}
results["nf4 loaded"] = nb02.exam.sit(four, tokenizer, items)
for bits in (4, 3, 2):
    changed = nb02.exam.rounded(base, rounding(nf4.normal_code(bits)))
    results[f"{bits} bits"] = nb02.exam.sit(changed, tokenizer, items)

# %% id="exam-figure" tags=["keep-output"]
title = f"{len(items)} questions to nano, stored in fewer bits (this run)"
show(nb02.plots.exams(results, title))

# %% id="reveal-bits"
point = nb02.grid.breaking_point()
shares = nb02.grid.over_bits("normal quantiles", 64, "answered")
kept = {bits: share / nb02.grid.unharmed() for bits, share in zip(nb02.grid.BITS, shares)}
reveal("2.A", f"at {point} bits {kept[point]:.0%} of the answers are left, at {point + 1} bits "
       f"{kept[point + 1]:.0%} (recorded, mean of two bases)")

# %% [markdown] id="trained-text"
# And after training? This was recorded: a classification task, learned over a base in four bits and
# over the full one, with LlamaCare's head and without it.

# %% id="recorded-figure" tags=["keep-output"]
from medmoe_lite.lab.ladder import claim, ledger, numbers, show_claim

show_claim("four_bit")

# %% [markdown] id="step-5"
# ## Step 5: what does QLoRA train?
#
# A code is a whole number. A gradient step of 0.001 cannot move it to the next one. So QLoRA leaves
# codes and scales alone and trains LoRA beside them. The gradient passes *through* the weight, to
# the layers below.

# %% id="diagram-trained" tags=["keep-output"]
show(nb02.diagrams.trained())

# %% [markdown] id="step-5-exercise"
# **Exercise 2.5** (hard, 12 minutes). Keep `places` and `absmax` as buffers, and nothing of the full
# weight. Make the weight anew in `forward`. `x` may come in bfloat16: the output has the dtype of
# `x`, while `A` and `B` compute in 32 bits. Why it matters: a layer that keeps its old weight works
# perfectly and saves nothing.

# %% id="ex-layer"
class QLoRALinear(nn.Module):
    """A frozen weight in nf4, with A (r, d_in) and B (d_out, r) beside it."""

    def __init__(self, base, r, alpha):
        super().__init__()
        ### BEGIN SOLUTION
        places, absmax = quantise(base.weight.detach(), LEVELS)
        self.register_buffer("places", places)
        self.register_buffer("absmax", absmax)
        self.shape, self.scale = base.weight.shape, alpha / r
        self.bias = base.requires_grad_(False).bias
        self.A = nn.Parameter(torch.randn(r, self.shape[1]) / self.shape[1] ** 0.5)
        self.B = nn.Parameter(torch.zeros(self.shape[0], r))
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        weight = dequantise(self.places, self.absmax, LEVELS, self.shape, dtype=x.dtype)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        update = self.scale * (x.float() @ self.A.T @ self.B.T)
        return nn.functional.linear(x, weight, bias) + update.to(x.dtype)
        ### END SOLUTION

# %% id="check-layer"
check("2.5", QLoRALinear)

# %% id="use-layer"
QLoRALinear = use("2.5", QLoRALinear)

# %% [markdown] id="gradient-text"
# One backward pass through `nano` with your layer. What did it reach?

# %% id="gradients"
facts, asked = teach.new_facts(drugs=8), teach.new_facts(drugs=8, wordings="heldout")
replay = teach.known_items(n=60, split="train")
batches = teach.lessons(tokenizer, facts, steps=40, batch_size=20, replay=replay)
model = nb02.qlora.attach(copy.deepcopy(base), QLoRALinear, r=8, alpha=16)
for name, dtype, size, reached in nb02.qlora.gradients(model, batches[0]):
    print(f"{name:8}{dtype:9}{size:8,} bytes   {'gradient' if reached else 'no gradient'}")

# %% id="reveal-learns"
learning = sorted({n.split(".")[-1] for n, p in model.named_parameters() if p.requires_grad})
reveal("2.B", f"{' and '.join(learning)} alone")

# %% [markdown] id="bytes-note"
# Your places take one byte each, to keep the code short. bitsandbytes packs two into one. And where
# it reads a weight, it makes it anew once more in the backward pass, so as not to keep it.

# %% [markdown] id="teach-text"
# ## Teach it
#
# 32 facts about eight drugs that do not exist. LoRA over the full base and QLoRA over four bits: the
# same facts, steps and learning rate.

# %% id="train-lora"
torch.manual_seed(0)
models = {"LoRA": lora.attach_lora(copy.deepcopy(base), nb02.qlora.TARGETS, r=8, alpha=16)}
with live(len(batches)) as show_loss:
    losses = {"LoRA": nb02.qlora.fit(models["LoRA"], batches, show_loss)}

# %% id="train-qlora"
torch.manual_seed(0)
models["QLoRA"] = nb02.qlora.attach(copy.deepcopy(base), QLoRALinear, r=8, alpha=16)
with live(len(batches)) as show_loss:
    losses["QLoRA"] = nb02.qlora.fit(models["QLoRA"], batches, show_loss)

# %% id="recall-figure" tags=["keep-output"]
groups = {"facts, taught": facts, "facts, other wordings": asked, "the exam": items}
models = {"base": base, **models}
told = {
    group: {name: teach.recall(model, tokenizer, rows) for name, model in models.items()}
    for group, rows in groups.items()
}
show(nb02.plots.recalls(told, "LoRA over 32 bits, QLoRA over 4 bits (this run, one seed)"))

# %% [markdown] id="merge-text"
# What QLoRA adds to LoRA is the error of the rounding. $A$ and $B$ are trained with the rounded weight
# in place, so they may make up for a part of it. Whether they do is a question for several seeds: the
# recorded rows stand at the end.
#
# ## Can it be merged?
#
# In notebook 01 the update was added to the weight. Here the sum would be rounded to four bits again.
# How much of the update is left? We try it whole, and made smaller, as a lower learning rate would.

# %% id="merge"
layer = models["QLoRA"].model.layers[2].mlp.up_proj
for part in (1, 1 / 4, 1 / 16):
    before, exact = nb02.qlora.merged(layer, 2.0 * part, again=False)
    _, rounded = nb02.qlora.merged(layer, 2.0 * part, again=True)
    moved = (rounded - before).abs() > 0.02 * before.abs().mean()
    error = ((rounded - exact).norm() / (exact - before).norm()).item()
    print(f"{part:6.4f} of the update: {about(moved.float().mean().item(), 2)} of the weights move, "
          f"rounding is {about(error, 2)} of the update")
for again, name in ((False, "merged in 32 bits"), (True, "merged and rounded again")):
    merged = nb02.qlora.merge_into(base, models["QLoRA"], scale=2.0, again=again)
    print(f"{name:26}{about(teach.recall(merged, tokenizer, asked), 2)} in other wordings")

# %% [markdown] id="merge-note"
# A small update is lost: nearly all weights fall back on the level they had. A large one may
# survive: compare the last two lines. The package refuses to merge into four bits. Keep the adapter
# beside its base, or merge into 16 bits.

# %% [markdown] id="cost-text"
# ## Memory and time
#
# LlamaCare asks for a profile of memory and speed. First bytes: of `nano` as it lies in memory, and
# of training by formula, with a batch of 4 texts of 512 tokens.

# %% id="footprint"
full, small = (m.get_memory_footprint() for m in (base, four))
print(f"nano: {full:,} bytes in 32 bits, {small:,} with linear layers in 4 bits: {small / full:.0%}")
linear, rest = (nb02.profile.share_of(base, part) for part in ("linear", "rest"))
print(f"its linear layers are {linear:.0%} of its weights; the {rest:.0%} that stay are embeddings and norms")

# %% id="memory-figure" tags=["keep-output"]
from medmoe_lite.bases.plan import QWEN_1_8B

bills = {
    "nano": nb02.profile.bill(base.config, 2**20, batch=4, length=512),
    "Qwen1.5-1.8B": nb02.profile.bill(QWEN_1_8B, 2**30, batch=4, length=512),
}
title = "Memory of training, 4 x 512 tokens (by formula; activations are an estimate)"
show(nb02.plots.memory(bills, {"nano": "MiB", "Qwen1.5-1.8B": "GiB"}, title))

# %% [markdown] id="memory-text"
# Four bits shrink one part only: the frozen weights. For the 1.8 billion weights the activations are
# then the largest part. What about LlamaCare's 13 billion on a card of 24 GB? We ask how many tokens
# a batch may have.

# %% id="card"
for method, name in (("full", "all weights"), ("lora", "LoRA, 16 bits"), ("qlora", "QLoRA, 4 bits")):
    fit = nb02.profile.tokens_that_fit(nb02.profile.LLAMA_13B, method)
    print(f"{name:15} {fit:6,} tokens beside the rest of Llama-2-13B, on 24 GB")

# %% [markdown] id="speed-text"
# So the 24 GB are plausible, with short batches, and more where activations are computed anew in the
# backward pass. Now time. Four bits save memory, not work: every weight must be made before it can
# be used.

# %% id="speed"
four, _ = load_base("nano", four_bit=True)
kinds = {"LoRA": models["LoRA"], "QLoRA": nb02.qlora.stock(four, r=8, alpha=16)}
spent = nb02.profile.seconds(kinds, batches[0])
for what in ("forward", "step"):
    ratio = spent["QLoRA"][what] / spent["LoRA"][what]
    print(f"{what:8} over four bits takes {about(ratio, 2)} times as long, here on a CPU")

# %% [markdown] id="head-speed-text"
# LlamaCare's own profile would compare its classification head with generated text. That was
# recorded on `nano` in four bits.

# %% id="head-speed"
for arm in ("head, 4 bits", "generated, 4 bits"):
    ms, size = (numbers("four_bit", arm, what) for what in ("ms", "parameters"))
    print(f"{arm:18} {sum(ms) / len(ms):.1f} ms an item, {size[0]:,} numbers learn, "
          f"{len(ms)} seeds")

# %% [markdown] id="break"
# ## Break it
#
# Three ways to store `nano` in four bits are sick. None raises an error. Three dials tell: how often
# each of the 16 codes is used, the error of every block of 64 (sorted), and the exam.

# %% id="sick-runs"
runs = ("healthy", *nb02.failure.SICK)
dials = {run: nb02.failure.examine(base, tokenizer, run, items) for run in runs}

# %% id="sick-figure" tags=["keep-output"]
show(nb02.plots.dials(dials))
for cause in nb02.failure.CAUSES:
    print("possible cause:", cause)

# %% [markdown] id="diagnosis-text"
# **Exercise 2.6** (medium, 6 minutes). Name the cause of each sick run: one of `CAUSES`, written as
# `{"run P": CAUSES[0], ...}`. Why it matters: with the exam alone you would send one of these
# models to your users, and look for the bug of another one in the wrong place.

# %% id="ex-diagnosis"
CAUSES = nb02.failure.CAUSES
### BEGIN SOLUTION
diagnosis = {"run P": CAUSES[2], "run Q": CAUSES[0], "run R": CAUSES[1]}
### END SOLUTION

# %% id="check-diagnosis"
check("2.6", diagnosis)

# %% [markdown] id="outlier-text"
# One of the three is no bug of the code. Large language models *do* have channels that are many times
# larger than the rest. `nano` has none, so we made one, without changing what it computes in 32 bits.
#
# What helps against it: smaller blocks. One scale for a whole matrix, which did no harm to
# the plain `nano`, is now the end.

# %% id="outlier"
loud = nb02.failure.amplify(copy.deepcopy(base))
print(f"{'32 bits':12}{about(nb02.exam.sit(loud, tokenizer, items).answered, 2)} answered")
for block in (weight.numel(), 128, 64, 32, 16):
    changed = nb02.exam.rounded(loud, rounding(LEVELS, block))
    share = nb02.exam.sit(changed, tokenizer, items).answered
    name = "one scale" if block == weight.numel() else f"block {block}"
    print(f"{name:12}{about(share, 2)} answered")

# %% [markdown] id="explorer-text"
# ## Bits and blocks
#
# **Explorer.** Choose levels, bits and block size with the arrow keys. Left: the error of the weights.
# Right: what is still answered. The circle is your choice, dashed are the other levels. Look for:
# where equal steps overtake the normal quantiles, and whether a bit or a smaller block buys more.

# %% id="explorer" tags=["keep-output"]
import ipywidgets

from medmoe_lite.lab.widgets import explorer


def draw(levels, bits, block, double):
    size = lambda b, n: nf4.bits_per_weight(b, n, double)
    chosen = (levels, bits, block)
    return nb02.plots.explorer(nb02.grid.table(), nb02.grid.unharmed(), chosen, size, bases=2)


controls = {
    "levels": ipywidgets.Dropdown(options=list(nb02.grid.KINDS), description="levels"),
    "bits": ipywidgets.IntSlider(value=4, min=2, max=8, description="bits"),
    "block": ipywidgets.SelectionSlider(options=nb02.grid.BLOCKS, value=64, description="block"),
    "double": ipywidgets.Checkbox(value=True, description="scales in 8 bits"),
}
explorer(draw, controls)

# %% id="explorer-facts"
print(nb02.grid.crossing())
print(nb02.grid.bit_or_block())

# %% [markdown] id="quiz-text"
# ## Quiz

# %% id="quiz"
quiz("02")

# %% [markdown] id="key-points"
# ## Key points
#
# - Four bits name 16 levels; a block of 64 weights shares one scale, its absmax.
# - nf4 puts the levels at quantiles of a bell. With double quantisation a weight takes 4.127 bits.
# - Codes cannot learn. QLoRA trains $A$ and $B$ in 32 bits; the gradient passes through the weight.
# - The scale is what fails: one large weight takes the levels away from its whole block.
# - Four bits save memory of frozen weights. Activations, and time, are another matter.
# - Never judge a rounding by one score. Look at codes and blocks.

# %% [markdown] id="papers-text"
# ## Where the papers stand
#
# Rows of the recorded ladder. A model of a million weights can show how four bits work and where they
# break. How a large model takes them has to be measured there: notebook 09 plans such a run.

# %% id="papers"
ledger("four_bit", "cost")

# %% [markdown] id="next"
# ## Next
#
# One update serves every token alike. [03 Router and experts](03_router_and_experts.ipynb) gives a
# layer several of them and a router that chooses. All of it works over four bits:
# `load_base("nano", four_bit=True)`.
