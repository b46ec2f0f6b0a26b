"""What a mixture costs, counted: multiply-adds of the forward pass for one token, one layer.

    base              d_in · d_out
    all experts       e · r · (d_in + d_out)        loop over all, or stacked
    open experts      k · r · (d_in + d_out)        only where the weight is not zero
    token router      e · d_in                      for every token
    task router       nothing a token: one choice a text, so the open experts can be merged into
                      the base and cost nothing more

Counts are exact. Seconds also depend on how many products there are and how much memory moves.
"""


def multiply_adds(d_in: int, d_out: int, e: int, k: int, r: int) -> dict[str, int]:
    """Multiply-adds a token beside the base's own, of five ways to route and compute.

    >>> multiply_adds(d_in=10, d_out=20, e=8, k=2, r=3)["token, open experts"]
    260
    """
    one, router = r * (d_in + d_out), e * d_in
    return {
        "base alone": d_in * d_out,
        "token, all experts": e * one + router,
        "token, open experts": k * one + router,
        "task, open experts": k * one,
        "task, merged": 0,
    }
