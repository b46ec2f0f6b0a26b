"""How much energy a run took, as codecarbon estimates it; nothing where it is not installed.

The estimate is power by time: of a GPU as its driver says, of a processor from a table of its
model. It is offline: no place is looked up, and CO2 is told only where the user names the country
(MEDMOE_COUNTRY=DEU). MEDMOE_ENERGY=0 switches it off.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

SECONDS = 15  # between two looks at the power


@contextmanager
def measured_energy() -> Iterator[dict[str, Any]]:
    """Estimate the energy of the block.

    Yields:
        A dict that is filled at the end: `kwh`, `kg_co2` where a country is named, and how it was
        found; or `off` with the reason why there is no estimate.

    >>> os.environ["MEDMOE_ENERGY"] = "0"
    >>> with measured_energy() as energy: pass
    >>> energy
    {'off': 'MEDMOE_ENERGY=0'}
    """
    found: dict[str, Any] = {}
    tracker = _tracker(found)
    if tracker is not None:
        tracker.start()
    try:
        yield found
    finally:
        if tracker is not None:
            _read(tracker, found)


def _tracker(found: dict[str, Any]) -> Any:
    """A codecarbon tracker, or None with the reason noted."""
    if os.environ.get("MEDMOE_ENERGY", "1") == "0":
        found["off"] = "MEDMOE_ENERGY=0"
        return None
    if find_spec("codecarbon") is None:
        found["off"] = "codecarbon is not installed"
        return None
    logging.getLogger("codecarbon").disabled = True
    try:
        from codecarbon import OfflineEmissionsTracker

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that its newer versions call otherwise
            return OfflineEmissionsTracker(
                country_iso_code=os.environ.get("MEDMOE_COUNTRY", "USA"),
                measure_power_secs=SECONDS,
                save_to_file=False,
                log_level="critical",
                allow_multiple_runs=True,
                tracking_mode="process",
            )
    except Exception as error:  # an estimate is never a reason to stop
        found["off"] = f"codecarbon failed: {error}"
        return None


def _read(tracker: Any, found: dict[str, Any]) -> None:
    try:
        emissions = tracker.stop()
        found["kwh"] = float(tracker.final_emissions_data.energy_consumed)
        found["by"] = f"codecarbon {tracker.final_emissions_data.codecarbon_version}, an estimate"
        if "MEDMOE_COUNTRY" in os.environ:
            found["kg_co2"] = float(emissions)
            found["country"] = os.environ["MEDMOE_COUNTRY"]
    except Exception as error:
        found["off"] = f"codecarbon failed: {error}"
