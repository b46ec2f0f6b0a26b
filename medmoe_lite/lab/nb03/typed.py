"""One wrong answer an exercise, as somebody would type it: the learner's run types these first."""

TYPED = {
    "3.1": (
        "no-renormalise",
        """
def top_k_weights(logits, k):
    best, chosen = logits.softmax(-1).topk(k, -1)
    return torch.zeros_like(logits).scatter(-1, chosen, best)
""",
    ),
    "3.2": (
        "last-only",
        """
def mixture_loop(x, weights, A, B, scale):
    for i in range(len(A)):
        total = weights[..., i : i + 1] * (x @ A[i].T @ B[i].T)
    return scale * total
""",
    ),
    "3.3": (
        "still-a-loop",
        """
def mixture_stacked(x, weights, A, B, scale):
    total = 0
    for i in range(len(A)):
        total = total + weights[..., i : i + 1] * (x @ A[i].T @ B[i].T)
    return scale * total
""",
    ),
    "3.4": (
        "base-not-frozen",
        """
class MoLoRALinear(nn.Module):
    def __init__(self, base, num_experts, top_k, r, alpha):
        super().__init__()
        self.base, self.top_k, self.scale = base, top_k, alpha / r
        self.router = nn.Linear(base.in_features, num_experts)
        self.A = nn.Parameter(torch.randn(num_experts, r, base.in_features) / r)
        self.B = nn.Parameter(torch.zeros(num_experts, base.out_features, r))

    def gate(self, x):
        return top_k_weights(self.router(x), self.top_k)

    def forward(self, x):
        return self.base(x) + mixture_stacked(x, self.gate(x), self.A, self.B, self.scale)
""",
    ),
    "3.5": (
        "no-router",
        """
def count_adapter(layer):
    whole = layer.A.numel() + layer.B.numel()
    return whole * layer.top_k // len(layer.A), whole
""",
    ),
    "3.6": (
        "wrong-run Q",
        """
CAUSES = nb03.failure.CAUSES
diagnosis = {"run P": CAUSES[2], "run Q": CAUSES[0], "run R": CAUSES[0]}
""",
    ),
}
