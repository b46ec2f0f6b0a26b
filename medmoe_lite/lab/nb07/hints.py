"""Three hints for each exercise of notebook 07: a nudge, a plan, the worked solution."""

HINTS = {
    "7.1": (
        "Two separate questions: which adapters take part in the forward pass, and which numbers"
        " get a gradient? One call answers the first for both adapters at once, and changes the"
        " second on the way.",
        'open both: model.base_model.set_adapter(["default", "alignment"])\n'
        "for each named parameter:\n"
        '    it learns if "alignment" is a part of its name,\n'
        '    or if learn_knowledge is true and "default" is a part of its name\n'
        "return model",
        'model.base_model.set_adapter(["default", "alignment"])\n'
        "for name, parameter in model.named_parameters():\n"
        '    parts = name.split(".")\n'
        '    known = learn_knowledge and "default" in parts\n'
        '    parameter.requires_grad_("alignment" in parts or known)\n'
        "return model",
    ),
    "7.2": (
        "The rows of A are what an adapter reads. One product of matrices compares every row of"
        " one with every row of the other.",
        "total = 0\nfor each pair (a_k, a_a):\n"
        "    total = total + sum of the absolute values of a_k times a_a transposed\n"
        "return total",
        "return sum((a_k @ a_a.T).abs().sum() for a_k, a_a in pairs)",
    ),
    "7.3": (
        "A cosine does not change when a row is multiplied by a number. Which length has a row"
        " before you multiply?",
        "for each pair: bring every row of both to length 1 (last axis)\n"
        "    cosines = one times the other transposed\n    layer = mean of cosines squared\n"
        "return the mean of all layers",
        "layers = []\nfor a_k, a_a in pairs:\n"
        "    a_k = a_k / a_k.norm(dim=-1, keepdim=True)\n"
        "    a_a = a_a / a_a.norm(dim=-1, keepdim=True)\n"
        "    layers.append((a_k @ a_a.T).square().mean())\nreturn torch.stack(layers).mean()",
    ),
    "7.4": (
        "Angles belong to the spaces, not to the rows that happen to span them. What do you need"
        " of each space first?",
        "q_k = orthonormal basis of the rows of a_k: QR of its transpose\nq_a = likewise\n"
        "cosines = singular values of q_k transposed times q_a, at most 1\n"
        "return acos of them, in degrees",
        "q_k, q_a = torch.linalg.qr(a_k.T).Q, torch.linalg.qr(a_a.T).Q\n"
        "cosines = torch.linalg.svdvals(q_k.T @ q_a).clamp(max=1)\n"
        "return cosines.acos().rad2deg()",
    ),
    "7.5": (
        "How far does a row go along a direction q? That is one number, a · q. Subtract that much"
        " of q from the row.",
        "along = a times q            # (r, m), how far each row goes along each direction\n"
        "part = along times q transposed   # (r, d)\nreturn a minus part",
        "return a - a @ q @ q.T",
    ),
    "7.6": (
        "Four dials. Does the overlap fall? Is the term that is added to the loss large, small,"
        " zero at the start? Is the format learnt as fast as in the healthy run?",
        "an overlap that does not fall, and a term that is large: no gradient comes from it\n"
        "an overlap that does not fall, and a term that starts at zero: not a product of two A's\n"
        "an overlap that falls, a huge term, a format that stays behind: too much of a good thing",
        'diagnosis = {"run P": CAUSES[1], "run Q": CAUSES[2], "run R": CAUSES[0]}',
    ),
}
