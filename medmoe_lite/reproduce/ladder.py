"""All claims, in the order of the report."""

from __future__ import annotations

from . import (
    claims_cost,
    claims_llamacare,
    claims_med_moe_lora,
    claims_medcare,
    claims_ming_moe,
    claims_orthogonal,
    claims_routing,
)
from .claim import by_id
from .settings import fingerprint
from .workshop import Workshop

CLAIMS = by_id(
    [
        *claims_medcare.CLAIMS[:1],
        *claims_ming_moe.CLAIMS,
        *claims_routing.CLAIMS,
        *claims_medcare.CLAIMS[1:],
        *claims_orthogonal.CLAIMS,
        *claims_med_moe_lora.CLAIMS,
        *claims_llamacare.CLAIMS,
        *claims_cost.CLAIMS,
    ]
)

open_workshop = Workshop

__all__ = ["CLAIMS", "fingerprint", "open_workshop"]
