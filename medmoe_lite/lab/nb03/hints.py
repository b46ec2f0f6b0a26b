"""Three hints for each exercise of notebook 03: a nudge, a plan, the worked solution."""

HINTS = {
    "3.1": (
        "One row of logits belongs to one token. Which axis holds the experts? And what has to be"
        " true of the weights of a token when you are done?",
        "p = softmax over the last axis\nbest, chosen = topk of p, over the last axis\n"
        "best = best divided by its own sum\nput best at the places `chosen` of a tensor of zeros"
        " (scatter)",
        "probabilities = logits.softmax(-1)\nbest, chosen = probabilities.topk(k, -1)\n"
        "best = best / best.sum(-1, keepdim=True)\n"
        "return torch.zeros_like(probabilities).scatter(-1, chosen, best)",
    ),
    "3.2": (
        "Expert i is a LoRA of its own: A[i] goes down to r numbers, B[i] goes up. Its weight is"
        " one number a token.",
        "total = 0\nfor each expert i:\n"
        "    answer = x times A[i] transposed times B[i] transposed\n"
        "    total = total + weights[..., i:i+1] times answer\nreturn scale times total",
        "total = 0\nfor i in range(len(A)):\n"
        "    total = total + weights[..., i : i + 1] * (x @ A[i].T @ B[i].T)\nreturn scale * total",
    ),
    "3.3": (
        "Write all A's under each other: (e·r, d_in). Now one product gives the inner numbers of"
        " all experts. Which of the e·r numbers belong to expert 0?",
        "mask = each weight repeated r times, neighbours together     # (..., e·r)\n"
        "inner = x times (A as e·r rows) transposed                   # (..., e·r)\n"
        "B as (d_out, e·r): move the axis d_out to the front, then reshape\n"
        "return scale times (inner times mask) times that B transposed",
        "e, r, d_in = A.shape\nmask = weights.repeat_interleave(r, -1)\n"
        "inner = x @ A.reshape(e * r, d_in).T\n"
        "return scale * (inner * mask) @ B.permute(1, 0, 2).reshape(-1, e * r).T",
    ),
    "3.4": (
        "Three parts: a frozen base, a router (nn.Linear from d_in to the experts), and the pair"
        " A, B with one more axis than in LoRA. What has to be zero at the start?",
        "base frozen; scale = alpha / r, with r the rank of one expert\n"
        "router: nn.Linear(d_in, num_experts)\nA: (e, r, d_in) random, B: (e, d_out, r) zero\n"
        "gate: top_k_weights of the router's logits\nforward: base(x) + mixture_stacked(...)",
        "self.base = base.requires_grad_(False)\nself.top_k, self.scale = top_k, alpha / r\n"
        "self.router = nn.Linear(base.in_features, num_experts)\n"
        "self.A = nn.Parameter(torch.empty(num_experts, r, base.in_features))\n"
        "self.B = nn.Parameter(torch.zeros(num_experts, base.out_features, r))\n"
        "for expert in self.A:\n    nn.init.kaiming_uniform_(expert, a=math.sqrt(5))\n\n"
        "return top_k_weights(self.router(x), self.top_k)\n\n"
        "update = mixture_stacked(x, self.gate(x), self.A, self.B, self.scale)\n"
        "return self.base(x) + update",
    ),
    "3.5": (
        "Which part of the adapter works for every token, whatever the router says?",
        "router = sum of numel over router.parameters()\nexperts = numel of A + numel of B\n"
        "active = router + experts · top_k / e\nreturn active, router + experts",
        "router = sum(p.numel() for p in layer.router.parameters())\n"
        "experts = layer.A.numel() + layer.B.numel()\n"
        "return router + experts * layer.top_k // len(layer.A), router + experts",
    ),
    "3.6": (
        "Three dials. Do the weights sum to one? How many experts are open? Does a gradient reach"
        " the router after the first step?",
        "sum below one: nobody divided by the sum of what was kept\n"
        "one open, sum one: the weight is p / p, whatever the router says\n"
        "two open, sum one, no gradient: something cut the graph",
        'diagnosis = {"run P": CAUSES[2], "run Q": CAUSES[1], "run R": CAUSES[0]}',
    ),
}
