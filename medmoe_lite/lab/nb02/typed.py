"""One wrong answer an exercise as a person would type it: exercise -> (mistake, cell)."""

TYPED = {
    "2.1": (
        "not-normalised",
        """def code_book(outer=0.9677083):
    up = torch.special.ndtri(torch.linspace(outer, 0.5, 9)[:-1])
    down = -torch.special.ndtri(torch.linspace(outer, 0.5, 8)[:-1])
    return torch.cat([down, torch.zeros(1), up]).sort().values
""",
    ),
    "2.2": (
        "wrong-axis",
        """def quantise(weight, code, block=64):
    flat = weight.flatten()
    table = nn.functional.pad(flat, (0, -len(flat) % block)).view(-1, block)
    absmax = table.abs().amax(0)
    between = (code[:-1] + code[1:]) / 2
    places = torch.bucketize(table / absmax, between).flatten()
    return places[: len(flat)].to(torch.uint8), absmax
""",
    ),
    "2.3": (
        "tiled",
        """def dequantise(places, absmax, code, shape, block=64, dtype=torch.float32):
    scales = absmax.repeat(block)[: len(places)]
    return (code[places.long()] * scales).view(shape).to(dtype)
""",
    ),
    "2.4": (
        "block-of-64",
        """def double_quantise(absmax, code):
    mean = absmax.mean()
    places, scales = quantise(absmax - mean, code)
    return places, scales, mean
""",
    ),
    "2.5": (
        "full-weight-kept",
        """class QLoRALinear(nn.Module):
    def __init__(self, base, r, alpha):
        super().__init__()
        self.base = base.requires_grad_(False)
        places, absmax = quantise(base.weight, LEVELS)
        self.register_buffer("places", places)
        self.register_buffer("absmax", absmax)
        self.scale = alpha / r
        self.A = nn.Parameter(torch.randn(r, base.in_features) / base.in_features**0.5)
        self.B = nn.Parameter(torch.zeros(base.out_features, r))

    def forward(self, x):
        weight = dequantise(self.places, self.absmax, LEVELS, self.base.weight.shape, dtype=x.dtype)
        update = self.scale * (x.float() @ self.A.T @ self.B.T)
        return nn.functional.linear(x, weight, self.base.bias) + update.to(x.dtype)
""",
    ),
    "2.6": (
        "wrong-run P",
        """CAUSES = nb02.failure.CAUSES
diagnosis = {"run P": CAUSES[3], "run Q": CAUSES[0], "run R": CAUSES[1]}
""",
    ),
}
