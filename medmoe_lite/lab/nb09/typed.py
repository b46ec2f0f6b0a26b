"""A wrong answer to each exercise of notebook 09, as a person would type it in the cell."""

TYPED = {
    "9.1": (
        "zero-is-unknown",
        """def unknown_values(recipe):
    return [value.key for value in recipe.sources() if not value.paper]
""",
    ),
    "9.2": (
        "no-router",
        """def trainable(config, shapes, layers):
    count = 0
    for name in config.target_modules:
        d_in, d_out = shapes[name]
        count += config.r * (config.num_experts + config.shared_experts) * (d_in + d_out)
    for name in config.plain_modules:
        count += config.r * sum(shapes[name])
    return layers * count
""",
    ),
    "9.3": (
        "no-scales",
        """def resting_bytes(linear, other, trained, four_bit):
    bits = 4 if four_bit else 16
    return {
        "weights": linear * bits / 8 + other * 2,
        "adapters": trained * 4,
        "gradients": trained * 4,
        "optimiser": trained * 8,
    }
""",
    ),
    "9.4": (
        "logits-in-16",
        """def running_bytes(tokens, answers, sizes, block, checkpointing):
    kept = sizes["layers"] * block
    if checkpointing:
        kept = sizes["layers"] * 2 * sizes["hidden"] + block
    return {"activations": tokens * kept, "logits": answers * sizes["vocab"] * 2}
""",
    ),
    "9.5": (
        "does-not-refuse",
        """def plan(parts, card, reserve=1.5):
    return sum(parts.values()) / 2**30 + reserve
""",
    ),
    "9.6": (
        "full-training",
        """def gpu_hours(tokens, frozen, trained, tflops, used, checkpointing):
    each = 6 * (frozen + trained)
    return tokens * each / (tflops * 1e12 * used) / 3600
""",
    ),
    "9.7": (
        "wrong-run S",
        """CAUSES = nb09.failure.CAUSES
diagnosis = {"run P": CAUSES[2], "run Q": CAUSES[0], "run R": CAUSES[1], "run S": CAUSES[5]}
""",
    ),
}
