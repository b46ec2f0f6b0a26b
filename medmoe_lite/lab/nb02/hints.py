"""Three hints for each exercise of notebook 02: a nudge, a plan, the worked solution."""

HINTS = {
    "2.1": (
        "Eight shares between `outer` and 0.5 give the positive levels. How many levels are"
        " negative, so that 16 come out with zero?",
        "up = ndtri of linspace(outer, 0.5, 9), the last one left out\n"
        "down = minus ndtri of linspace(outer, 0.5, 8), the last one left out\n"
        "levels = down, zero, up: concatenated and sorted\nreturn levels divided by the largest",
        "up = torch.special.ndtri(torch.linspace(outer, 0.5, 9)[:-1])\n"
        "down = -torch.special.ndtri(torch.linspace(outer, 0.5, 8)[:-1])\n"
        "levels = torch.cat([down, torch.zeros(1), up]).sort().values\n"
        "return levels / levels.max()",
    ),
    "2.2": (
        "Lay the weights in one row, pad the row with zeros, and view it as (blocks, block). Over"
        " which axis does absmax run now?",
        "flat = weight as one row\ntable = flat padded with zeros, viewed as (-1, block)\n"
        "absmax = largest absolute value along axis 1\n"
        "between = midpoints of neighbouring levels\n"
        "places = torch.bucketize(table / absmax, between), as one row, cut to len(flat)\n"
        "return places as torch.uint8, absmax",
        "flat = weight.flatten()\n"
        "table = nn.functional.pad(flat, (0, -len(flat) % block)).view(-1, block)\n"
        "absmax = table.abs().amax(1)\n"
        "between = (code[:-1] + code[1:]) / 2\n"
        "places = torch.bucketize(table / absmax[:, None], between).flatten()\n"
        "return places[: len(flat)].to(torch.uint8), absmax",
    ),
    "2.3": (
        "code[places.long()] looks all levels up at once. Which weights share a scale: neighbours,"
        " or every third one?",
        "levels = code[places.long()]\n"
        "scales = each absmax repeated block times, neighbours together; cut to len(places)\n"
        "return (levels times scales) in the given shape, then in the given dtype",
        "levels = code[places.long()]\n"
        "scales = absmax.repeat_interleave(block)[: len(places)]\n"
        "return (levels * scales).view(shape).to(dtype)",
    ),
    "2.4": (
        "You have a function that stores numbers in blocks. What has to be taken away first, so"
        " that they lie on both sides of zero?",
        "mean = mean of absmax\nplaces, scales = quantise(absmax - mean, code, 256)\n"
        "return places, scales, mean",
        "mean = absmax.mean()\nplaces, scales = quantise(absmax - mean, code, 256)\n"
        "return places, scales, mean",
    ),
    "2.5": (
        "What must be in memory after __init__, and what must not? A buffer is saved and moved with"
        " the model, and does not learn.",
        "places, absmax = quantise(base.weight, LEVELS); register both as buffers\n"
        "shape, alpha / r, and the base's frozen bias\nA random (r, d_in), B zero (d_out, r)\n"
        "forward: weight = dequantise(...) in the dtype of x\n"
        "         update = scale · x Aᵀ Bᵀ in float32, then in the dtype of x\n"
        "         return linear(x, weight, bias) + update",
        "places, absmax = quantise(base.weight.detach(), LEVELS)\n"
        'self.register_buffer("places", places)\nself.register_buffer("absmax", absmax)\n'
        "self.shape, self.scale = base.weight.shape, alpha / r\n"
        "self.bias = base.requires_grad_(False).bias\n"
        "self.A = nn.Parameter(torch.randn(r, self.shape[1]) / self.shape[1] ** 0.5)\n"
        "self.B = nn.Parameter(torch.zeros(self.shape[0], r))\n\n"
        "weight = dequantise(self.places, self.absmax, LEVELS, self.shape, dtype=x.dtype)\n"
        "bias = None if self.bias is None else self.bias.to(x.dtype)\n"
        "update = self.scale * (x.float() @ self.A.T @ self.B.T)\n"
        "return nn.functional.linear(x, weight, bias) + update.to(x.dtype)",
    ),
    "2.6": (
        "Read the dials from left to right. Are all codes used as in health? Are all blocks worse,"
        " or some of them?",
        "codes as in health, every block wrong: what was stored is right, it is read wrongly\n"
        "outer codes unused, every block a little worse: the scale is too large everywhere\n"
        "the middle code far too often, half of the blocks worse: a few large weights set scales",
        'diagnosis = {"run P": CAUSES[2], "run Q": CAUSES[0], "run R": CAUSES[1]}',
    ),
}
