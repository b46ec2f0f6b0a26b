"""The check of a failure lab: which cause has each sick run?

    check_diagnosis = diagnosis(SICK, CAUSES, evidence, "all causes found.")

The learner gives {run: cause}. Who names another cause is told what the first missed run shows.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medmoe_lite.lab.checks import Verdict, not_attempted, right, wrong


def diagnosis(
    sick: Mapping[str, str], causes: Sequence[str], evidence: Callable[[str], str], praise: str
) -> Callable[[Any], Verdict]:
    """The test of a diagnosis.

    Args:
        sick: run -> its cause.
        causes: those to choose from, more than there are runs.
        evidence: run -> what it shows.
        praise: said where all are right.

    >>> test = diagnosis({"run P": "a"}, ("a", "b"), lambda run: f"look at {run}.", "found.")
    >>> test({"run P": "b"}).mistake, test({"run P": "a"}).kind, test({"run P": ...}).kind
    ('wrong-run P', 'right', 'open')
    """

    def check(given: Any) -> Verdict:
        if not isinstance(given, Mapping) or not given:
            return not_attempted()
        if all(cause is None or cause is Ellipsis for cause in given.values()):
            return not_attempted()
        if set(given) != set(sick) or any(cause not in causes for cause in given.values()):
            return wrong("form", f"give one of CAUSES for each of {', '.join(sick)}.")
        missed = [run for run, cause in sick.items() if given[run] != cause]
        if missed:
            found = f"{len(sick) - len(missed)} of {len(sick)} are right."
            return wrong(f"wrong-{missed[0]}", f"{found} {evidence(missed[0])}")
        return right(praise)

    return check
