"""Three hints for each exercise of notebook 06: a nudge, a plan, the worked solution."""

HINTS = {
    "6.1": (
        "Notebook 03 stacked routed experts under each other. Do the same here. Then ask what a"
        " LoRA of rank n·r divides its alpha by.",
        "A: (n, r, d_in) becomes n·r rows\nB: (n, d_out, r): move d_out to the front, then n·r"
        " columns\nalpha_one / (n·r) should be alpha / r",
        "n, r, d_in = A.shape\none_B = B.permute(1, 0, 2).reshape(-1, n * r)\n"
        "return A.reshape(n * r, d_in), one_B, n * alpha",
    ),
    "6.2": (
        "Three terms are added up: base, shared, routed. Which of them has a weight that depends"
        " on the token? Which of them does `closed` shut?",
        "shared_A (n·r, d_in) random, shared_B (d_out, n·r) zero, closed = False\n"
        "y = base(x) + scale times x through shared_A and shared_B\n"
        "if closed: return y\nreturn y + mixture_stacked(x, gate(x), A, B, scale)",
        "d_in, d_out, rank = base.in_features, base.out_features, shared_experts * r\n"
        "self.shared_A = nn.Parameter(torch.randn(rank, d_in) / math.sqrt(3 * d_in))\n"
        "self.shared_B = nn.Parameter(torch.zeros(d_out, rank))\n"
        "self.closed = False\n\n"
        "y = self.base(x) + self.scale * (x @ self.shared_A.T @ self.shared_B.T)\n"
        "if self.closed:\n    return y\n"
        "return y + mixture_stacked(x, self.gate(x), self.A, self.B, self.scale)",
    ),
    "6.3": (
        "What is left is a LoRA of notebook 01. Its class divides alpha by the rank of the whole"
        " pair. The scale was alpha / r, with r the rank of one expert.",
        "rank = rows of shared_A\nleft = LoRALinear(layer.base, rank, alpha so that alpha / rank"
        " is layer.scale)\nput shared_A and shared_B into it\nreturn left",
        "rank = len(layer.shared_A)\nleft = LoRALinear(layer.base, rank, layer.scale * rank)\n"
        "left.A, left.B = layer.shared_A, layer.shared_B\nreturn left",
    ),
    "6.4": (
        "One draw decides for the whole step. What has to happen to the layers when the draw says"
        " open?",
        "closed = rng.random() is below p\nfor each layer: layer.closed = closed",
        "closed = rng.random() < p\nfor layer in layers:\n    layer.closed = closed",
    ),
    "6.5": (
        "Replace every value by its place in the order. How do you find the place of a value"
        " without sorting? Count.",
        "rank of v: how many are smaller, plus half of how many others are equal\n"
        "take the mean off both lists of ranks\n"
        "sum of products, divided by both lengths; 0 where a length is 0",
        "def ranks(values):\n    return [sum(o < v for o in values) + sum(o == v for o in values)"
        " / 2 for v in values]\n\n"
        "a, b = (torch.tensor(ranks(v)) for v in (use, own))\n"
        "a, b = a - a.mean(), b - b.mean()\nsize = a.norm() * b.norm()\n"
        "return float(a @ b / size) if size else 0.0",
    ),
    "6.6": (
        "First the direction: which run adds something that the shared expert does not say? Then"
        " the length: the same factor everywhere, or one for each token?",
        "direction off: something else is still added\n"
        "direction right, one factor at all tokens: a constant is wrong\n"
        "direction right, factor changes with the token: something weighs it",
        'diagnosis = {"run P": CAUSES[2], "run Q": CAUSES[0], "run R": CAUSES[3]}',
    ),
}
