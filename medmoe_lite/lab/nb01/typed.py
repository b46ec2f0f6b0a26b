"""One wrong answer an exercise, as somebody would type it: the learner's run types these first."""

TYPED = {
    "1.1": (
        "alpha-not-divided",
        """
def lora_update(x, A, B, alpha):
    return alpha * (x @ A.T @ B.T)
""",
    ),
    "1.2": (
        "base-not-frozen",
        """
class LoRALinear(nn.Module):
    def __init__(self, base, r, alpha):
        super().__init__()
        self.base, self.alpha = base, alpha
        self.A = nn.Parameter(torch.randn(r, base.in_features) / r)
        self.B = nn.Parameter(torch.zeros(base.out_features, r))

    def forward(self, x):
        return self.base(x) + lora_update(x, self.A, self.B, self.alpha)
""",
    ),
    "1.3": (
        "rest-not-frozen",
        """
def attach_lora(model, targets, r, alpha):
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if name in targets:
                setattr(parent, name, LoRALinear(child, r, alpha))
    return model
""",
    ),
    "1.4": (
        "swapped",
        """
def count_parameters(model):
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return sum(p.numel() for p in model.parameters()), learning
""",
    ),
    "1.5": (
        "changed-the-base",
        """
def merge(layer):
    with torch.no_grad():
        layer.base.weight += (layer.alpha / layer.A.shape[0]) * layer.B @ layer.A
    return layer.base
""",
    ),
    "1.6": (
        "wrong-run P",
        """
CAUSES = nb01.failure.CAUSES
diagnosis = {"run P": CAUSES[4], "run Q": CAUSES[0], "run R": CAUSES[1]}
""",
    ),
}
