"""Three hints for each exercise of notebook 09: a nudge, a plan, the worked solution."""

HINTS = {
    "9.1": (
        "recipe.sources() is a list. Each entry has .key, .paper and .nano. What stands in .paper"
        " where nothing was published?",
        'go through recipe.sources()\nkeep those whose .paper is the word "unknown"\n'
        "return their .key",
        'return [value.key for value in recipe.sources() if value.paper == "unknown"]',
    ),
    "9.2": (
        "Count one block first. A column of a low-rank pair costs d_in + d_out numbers. How many"
        " columns does a target module have? And a plain one?",
        "for each target module: columns = r · (routed experts + shared experts)\n"
        "    add columns · (d_in + d_out), and the router: experts · (d_in + 1)\n"
        "for each plain module: add r · (d_in + d_out)\nreturn layers · the sum",
        "count = 0\nfor name in config.target_modules:\n    d_in, d_out = shapes[name]\n"
        "    columns = config.r * (config.num_experts + config.shared_experts)\n"
        "    count += columns * (d_in + d_out) + config.num_experts * (d_in + 1)\n"
        "for name in config.plain_modules:\n    count += config.r * sum(shapes[name])\n"
        "return layers * count",
    ),
    "9.3": (
        "nf4 with double quantisation: 4 bits a weight, 8 bits a block of 64 weights, 32 bits for"
        " 256 blocks. Who has a gradient? Who has moments?",
        "bits = 4 + 8 / 64 + 32 / (64 · 256), or 16\nweights = linear · bits / 8 + other · 2\n"
        "adapters and gradients: 4 bytes a trained number; Adam: 8",
        "bits = 4 + 8 / 64 + 32 / (64 * 256) if four_bit else 16\nreturn {\n"
        '    "weights": linear * bits / 8 + other * 2,\n    "adapters": trained * 4,\n'
        '    "gradients": trained * 4,\n    "optimiser": trained * 8,\n}',
    ),
    "9.4": (
        "Without checkpointing every block keeps `block` bytes a token. With it, each block keeps"
        " its input alone, `hidden` numbers of 2 bytes. One block at a time is done again in full.",
        "kept = layers · block, or layers · 2 · hidden + block\nactivations = tokens · kept\n"
        "logits = answers · vocab · (2 + 4 + 4)",
        "if checkpointing:\n    kept = sizes['layers'] * 2 * sizes['hidden'] + block\nelse:\n"
        "    kept = sizes['layers'] * block\n"
        "logits = answers * sizes['vocab'] * (2 + 4 + 4)\n"
        "return {'activations': tokens * kept, 'logits': logits}",
    ),
    "9.5": (
        "Add up the bytes and turn them into GiB, 2^30 bytes each. When is it too much? Which part"
        " should the message name?",
        "need = sum of the parts / 2^30 + reserve\nif need > card:\n"
        "    raise ValueError with need, card and the name of the largest part\nreturn need",
        "need = sum(parts.values()) / 2**30 + reserve\nif need > card:\n"
        "    largest = max(parts, key=parts.get)\n"
        '    raise ValueError(f"{need:.1f} of {card} GiB; the largest part: {largest}")\n'
        "return need",
    ),
    "9.6": (
        "One multiplication and one addition for each number and token: 2 operations forward. The"
        " backward pass needs as many for the gradient of the input. Who needs its own gradient?",
        "forward = 2 · (frozen + trained), twice with checkpointing\n"
        "backward = 2 · (frozen + trained) + 2 · trained\n"
        "hours = tokens · (forward + backward) / (tflops · 10^12 · used) / 3600",
        "forward = 2 * (frozen + trained)\nbackward = 2 * (frozen + trained) + 2 * trained\n"
        "each = forward * (2 if checkpointing else 1) + backward\n"
        "return tokens * each / (tflops * 1e12 * used) / 3600",
    ),
    "9.7": (
        "Three dials. Does the loss fall? Does it stay a number? How long are the answers? And one"
        " run has no curve at all: read its bar.",
        "loss up: steps too long\nloss fine, answers cut at the limit: nobody taught the end\n"
        "no number from step 2 on: which epsilon is zero in 16 bits?\n"
        "no curve: what is large, activations and logits or weights?",
        'diagnosis = {\n    "run P": CAUSES[2],\n    "run Q": CAUSES[0],\n'
        '    "run R": CAUSES[1],\n    "run S": CAUSES[3],\n}',
    ),
}
