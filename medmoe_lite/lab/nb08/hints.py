"""Three hints for each exercise of notebook 08: a nudge, a plan, the worked solution."""

HINTS = {
    "8.1": (
        "Which number must a masked place have so that it cannot change a sum? And which, so that"
        " it cannot change a maximum?",
        "inside = the mask as booleans, with one more axis for the features\n"
        "kept = states where inside, 0 elsewhere (torch.where)\n"
        "mean: sum of kept over the tokens, divided by how many are inside\n"
        "max: minus infinity elsewhere, then amax over the tokens\n"
        "last: the largest place that is marked; take that state of each row",
        "inside = mask.bool()[..., None]\nkept = torch.where(inside, hidden, 0.0)\n"
        'if how == "mean":\n    return kept.sum(1) / inside.sum(1)\n'
        'if how == "max":\n    return torch.where(inside, hidden, -torch.inf).amax(1)\n'
        "last = (mask * torch.arange(1, mask.shape[1] + 1)).argmax(1)\n"
        "return kept[torch.arange(len(kept)), last]",
    ),
    "8.2": (
        "Five things in a row: pool, norm, linear, GELU, linear. What stands after the last one?",
        "keep labels and how\nnorm: nn.LayerNorm(width)\ninner: nn.Linear, width to width // 2\n"
        "out: nn.Linear, width // 2 to the number of labels\n"
        "forward: out(gelu(inner(norm(pool(...))))), and nothing after it",
        "super().__init__()\nself.labels, self.how = tuple(labels), how\n"
        "self.norm = nn.LayerNorm(width)\nself.inner = nn.Linear(width, width // 2)\n"
        "self.out = nn.Linear(width // 2, len(self.labels))\n\n"
        "u = pool(hidden, mask, self.how)\nreturn self.out(F.gelu(self.inner(self.norm(u))))",
    ),
    "8.3": (
        "Two cross entropies. F.cross_entropy skips targets of -100 and divides by the rest. Which"
        " token do the logits at place 3 speak of?",
        "lm = cross entropy of logits[:, :-1] and labels[:, 1:], rows and tokens flattened\n"
        "ce = cross entropy of class_logits and classes\nreturn (1 - w) · lm + w · ce",
        "lm = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())\n"
        "ce = F.cross_entropy(class_logits, classes)\nreturn (1 - w) * lm + w * ce",
    ),
    "8.4": (
        "Which of the two trials is the question about? Everything else is a fixed sentence.",
        "find the trial whose drug is the one asked about\n"
        "recall: its sentence, ending in a full stop\n"
        "summary: '{count} of 10, {rule of the label}.'\n"
        "'Recall: ... Summarise: ... Decide: The answer is {label}.'",
        "name, count, condition = next(trial for trial in trials if trial[0] == drug)\n"
        'recall = f"{name} helped {count} of 10 patients with {condition}."\n'
        'summary = f"{count} of 10, {RULES[label]}."\n'
        'return f"Recall: {recall} Summarise: {summary} Decide: The answer is {label}."',
    ),
    "8.5": (
        "Do not look for a label in the text. Look for the whole form, and for the one word in it"
        " that may be a label.",
        "match the whole text: Recall: something, Summarise: something,\n"
        "Decide: The answer is WORD.\nno match: None\nWORD is not one of labels: None",
        'form = r"Recall: .+ Summarise: .+ Decide: The answer is (\\w+)\\."\n'
        "parts = re.fullmatch(form, text)\n"
        "return parts[1] if parts and parts[1] in labels else None",
    ),
    "8.6": (
        "Ask of each reading: what was changed from one point to the next, and should the number"
        " have moved? Then go through FAULTS: `look` says what each fault does.",
        "A: other texts, the same logits\nB: the loss at prompt and padding\n"
        "C: other padding, another label\nD: one feature of eight neighbours\n"
        "E: right only while the answer is there\nF: hardly a logit below zero",
        'faults = {"A": "narrow_chain", "B": "all_tokens", "C": "padding",\n'
        '          "D": "feature_windows", "E": "answer_leak", "F": "logit_activation"}',
    ),
}
