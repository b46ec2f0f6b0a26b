"""Three hints for each exercise of notebook 10: a nudge, a plan, the worked solution."""

HINTS = {
    "10.1": (
        "Both arms of a seed share its luck. Which number of a seed is free of it? And how sure"
        " is the mean of n such numbers, if all you have is those n?",
        "gaps = ours - other, seed by seed\none gap only: return it, and nan twice\n"
        "half = student_t(level, n - 1) times the standard deviation (n - 1) over sqrt(n)\n"
        "return mean, mean - half, mean + half",
        "gaps = [a - b for a, b in zip(ours, other, strict=True)]\n"
        "n, mean = len(gaps), sum(gaps) / len(gaps)\n"
        "if n < 2:\n    return mean, math.nan, math.nan\n"
        "half = student_t(level, n - 1) * statistics.stdev(gaps) / math.sqrt(n)\n"
        "return mean, mean - half, mean + half",
    ),
    "10.2": (
        "Two questions decide: does the interval lie beyond zero, and does the mean reach the"
        " margin? For 'no less' there is only one: is a loss of the margin shut out?",
        "low is nan: NOT_TESTABLE\n'no less': low above -margin holds, high below it contradicts\n"
        "'less': turn all signs, and low and high change places, then as 'more'\n"
        "'more': low > 0 and mean >= margin holds; high < 0 and mean <= -margin contradicts\n"
        "everything else: NOT_VISIBLE",
        "if math.isnan(low):\n    return NOT_TESTABLE\n"
        'if expect == "no less":\n'
        "    return HOLDS if low > -margin else CONTRADICTED if high < -margin else NOT_VISIBLE\n"
        'if expect == "less":\n    mean, low, high = -mean, -high, -low\n'
        "if low > 0 and mean >= margin:\n    return HOLDS\n"
        "return CONTRADICTED if high < 0 and mean <= -margin else NOT_VISIBLE",
    ),
    "10.3": (
        "Two people write the same card with its fields in another order. Should they get the"
        " same fingerprint? What turns a dict into one certain text?",
        "text = the card as JSON, keys sorted\nreturn the hexadecimal SHA-256 of that text's bytes",
        "text = json.dumps(card, sort_keys=True)\nreturn hashlib.sha256(text.encode()).hexdigest()",
    ),
    "10.4": (
        "Read the fields aloud as one sentence: 'ours' against 'other', on this measure, over"
        " these seeds, must come out so, by this margin. What would prove you wrong?",
        "id: a short name. hypothesis: a sentence\n"
        "arms: two dicts that differ in ONE setting\n"
        "measure: new or near. expect: more, less or no less\n"
        "margin: the smallest gap that counts\n"
        "seeds: three at least. budget_seconds: about 4 s a run",
        'card = {\n    "id": "domains",\n'
        '    "hypothesis": "Learning on other specialties works as well as learning on all of'
        ' them.",\n    "arms": {"ours": {"specialties": "others"}, "other": {"specialties":'
        ' "all"}},\n    "measure": "new",\n    "expect": "no less",\n    "margin": 0.1,\n'
        '    "seeds": [0, 1, 2],\n    "budget_seconds": 40,\n}',
    ),
    "10.5": (
        "More seeds help twice: sqrt(n) grows, and t shrinks. As both depend on n, try one n"
        " after the other.",
        "n = 2\nwhile student_t(0.95, n - 1) times the standard deviation / sqrt(n) is too wide:\n"
        "    n = n + 1\nreturn n",
        "n, spread = 2, statistics.stdev(gaps)\n"
        "while student_t(0.95, n - 1) * spread / math.sqrt(n) > half_width:\n    n = n + 1\n"
        "return n",
    ),
    "10.6": (
        "Look where the stars stand. Is each at the last step? At the same step? In the middle"
        " of its dots?",
        "a star at the peak of a test curve: somebody looked at the test set\n"
        "two stars at different steps: the arms had different training\n"
        "a star on the highest of many dots: somebody chose among seeds",
        'diagnosis = {"run P": CAUSES[1], "run Q": CAUSES[2], "run R": CAUSES[0]}',
    ),
}
