"""One wrong answer an exercise, as somebody would type it: the learner's run types these first."""

TYPED = {
    "8.1": (
        "padding-pooled",
        """
def pool(hidden, mask, how):
    if how == "mean":
        return hidden.mean(1)
    if how == "max":
        return hidden.max(1).values
    return hidden[:, -1]
""",
    ),
    "8.2": (
        "activation-on-logits",
        """
class LabelHead(nn.Module):
    def __init__(self, width, labels, how="mean"):
        super().__init__()
        self.labels, self.how = tuple(labels), how
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, width // 2)
        self.out = nn.Linear(width // 2, len(labels))

    def forward(self, hidden, mask):
        u = self.norm(pool(hidden, mask, self.how))
        return F.gelu(self.out(F.gelu(self.inner(u))))
""",
    ),
    "8.3": (
        "no-shift",
        """
def joint_loss(logits, labels, class_logits, classes, w):
    lm = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
    ce = F.cross_entropy(class_logits, classes)
    return (1 - w) * lm + w * ce
""",
    ),
    "8.4": (
        "other-trial",
        """
def three_steps(trials, drug, label):
    name, count, condition = trials[0]
    recall = f"{name} helped {count} of 10 patients with {condition}."
    summary = f"{count} of 10, {RULES[label]}."
    return f"Recall: {recall} Summarise: {summary} Decide: The answer is {label}."
""",
    ),
    "8.5": (
        "guesses",
        """
def read_label(text, labels):
    for label in labels:
        if text.endswith(f"Decide: The answer is {label}."):
            return label
    return labels[-1]
""",
    ),
    "8.6": (
        "wrong-C",
        """
faults = {"A": "narrow_chain", "B": "all_tokens", "C": "fixed_length",
          "D": "feature_windows", "E": "answer_leak", "F": "logit_activation"}
""",
    ),
}
