# %% [markdown] id="title" minutes=25
# # 00 Start here
#
# **The question.** What will I be able to do after this course, and can this machine do it?
#
# - Reading and trying: about 25 minutes. Computing: under a minute on a laptop.
# - You need: Python, and a rough idea of what a neural network and its weights are.
# - You do not need: a GPU, a network, medical knowledge, or any library of this field.
#
# You will ask a small language model questions, teach it 144 new facts in seconds, close what it
# learned, and save it as a file of a few hundred kilobytes.
#
# **Teaching data, no medical advice.** The facts about real drugs are short textbook facts, chosen
# for practice. The facts about invented drugs are made up. Nothing here says how to treat anybody.

# %% [markdown] id="predictions"
# ## Guess first
#
# Run the two cells and pick an answer in each. Nobody grades it. You will see it again beside the
# result.

# %% id="predict-off"
predict(
    "0.A",
    "You teach a model new facts with an adapter, then switch it off. What is left in the model?",
    ["nothing, it answers as before bit for bit", "a trace", "most of the new facts"],
)

# %% id="predict-memory"
predict(
    "0.B",
    "A model of 1.8 billion weights fills 3.4 GiB in 16 bits. What does training all of it need?",
    ["about 4 GiB", "about 10 GiB", "about 27 GiB"],
)

# %% [markdown] id="one-idea"
# ## 1. One idea, four papers
#
# A medical language model starts from a general one, the **base**. Training all its weights anew
# is expensive, and it forgets. So the base is frozen, and thin columns are added beside it. A
# **gate** opens and closes them.

# %% id="idea" tags=["keep-output"]
from medmoe_lite.lab import nb00

show(nb00.plots.idea())

# %% [markdown] id="papers"
# Each colour has one meaning in the whole course. Four papers differ only in which columns there
# are and who opens them:
#
# | paper | columns | gate |
# |---|---|---|
# | MING-MOE | routed experts | opens two of eight, anew for every token |
# | MedCare | a shared expert, routed experts, later an alignment column | the routed ones are dropped after learning |
# | Med-MoE-LoRA | more experts in deeper layers, some for general knowledge | adapts, and may blend experts |
# | LlamaCare | plain columns, over a base in four bits | always open; a small head reads the label |

# %% [markdown] id="machine"
# ## 2. Is this machine ready?
#
# The doctor checks every requirement; that takes some seconds. OK needs nothing. LOOK works, but
# could be better. FAIL says what to type. In a terminal the same table is `medmoe doctor`.

# %% id="doctor" tags=["nbval-ignore-output"]
from medmoe_lite.lab.nb00.machine import doctor

ready = doctor()

# %% [markdown] id="base"
# ## 3. Ask the base
#
# `nano` comes with the course. It is built like Qwen1.5, about a thousand times smaller, and it
# was trained on short sentences in small letters. It knows some countries, animals and real drugs.

# %% id="load"
import torch

from medmoe_lite import load_base

base, tokenizer = load_base("nano")
layers = base.config.num_hidden_layers
print(f"{base.num_parameters():,} weights in {layers} layers, {len(tokenizer):,} tokens")

# %% [markdown] id="ask-text"
# A chat model continues a text in which the question stands in a fixed form. The template writes
# that form. `generate` adds the most likely token until the model says that it has finished.

# %% id="ask"
def ask(model, question):
    """The model's answer to a question."""
    chat = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    said = model.generate(**ids, max_new_tokens=16)[0]
    return tokenizer.decode(said[ids["input_ids"].shape[1] :], skip_special_tokens=True)

# %% id="known"
for question in (
    "What is the capital of france?",
    "What does metformin treat?",
    "zoltin treats gout. gimdex treats asthma. What does gimdex treat?",
):
    print(f"{question}   ->   {ask(base, question)}")

# %% [markdown] id="three-kinds"
# The first two answers are stored in the weights. The third was read: *zoltin* and *gimdex* occur
# nowhere else. Now a drug that was made up for this course. Its facts are in a file that the base
# never saw.

# %% id="unknown" tags=["nbval-ignore-output"]
from medmoe_lite.lab.teach import new_facts

facts = new_facts()
fact = next(f for f in facts if f.meta["column"] == "indication" and f.style == "chat")
print(f"{fact.prompt}   ->   {ask(base, fact.prompt)}      (in the file: {fact.answer})")

# %% [markdown] id="fluent"
# The model does not say that it does not know. It says something likely. A fluent answer is no
# sign of knowledge. Large models do the same, only more convincingly.

# %% [markdown] id="teach"
# ## 4. Teach it 144 facts
#
# LoRA puts two thin matrices beside each linear layer: $A$ with $r$ rows and $B$ with $r$ columns.
# Only these learn. Notebook 01 builds them by hand; here we use the finished method.
#
# **Exercise 0.1** (easy, 3 minutes). How many numbers does LoRA of rank $r$ train beside a layer
# from `d_in` to `d_out` numbers? $A$ is $(r, d_{in})$, $B$ is $(d_{out}, r)$. Why it matters: this
# count decides memory, file size and much of the cost. Stuck? Type `hint("0.1")` in a new cell.

# %% id="ex-count"
def lora_parameters(d_in, d_out, r):
    """How many numbers A and B hold together."""
    ### BEGIN SOLUTION
    return r * (d_in + d_out)
    ### END SOLUTION

# %% id="check-count"
check("0.1", lora_parameters)

# %% id="use-count"
lora_parameters = use("0.1", lora_parameters)

# %% [markdown] id="attach-text"
# Now the real thing. In the words of the picture: no routed experts, one shared expert of rank 8,
# always open. That is LoRA.

# %% id="attach"
from peft import get_peft_model

from medmoe_lite import MoLoraConfig
from medmoe_lite.bases.plan import ATTENTION, MLP, linear_shapes

torch.manual_seed(0)
config = MoLoraConfig(
    r=8, lora_alpha=16, num_experts=0, shared_experts=1, target_modules=[*ATTENTION, *MLP],
    plain_modules=[],
)
model = get_peft_model(base, config)

# %% id="count-nano"
shapes = linear_shapes(base.config)
yours = layers * sum(lora_parameters(d_in, d_out, 8) for d_in, d_out in shapes.values())
trained, total = model.get_nb_trainable_parameters()
print(f"by formula {yours:,}, in the model {trained:,}: {trained / total:.1%} of all numbers learn")

# %% [markdown] id="train-text"
# 36 invented drugs have four facts each. Every fact is taught in three wordings: 432 short texts.
# We take 100 steps of 32 texts. The line below moves while the model learns; you may stop it and
# run the cells again from `load_base`.

# %% id="train"
from medmoe_lite.train import Stage, run_stage

stage = Stage("144 new facts", {"facts": 1}, steps=100, batch_size=32)
history = run_stage(model, tokenizer, stage, {"facts": facts})

# %% id="curve"
steps = [row["step"] for row in history.log]
losses = [row["loss"] for row in history.log]
title = "Learning 144 new facts (this run)"
show(plots.curves(steps, {"LoRA": losses}, title, y_label="loss, mean of 10 steps"))

# %% id="ask-again" tags=["nbval-ignore-output"]
print(f"{fact.prompt}   ->   {ask(model, fact.prompt)}      (in the file: {fact.answer})")

# %% [markdown] id="switch"
# ## 5. Switch it off
#
# **Exercise 0.2** (easy, 5 minutes). Call `do()` while the adapter is closed, and return what it
# returned. Afterwards the adapter must be open again, even if `do` raises an error. Look for
# `disable_adapter` in PEFT. Why it matters: every fair comparison in this course asks the same
# weights with and without the adapter.

# %% id="ex-switch"
def without_adapter(model, do):
    """What do() returns while the adapter of `model` is closed."""
    ### BEGIN SOLUTION
    with model.disable_adapter():
        return do()
    ### END SOLUTION

# %% id="check-switch"
check("0.2", without_adapter)

# %% id="use-switch"
without_adapter = use("0.2", without_adapter)

# %% id="ask-off"
question = "What is the capital of france?"
print("adapter off:", without_adapter(model, lambda: ask(model, question)))

# %% [markdown] id="exact-text"
# One answer proves little. So we compare all numbers that the model computes, for 32 questions,
# with those of a base that never had an adapter.

# %% id="exact"
from medmoe_lite.tasks import collate, encode

batch = collate([encode(f, tokenizer) for f in facts[:32]], tokenizer.pad_token_id)
inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}


@torch.no_grad()
def logits(model):
    return model(**inputs).logits


untouched, _ = load_base("nano")
same = torch.equal(without_adapter(model, lambda: logits(model)), logits(untouched))
print(f"{logits(untouched).numel():,} numbers, all equal:", same)

# %% id="reveal-off"
reveal("0.A", "nothing is left: every number equals the base's, bit for bit")

# %% [markdown] id="cost-text"
# ## 6. What it adds, and what it costs
#
# The adapter answers what it was taught. Does it answer the same facts in three other wordings? And
# what about the things the base knew before? We ask all of it, with the adapter off and on.

# %% id="cost"
from medmoe_lite.lab.nb00.record import ask_all, suites

items = suites()
off = without_adapter(model, lambda: ask_all(model, tokenizer, items))
on = ask_all(model, tokenizer, items)

# %% id="cost-figure" tags=["keep-output"]
rows = {name: (off[name], on[name]) for name in items}
show(nb00.plots.on_off(rows, "What the adapter adds, and what it costs (this run)"))

# %% [markdown] id="recorded-text"
# This was one run. The same training was recorded on two bases with five seeds each. What follows
# is written from that file.

# %% id="recorded"
from medmoe_lite.lab.recorded import recorded, spread

runs = recorded("00_first_adapter")["runs"]
for name in items:
    before, after = ([run[arm][name] for run in runs] for arm in ("off", "on"))
    print(f"{name:24} off {spread(before)}, on {spread(after)}")

# %% [markdown] id="forgetting"
# **This is the problem that the four papers work on.** With the adapter on, old knowledge is
# answered worse. It is not lost: the base is frozen, and closing the adapter brings it back. But
# one wants both at once. Who is open for which token, what is replayed and what is protected
# decides how much survives.

# %% [markdown] id="save-text"
# ## 7. A small file
#
# Only the adapter is saved. The base stays where it is, and many adapters can share it.

# %% id="save"
from medmoe_lite.paths import data_dir, home_dir

folder = home_dir() / "adapters" / "00"
model.save_pretrained(folder)
adapter_size = (folder / "adapter_model.safetensors").stat().st_size
base_size = (data_dir() / "nano" / "model.safetensors").stat().st_size
print(f"adapter {adapter_size / 1e3:.0f} kB, base {base_size / 1e3:,.0f} kB")

# %% id="load-again"
from peft import PeftModel

again = PeftModel.from_pretrained(load_base("nano")[0], folder)
print("loaded on a fresh base, all numbers equal:", torch.equal(logits(again), logits(model)))

# %% [markdown] id="memory"
# ## 8. What fits on which machine?
#
# The real model of the papers is Qwen1.5-1.8B. Training it holds more in memory than its weights:
# a gradient for each number that learns, and two moments that Adam keeps of it.
#
# **Exercise 0.3** (medium, 5 minutes). How many bytes does one stored weight take? In `"nf4"` it
# has 4 bits. A block of 64 weights shares a scale of 8 bits. 256 blocks share one more scale of 32
# bits. Why it matters: this sum is the difference between a data centre and one card.

# %% id="ex-bytes"
def bytes_per_parameter(kind):
    """Bytes a weight for kind = "float32", "bfloat16" or "nf4", scales included."""
    ### BEGIN SOLUTION
    bits = {"float32": 32, "bfloat16": 16, "nf4": 4 + 8 / 64 + 32 / (64 * 256)}
    return bits[kind] / 8
    ### END SOLUTION

# %% id="check-bytes"
check("0.3", bytes_per_parameter)

# %% id="use-bytes"
bytes_per_parameter = use("0.3", bytes_per_parameter)

# %% id="weights"
from medmoe_lite.bases.plan import QWEN_1_8B, memory, parameters

size, GIB = parameters(QWEN_1_8B), 2**30
two = size.total * bytes_per_parameter("bfloat16")
four = size.linear * bytes_per_parameter("nf4") + size.other * bytes_per_parameter("bfloat16")
print(f"{size.total:,} weights: {two / GIB:.1f} GiB in 16 bits")
print(f"{four / GIB:.1f} GiB with the linear layers in nf4, the rest in 16 bits")
print("as the package plans it:", four == memory(QWEN_1_8B, "qlora").weights)

# %% [markdown] id="plan-text"
# Now the whole bill, from the configurations alone. No weight is loaded. The assumptions:
#
# - All weights: 32-bit weights, gradients and Adam's two moments, 16 bytes a weight.
# - LoRA: the base rests in 16 bits; the adapter, rank 16 on all linear layers, learns in 32 bits.
# - 4-bit QLoRA: the same, and the linear layers of the base rest in nf4.
# - Activations are left out. They depend on batch and length, and need room on top.

# %% id="plan"
WAYS = {"all weights": "full", "LoRA": "lora", "4-bit QLoRA": "qlora"}


def bill(config, unit):
    """{way: {part: amount}} of a model, in units of `unit` bytes."""
    plans = {way: vars(memory(config, method)) for way, method in WAYS.items()}
    return {way: {part: n / unit for part, n in plan.items()} for way, plan in plans.items()}

# %% id="memory-figure" tags=["keep-output"]
bills = {"nano": bill(base.config, 2**20), "Qwen1.5-1.8B": bill(QWEN_1_8B, GIB)}
show(nb00.plots.memory_panels(bills, {"nano": "MiB", "Qwen1.5-1.8B": "GiB"}, card=24))

# %% id="reveal-memory"
full = memory(QWEN_1_8B, "full").gib()
reveal("0.B", f"{full['total']:.1f} GiB, of which {full['optimiser']:.1f} GiB are Adam's moments")

# %% [markdown] id="llamacare"
# LlamaCare reports that a Llama-2 of 13 billion weights was tuned on one card of 24 GB, thanks to
# four bits. The plan can check the arithmetic. Sizes are those of the model's configuration; the
# plan's small biases, which Llama lacks, are 0.005 % of it.

# %% id="thirteen" tags=["keep-output"]
LLAMA_13B = {
    "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "vocab_size": 32000,
    "num_attention_heads": 40, "num_key_value_heads": 40, "tie_word_embeddings": False,
}
show(nb00.plots.memory_panels({"Llama-2-13B": bill(LLAMA_13B, GIB)}, {"Llama-2-13B": "GiB"}, card=24))

# %% [markdown] id="thirteen-text"
# In 16 bits the frozen weights alone fill the card. In four bits two thirds of it are free for
# activations. The claim is plausible; what it does to the answers is the question of notebook 02.

# %% [markdown] id="track"
# ## 9. Pick your track
#
# One code, three doors. You can change your mind at any time.

# %% id="pick"
from medmoe_lite.lab.nb00.machine import pick_track

pick_track()

# %% [markdown] id="map"
# ## 10. The map
#
# Eleven notebooks, each with one question. Every one stands alone, so begin where you like. What
# you solve is kept in one small file on this machine; nobody grades it. Come back here to see how
# far you are.

# %% id="course-map"
from medmoe_lite.lab.course_map import course_map

course_map()

# %% [markdown] id="quiz-text"
# ## Quiz

# %% id="quiz"
quiz("00")

# %% [markdown] id="key-points"
# ## Key points
#
# - A base is frozen; thin columns beside it learn; a gate opens and closes them.
# - A closed adapter leaves the base exactly as it was. An open one can push old knowledge aside.
# - LoRA trains $r \, (d_{in} + d_{out})$ numbers a layer. Gradients and Adam's moments are kept
#   for those only.
# - nf4 with double quantisation stores a weight in 4.127 bits.
# - A fluent answer is no sign of knowledge.

# %% [markdown] id="claims-text"
# ## Where the papers stand
#
# Every notebook ends with such a table. It says at which scale a claim was tested, and what was
# seen.

# %% id="claims"
from medmoe_lite.lab.claims import Claim, claims

lora, qlora = (memory(LLAMA_13B, method).gib()["total"] for method in ("lora", "qlora"))
share = memory(QWEN_1_8B, "lora").adapters / 4 / size.total
old, kept = ([run[arm]["drugs, conditions"] for run in runs] for arm in ("off", "on"))
claims([
    Claim("LlamaCare", "A 13B model is tuned on one 24 GB card with four bits.",
          "exact, any scale", f"Before activations: {lora:.1f} GiB in 16 bits, {qlora:.1f} in 4."),
    Claim("MING-MOE", "Only a small share of the parameters is trained.",
          "exact, any scale", f"LoRA of rank 16 on the 1.8B model trains {share:.1%}."),
    Claim("MedCare", "Tuning on new data makes a model forget what it knew.",
          "small model, recorded", f"Old medical facts: {spread(old)}, then {spread(kept)}."),
    Claim("MING-MOE", "It beats GPT-4 on some medical exams.", "not tested here",
          "Needs the real model, the exams, and a check that they were not in its training."),
])

# %% [markdown] id="next"
# ## Next
#
# [01 LoRA by hand](01_lora_by_hand.ipynb): you build what you used here, in six small steps, and
# look inside what it learned.
