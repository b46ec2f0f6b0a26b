# %% [markdown] id="title" minutes=60
# # 10 Reproduction lab
#
# **The question.** Can I trust a claim? And how do I test one of my own so that others can trust
# it?
#
# - Reading and building: about one hour. Computing: about one minute on a laptop.
# - You need: to know that an adapter is trained with a seed. Notebook 01 is enough.
# - You do not need: a GPU, a network, or statistics beyond mean and standard deviation.
#
# You build the interval and the rule that gave every verdict of this course, write down a claim
# before you test it, test it over seeds, and put it into the ledger beside those of four papers.

# %% [markdown] id="predictions"
# ## Guess first
#
# Pick an answer before you go on. Nobody grades it. You will see it again beside the result.

# %% id="predict-best"
predict(
    "10.A",
    "Two methods are equally good. You run ten seeds of the first and report the best, and one "
    "of the second. How often are you at least 0.05 ahead?",
    ["about 1 time in 20", "about 1 time in 5", "more than half of the time"],
)

# %% id="predict-domains"
predict(
    "10.B",
    "A way of answering is learnt on conditions of some specialties. How well does it work on "
    "specialties that it was never taught?",
    ["about as well as if it had been", "clearly worse, by 0.10 or more", "not at all"],
)

# %% [markdown] id="idea"
# ## The idea
#
# A score has luck in it: of the seed, of the items, of the moment at which somebody looked. A
# claim can be trusted when its test left luck no way in.
#
# - **Before the runs**: a card fixes the arms, the measure, the seeds, and the rule.
# - **The runs**: both arms with the same seeds, all else equal.
# - **After them**: the gap of each pair, an interval, the verdict of the rule. No other.

# %% id="diagram" tags=["keep-output"]
from medmoe_lite.lab import nb10

show(nb10.diagram.path_of_a_claim())

# %% id="imports"
import hashlib
import json
import math
import statistics

from medmoe_lite.lab import about, ladder
from medmoe_lite.lab.recorded import recorded
from medmoe_lite.measure.stats import student_t
from medmoe_lite.reproduce.verdict import CONTRADICTED, HOLDS, NOT_TESTABLE, NOT_VISIBLE

# %% [markdown] id="step-1"
# ## Step 1: the gap and its interval
#
# A lucky seed helps both arms: the same start, the same order of items. So take the gap of each
# seed first. Its mean over $n$ seeds has the interval
#
# $$\bar{d} \pm t_{n-1} \, \frac{s}{\sqrt{n}}$$
#
# with $s$ the standard deviation of the gaps and $t_{n-1}$ Student's factor, which
# `student_t(level, n - 1)` gives: 1.96 for many seeds, 4.30 for three.
#
# **Exercise 10.1** (medium, 10 minutes). Return mean, low and high. One seed has no interval:
# return `math.nan` for both ends. Why it matters: with the wrong factor, three seeds look as sure
# as thirty. Stuck? Type `hint("10.1")`.

# %% id="ex-interval"
def paired_interval(ours, other, level=0.95):
    """Two lists, one number a seed -> (mean of ours - other, low end, high end)"""
    ### BEGIN SOLUTION
    gaps = [a - b for a, b in zip(ours, other, strict=True)]
    n, mean = len(gaps), sum(gaps) / len(gaps)
    if n < 2:
        return mean, math.nan, math.nan
    half = student_t(level, n - 1) * statistics.stdev(gaps) / math.sqrt(n)
    return mean, mean - half, mean + half
    ### END SOLUTION

# %% id="check-interval"
check("10.1", paired_interval)

# %% id="use-interval"
paired_interval = use("10.1", paired_interval)

# %% [markdown] id="interval-text"
# Try it on the recorded ladder. MedCare warns that a model forgets its facts when it goes on to
# learn formats. Below: the share of facts it answers, before and after, one number a seed.

# %% id="interval-ladder"
after = ladder.numbers("forgetting", "formats only", "heldout")
before = ladder.numbers("forgetting", "after stage 1", "heldout")
print("before:", before)
print("after: ", after)
print("gap:   ", nb10.claims.interval(*paired_interval(after, before)), "| recorded")

# %% [markdown] id="step-2"
# ## Step 2: the rule
#
# | the card expects | holds | contradicted |
# |---|---|---|
# | more | low > 0 and mean >= margin | high < 0 and mean <= -margin |
# | less | the same with all signs turned | |
# | no less | low > -margin | high < -margin |
#
# All else is *not visible here*. The margin is the smallest gap that would matter to somebody.
#
# **Exercise 10.2** (medium, 10 minutes). Write the rule. Where the ends are `nan`, nothing can be
# said: `NOT_TESTABLE`. Why it matters: "not visible" is not "no". A rule that mixes them up turns
# every small study into a refutation.

# %% id="ex-rule"
def judge(mean, low, high, expect, margin):
    """-> HOLDS, NOT_VISIBLE, CONTRADICTED or NOT_TESTABLE"""
    ### BEGIN SOLUTION
    if math.isnan(low):
        return NOT_TESTABLE
    if expect == "no less":
        return HOLDS if low > -margin else CONTRADICTED if high < -margin else NOT_VISIBLE
    if expect == "less":
        mean, low, high = -mean, -high, -low
    if low > 0 and mean >= margin:
        return HOLDS
    return CONTRADICTED if high < 0 and mean <= -margin else NOT_VISIBLE
    ### END SOLUTION

# %% id="check-rule"
check("10.2", judge)

# %% id="use-rule"
judge = use("10.2", judge)

# %% [markdown] id="parity-text"
# ## The same as the package?
#
# The ladder's verdicts come from `medmoe_lite.reproduce.verdict`. Your rule reads the same
# recorded intervals. (The package knows a fourth direction, "same".)

# %% id="parity"
effects = nb10.claims.effects()
mine = [e for e in effects if e["expect"] in ("more", "less", "no less")]
print("effects in the ladder that your rule can judge:", len(mine))
print("same verdict as the package:                   ", nb10.claims.agreement(mine, judge))

# %% [markdown] id="many-text"
# ## Many tests
#
# At 95 %, one interval in twenty misses by chance. Whoever tests $m$ effects can ask each at
# $1 - 0.05 / m$ (Bonferroni): then all of them together miss with 5 % at most. It costs width.

# %% id="many"
level = 1 - 0.05 / len(effects)
plain, strict = (nb10.claims.judged(effects, judge, at) for at in (0.95, level))
print(f"{len(effects)} effects; if none were real, {0.05 * len(effects):.1f} would miss zero")
for said in (HOLDS, NOT_VISIBLE, CONTRADICTED):
    print(f"{said:18} at 95 %: {plain.count(said):2}   at {level:.2%}: {strict.count(said):2}")

# %% [markdown] id="habits-text"
# ## Why write anything down?
#
# The rule is honest only if the choice of numbers is. Let us try six habits on 2000 invented
# studies each. **Both arms are equal**, and only the seed's noise differs. How often does a habit
# report a gain of 0.05?

# %% id="habits" tags=["keep-output"]
noise = nb10.simulate.noise_of(ladder.ladder())
print(f"noise of a score: {nb10.simulate.NOISE} here, {noise:.3f} in the ladder (median)")
shares = nb10.simulate.shares()
show(nb10.plots.habits(shares, "Gains found where there is none (this run, simulated)"))

# %% id="habits-reveal"
reveal("10.A", f"in {shares['best of 10 seeds']:.0%} of the studies, though nothing is there")

# %% [markdown] id="step-3"
# ## Step 3: a card that shows every change
#
# The cure is old: say first what will count. A fingerprint makes it hard to forget what was said.
#
# **Exercise 10.3** (easy, 5 minutes). Return the SHA-256 of a card, in hexadecimal. The order of
# the fields, inner ones too, must not matter. Why it matters: two people with the same card must
# get the same 64 digits, in any process, on any machine.

# %% id="ex-fingerprint"
def fingerprint(card):
    """dict -> 64 hexadecimal digits"""
    ### BEGIN SOLUTION
    text = json.dumps(card, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
    ### END SOLUTION

# %% id="check-fingerprint"
check("10.3", fingerprint)

# %% id="use-fingerprint"
fingerprint = use("10.3", fingerprint)

# %% [markdown] id="step-4" seeds="LlamaCare.next-3"
# ## Step 4: your card
#
# A next check for LlamaCare is other domains. Here is such a test for a laptop. The base knows 64
# conditions. An adapter learns to answer as in a chart ("wheezing (chart)") on some of them. We
# ask it about others, of two specialties: neurology and psychiatry. All of it is teaching data
# and no advice.
#
# | setting | values | default |
# |---|---|---|
# | specialties | "others": none of the tested ones; "all" | "others" |
# | conditions | 4, 8, 16 to learn from | 16 |
# | rank | 2, 8, 16 | 8 |

# %% [markdown] id="step-4-exercise"
# **Exercise 10.4** (easy, 10 minutes). Fill in a card. Why it matters: whatever you leave open now,
# you will choose later, knowing the result.
#
# - `id` (a short name) and `hypothesis` (a sentence that could turn out false)
# - `arms`: "ours" and "other", each a dict of settings; they differ in one
# - `measure`: "new" (tested specialties) or "near" (the others); unseen conditions in both
# - `expect`, `margin`, `seeds`, and `budget_seconds` (about 4 a run, 60 at most)

# %% id="ex-card"
### BEGIN SOLUTION
card = {
    "id": "domains",
    "hypothesis": "Learning on other specialties works as well as learning on all of them.",
    "arms": {"ours": {"specialties": "others"}, "other": {"specialties": "all"}},
    "measure": "new",
    "expect": "no less",
    "margin": 0.1,
    "seeds": [0, 1, 2],
    "budget_seconds": 40,
}
### END SOLUTION

# %% id="check-card"
check("10.4", card)

# %% id="use-card"
card = use("10.4", card)

# %% [markdown] id="register-text"
# Register it **before** the experiment. The file goes to your own folder, whole or not at all.
# A second registration does not replace the first: it stands behind it.

# %% id="register"
nb10.card.register(card, fingerprint)
nb10.card.report(card, fingerprint)

# %% id="tamper"
later = {**card, "margin": card["margin"] / 2}
nb10.card.report(later, fingerprint)
try:
    nb10.own.run_all(later, fingerprint)
except ValueError as refused:
    print("The experiment says:", refused)

# %% [markdown] id="tamper-text"
# In your own folder the fingerprint guards against slips, not against cheats. To bind yourself,
# send the 64 digits to somebody, or commit them, before you run.

# %% [markdown] id="step-5"
# ## Step 5: the experiment
#
# Three seeds, two arms, six small trainings. A seed sets the adapter's start, the order of the
# items, and which conditions are left for the test. The test conditions of a seed are the same in
# both arms. If you stop it, the next call goes on where it was.

# %% id="run"
runs = nb10.own.run_all(card, fingerprint)

# %% id="pairs" tags=["keep-output"]
columns = nb10.own.columns(card, runs)
gap = paired_interval(*columns.values())
rule = (card["margin"], card["expect"])
show(nb10.plots.pairs(columns, gap, *rule, f"Your claim (this run, {len(card['seeds'])} seeds)"))

# %% id="verdict" tags=["nbval-ignore-output"]
verdict = judge(*gap, card["expect"], card["margin"])
nb10.card.report(card, fingerprint)
print("Hypothesis:", card["hypothesis"])
print(f"Gap {about(gap[0], 2)}, 95 % interval {about(gap[1], 2)} to {about(gap[2], 2)}")
print(f"The card expects {card['expect']!r}, margin {card['margin']}. Verdict: {verdict}")

# %% [markdown] id="step-6"
# ## Step 6: how many seeds?
#
# If the interval is too wide to decide, the card asked too little of its runs. The spread you have
# now tells how many seeds the next card needs.
#
# **Exercise 10.5** (medium, 10 minutes). Return the smallest number of seeds, from 2 on, for which
# half of the 95 % interval is no wider than `half_width`, if the gaps spread as these do. Why it
# matters: $t$ shrinks as $n$ grows, so the usual one-line formula promises too much.

# %% id="ex-seeds"
def seeds_needed(gaps, half_width):
    """gaps of the seeds so far, the half width you want -> number of seeds"""
    ### BEGIN SOLUTION
    n, spread = 2, statistics.stdev(gaps)
    while student_t(0.95, n - 1) * spread / math.sqrt(n) > half_width:
        n = n + 1
    return n
    ### END SOLUTION

# %% id="check-seeds"
check("10.5", seeds_needed)

# %% id="use-seeds"
seeds_needed = use("10.5", seeds_needed)

# %% id="seeds-live" tags=["nbval-ignore-output"]
gaps = [a - b for a, b in zip(*columns.values(), strict=True)]
half = (gap[2] - gap[1]) / 2
print(f"half of your interval: {about(half, 2)}; your margin: {card['margin']}")
print("seeds for a half as wide as the margin:", seeds_needed(gaps, card["margin"]))
print("seeds for a half of 0.02:              ", seeds_needed(gaps, 0.02))

# %% [markdown] id="recorded-text"
# ## The example card, with more seeds
#
# The card of the worked solution was recorded with other seeds than yours. Rule and margin are the
# same, so a different verdict comes from the number of seeds. It ran beside a second question:
# what do 16 conditions to learn from give, against 4?

# %% id="recorded"
runs_of = recorded("10_domains")["runs"]
others, everything, few = (
    nb10.claims.arm(runs_of, name)
    for name in ("other specialties", "all specialties", "4 conditions")
)
asked = (("other - all specialties", everything, "no less"), ("16 - 4 conditions", few, "more"))
for name, reference, expect in asked:
    found = paired_interval(others, reference)
    told = f"{nb10.claims.interval(*found)}, {len(others)} seeds: {judge(*found, expect, 0.1)}"
    print(f"{name:24}{told} (expects {expect}, margin 0.1)")

# %% id="recorded-reveal"
crossing = nb10.claims.crossing(paired_interval(others, everything))
reveal("10.B", f"{crossing}, {len(others)} seeds; right answers {statistics.fmean(others):.2f}")

# %% [markdown] id="fit-text" seeds="MING.fail-3"
# ## Learnt, or learnt by heart?
#
# MING-MOE's failure signature: good on the training tasks, poor beyond them. So score the training
# items, too. They never decide a claim. What they have more than new items was learnt by heart.

# %% id="fit-figure" tags=["keep-output"]
measures = ("seen", "near", "new")
fits = {
    label: {m: nb10.claims.arm(runs_of, arm, m) for m in measures}
    for label, arm in (("16 conditions", "other specialties"), ("4 conditions", "4 conditions"))
}
show(nb10.plots.fitting(fits, f"Training items and new ones (recorded, {len(others)} seeds)"))

# %% id="fit-gap"
for label, columns_of in fits.items():
    found = nb10.claims.interval(*paired_interval(columns_of["seen"], columns_of["new"]), 2)
    print(f"{label:14} training items - new ones: {found}")

# %% [markdown] id="slices-text" seeds="MING.next-2"
# ## Slices
#
# Does it work for everybody? A next check for MING-MOE is the score by specialty and group of
# patients. There are no patients here, so this is an exercise in method. Each specialty gets an
# interval over **conditions**: the four questions about one stand or fall together.

# %% id="slices" tags=["keep-output"]
by_seed = {run["seed"]: run for run in runs_of if run["arm"] == "other specialties"}
scores = nb10.slices.by_condition(by_seed)
found = nb10.slices.table(scores)
show(nb10.plots.slices(found, f"Right answers by specialty (recorded, {len(by_seed)} seeds)"))

# %% id="slices-lowest"
name, below, chance, share = nb10.slices.lowest(scores)
size = next(one.n for one in found if one.name == name)
print(f"Lowest of {len(found)} slices: {name}, {below:.2f} below the mean, {size} conditions.")
print(f"Conditions dealt to slices at random: the lowest is {chance:.2f} below, on average.")
print(f"A gap of this size or more comes in {share:.0%} of the deals.")
few_of = [one.name for one in found if one.small]
print(f"Too small for any statement (under {nb10.slices.FEW} conditions): {len(few_of)} slices.")

# %% [markdown] id="slices-reading"
# Of many slices one is always the lowest. A gap counts when chance seldom makes one as large. And
# a slice of three cannot be cleared either: nothing found in it is not nothing there.

# %% [markdown] id="change-text" seeds="MING.next-3"
# ## Facts that change
#
# Medicine changes, a model does not by itself. To test stability, ask four things after an update:
# is the new value there, is the old one gone, did its **neighbours** stay, and what is far away?
# Six conditions get a new register code. One seed: a method, no verdict.

# %% id="change"
states = {}
for state in ("before", *nb10.change.ARMS):
    known = nb10.change.before() if state == "before" else nb10.change.update(state)
    told = ", ".join(f"{aspect} {about(share, 2)}" for aspect, share in known.items())
    print(f"{state}: {told}", flush=True)
    states[state] = known

# %% id="change-figure" tags=["keep-output"]
show(nb10.plots.change(states, nb10.change.SHOULD, "After an update (this run, one seed)"))

# %% [markdown] id="change-reading"
# Whoever asks only for the new value sees a perfect update. The damage, where there is any, shows
# in what nobody meant to change. Ask for it at every update, with the same questions.

# %% [markdown] id="data-text" seeds="MedCare.open-1 MING.open-2"
# ## More data, larger models
#
# How small may MedCare's stage-1 corpus be? What would MING-MOE gain from more than its 300,000
# samples? The ladder's curve is over shares of one set of facts. Each fact is independent of the
# rest, so coverage sets the limit. Diverse text, where facts support each other, may differ.

# %% id="data"
print(*nb10.claims.corpus(), sep="\n")
print(nb10.claims.smallest_corpus(margin=0.1))

# %% id="data-figure" tags=["keep-output"]
ladder.show_claim("corpus")

# %% [markdown] id="sizes-text" seeds="LlamaCare.open-3"
# LlamaCare was trained in one size, and so is `nano`: nothing here can say how a claim scales.
# MedCare publishes three sizes. The loss of exam points in stage 2 falls with size, in one run
# each. Your rule knows what that is worth.

# %% id="sizes"
for size, lost in nb10.claims.published_sizes():
    single = judge(*paired_interval([-lost], [0.0]), "less", 0.5)
    print(f"{size:>5}: {lost:.2f} points lost, published, one run: {single}")
print("Three sizes, three runs: a trend to test with seeds, not a law.")

# %% [markdown] id="clinic" seeds="MING.next-1 MedCare.next-3"
# ## What cannot be done here
#
# Does a model help a clinician? No notebook can say. It takes a study, and this is its protocol:
#
# - **Before**: ethics approval, a registered plan, one primary outcome, a margin set by clinicians.
# - **Cases**: drawn in sequence from one place and time the model never saw, consent, no names.
# - **Arms**: clinicians with and without the tool, cases assigned at random, order crossed over.
# - **Judging**: two clinicians who do not know the arm; a third where they differ; agreement
#   reported.
# - **Safety**: harmful answers counted one by one, by a rule written before; the study stops at
#   a number fixed before.
# - **Report**: all cases, slices, nulls. How many cases? More than one hopes:

# %% id="clinic-size"
for first, second in ((0.60, 0.70), (0.60, 0.65), (0.60, 0.62)):
    cases = nb10.claims.cases_needed(first, second)
    print(f"{first:.0%} against {second:.0%}: {cases:,} cases in each arm (95 %, power 80 %)")

# %% [markdown] id="break"
# ## Break it
#
# Three reports say that "ours" is better. All their numbers are true, and their arms are equal.
# You have the logs: every score that was ever computed. A star marks each number that the report
# quotes (where a dot is a seed, the grey one is a mean). What did each of them do?

# %% id="reports" tags=["keep-output"]
reports = {run: nb10.failure.report(cause) for run, cause in nb10.failure.SICK.items()}
show(nb10.plots.reports(reports))
for cause in nb10.failure.CAUSES:
    print("possible cause:", cause)

# %% [markdown] id="diagnosis-text"
# **Exercise 10.6** (medium, 5 minutes). Name the cause of each: one of `CAUSES`, written as
# `{"run P": CAUSES[0], ...}`. Why it matters: no reader can see this from a table. It takes the
# log, or the card.

# %% id="ex-diagnosis"
CAUSES = nb10.failure.CAUSES
### BEGIN SOLUTION
diagnosis = {"run P": CAUSES[1], "run Q": CAUSES[2], "run R": CAUSES[0]}
### END SOLUTION

# %% id="check-diagnosis"
check("10.6", diagnosis)

# %% [markdown] id="repair-text"
# Now switch the mistake off: last step, equal steps, five seeds each, all of them reported.

# %% id="repair"
for run, one in reports.items():
    found = paired_interval(*nb10.failure.repaired(run))
    told = f"{nb10.claims.interval(*found, 2)}: {judge(*found, 'more', 0.05)}"
    print(f"{run} reported {one.gain:+.2f}; asked honestly {told}")

# %% [markdown] id="browser-text"
# ## The claim ledger
#
# Every claim of the four papers that this course has tested, and your own in front. Filter by
# paper or verdict, pick a claim, read what was held equal. A tick is a seed, the beige band is the
# margin. Claims that were not visible, contradicted or not run stand beside the others.

# %% id="own-row" tags=["nbval-ignore-output"]
own = nb10.own.row_of(card, runs)
print(f"Your row: {own['title']}\n   {own['verdict']}\n   {own['why']}")

# %% id="browser" tags=["keep-output", "nbval-ignore-output"]
# an explorer of the ledger: three lists, a picture, the words of the claim
nb10.browser.ledger_explorer(own)

# %% id="overview" tags=["nbval-ignore-output"]
for paper, found in nb10.browser.overview(own).items():
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(found.items()))
    print(f"{paper:14}{told}")

# %% [markdown] id="quiz-text"
# ## Quiz

# %% id="quiz"
quiz("10")

# %% [markdown] id="key-points"
# ## Key points
#
# - A gap is taken seed by seed. Its interval uses Student's factor, which is large for few seeds.
# - The margin says what would matter, the interval what is known. Both decide.
# - "Not visible here" is neither yes nor no. A null with a narrow interval says a lot, with a wide
#   one nothing.
# - What is chosen after the result makes results: seeds, checkpoints, measures, margins.
# - Write the card first, report all of it, and put new ideas on new cards with new seeds.

# %% [markdown] id="papers-text"
# ## Where the papers stand
#
# Written from the recorded ladder. Two of these rows are headlines that no small model can test.
# They stay in the ledger, because a claim that was not tested is not a claim that failed.

# %% id="papers"
ladder.ledger("corpus", "benchmarks", "exams")

# %% [markdown] id="next"
# ## Next
#
# Change the card: other arms, another measure, a new `id`. Then go to where claims are code:
# `medmoe reproduce --list`, and `medmoe_lite/reproduce/claims_medcare.py` for how one is written.
# [00 Start here](00_start_here.ipynb) shows what you have solved.
