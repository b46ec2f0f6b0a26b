"""Three hints for each exercise of notebook 01: a nudge, a plan, the worked solution."""

HINTS = {
    "1.1": (
        "A maps d_in numbers to r numbers, B maps r numbers to d_out. Which comes first?",
        "r is the number of rows of A\ndown = x times A transposed        # (..., r)\n"
        "up = down times B transposed       # (..., d_out)\nreturn up times alpha / r",
        "r = A.shape[0]\nreturn (x @ A.T @ B.T) * (alpha / r)",
    ),
    "1.2": (
        "At the start the layer must compute exactly what the base computes. Which of A and B has"
        " to be zero for that, and why not both?",
        "freeze the base: base.requires_grad_(False)\nA: nn.Parameter, (r, d_in), random\n"
        "B: nn.Parameter, (d_out, r), zero\nforward: base output + lora_update",
        "self.base, self.alpha = base.requires_grad_(False), alpha\n"
        "self.A = nn.Parameter(torch.empty(r, base.in_features))\n"
        "self.B = nn.Parameter(torch.zeros(base.out_features, r))\n"
        "nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))\n\n"
        "return self.base(x) + lora_update(x, self.A, self.B, self.alpha)",
    ),
    "1.3": (
        "A layer cannot replace itself. Its parent can: setattr(parent, name, new_layer).",
        "if some module is a LoRALinear already: return model\nfreeze the whole model\n"
        "for each parent in list(model.modules()):\n"
        "    for each (name, child) in list(parent.named_children()):\n"
        "        if name is a target and child is an nn.Linear: replace it in the parent\n"
        "return model",
        "if any(isinstance(module, LoRALinear) for module in model.modules()):\n"
        "    return model\n"
        "model.requires_grad_(False)\n"
        "for parent in list(model.modules()):\n"
        "    for name, child in list(parent.named_children()):\n"
        "        if name in targets and isinstance(child, nn.Linear):\n"
        "            setattr(parent, name, LoRALinear(child, r, alpha))\n"
        "return model",
    ),
    "1.5": (
        "W x + s B A x = (W + s B A) x. Make a new layer; leave the old one as it is.",
        "merged = a new nn.Linear of the same sizes\ncopy the base's weight and bias into it\n"
        "without gradients: add (alpha / r) times B @ A to its weight\nreturn merged",
        "merged = copy.deepcopy(layer.base)\nwith torch.no_grad():\n"
        "    merged.weight += (layer.alpha / layer.A.shape[0]) * layer.B @ layer.A\nreturn merged",
    ),
    "1.4": (
        "model.parameters() yields tensors. A tensor knows how many numbers it holds.",
        "learning = sum of p.numel() where p.requires_grad\nall = sum of p.numel()\n"
        "return learning, all",
        "learning = sum(p.numel() for p in model.parameters() if p.requires_grad)\n"
        "return learning, sum(p.numel() for p in model.parameters())",
    ),
    "1.6": (
        "Ask three questions of each curve. Where does it start? Does it move? Does it stay down?",
        "starts too high: something was added before the first step\n"
        "does not move: no gradient\njumps up and down: the steps are too large",
        'diagnosis = {"run P": CAUSES[2], "run Q": CAUSES[0], "run R": CAUSES[1]}',
    ),
}
