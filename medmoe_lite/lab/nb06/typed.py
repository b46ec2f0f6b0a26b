"""One wrong answer an exercise, as somebody would type it: the learner's run types these first."""

TYPED = {
    "6.1": (
        "alpha-unchanged",
        """
def join_shared(A, B, alpha):
    n, r, d_in = A.shape
    return A.reshape(n * r, d_in), B.permute(1, 0, 2).reshape(-1, n * r), alpha
""",
    ),
    "6.2": (
        "shared-scale",
        """
class KnowledgeNoiseLinear(MoLoRALinear):
    def __init__(self, base, num_experts, top_k, r, alpha, shared_experts):
        super().__init__(base, num_experts, top_k, r, alpha)
        rank = shared_experts * r
        self.closed, self.shared_scale = False, alpha / rank
        self.shared_A = nn.Parameter(torch.randn(rank, base.in_features) / rank)
        self.shared_B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        y = self.base(x) + self.shared_scale * (x @ self.shared_A.T @ self.shared_B.T)
        if self.closed:
            return y
        return y + mixture_stacked(x, self.gate(x), self.A, self.B, self.scale)
""",
    ),
    "6.3": (
        "pair-not-loaded",
        """
def drop(layer):
    rank = len(layer.shared_A)
    return LoRALinear(layer.base, rank, layer.scale * rank)
""",
    ),
    "6.4": (
        "layer-by-layer",
        """
def close_noise(layers, p, rng):
    for layer in layers:
        layer.closed = rng.random() < p
""",
    ),
    "6.5": (
        "order-not-ranks",
        """
def rank_correlation(use, own):
    a, b = (torch.tensor(v).argsort().double() for v in (use, own))
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / (a.norm() * b.norm()))
""",
    ),
    "6.6": (
        "wrong-run R",
        """
CAUSES = nb06.failure.CAUSES
diagnosis = {"run P": CAUSES[2], "run Q": CAUSES[0], "run R": CAUSES[2]}
""",
    ),
}
