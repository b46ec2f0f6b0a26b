"""One wrong answer an exercise, as somebody would type it: the learner's run types these first."""

TYPED = {
    "7.1": (
        "knowledge-learns",
        """
def open_stage_two(model, learn_knowledge=False):
    model.base_model.set_adapter(["default", "alignment"])
    return model
""",
    ),
    "7.2": (
        "no-abs",
        """
def overlap_l1(pairs):
    return sum((a_k @ a_a.T).sum() for a_k, a_a in pairs)
""",
    ),
    "7.3": (
        "not-normalised",
        """
def overlap_cosine(pairs):
    return torch.stack([(a_k @ a_a.T).square().mean() for a_k, a_a in pairs]).mean()
""",
    ),
    "7.4": (
        "no-basis",
        """
def principal_angles(a_k, a_a):
    cosines = torch.linalg.svdvals(a_k @ a_a.T).clamp(max=1)
    return cosines.acos().rad2deg()
""",
    ),
    "7.5": (
        "kept-the-part",
        """
def take_out(a, q):
    return a @ q @ q.T
""",
    ),
    "7.6": (
        "wrong-run P",
        """
CAUSES = nb07.failure.CAUSES
diagnosis = {"run P": CAUSES[0], "run Q": CAUSES[2], "run R": CAUSES[0]}
""",
    ),
}
