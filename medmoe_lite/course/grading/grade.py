"""Grade a class: `medmoe course grade SUBMISSIONS --out DIR`.

SUBMISSIONS --read--> jobs, one an answer --> stages inside the wall --> journal --> DIR
                                                                            |- results/*.json
A journal keeps every verdict as it comes: the same command                 |- grades.csv
goes on where it stopped, and grades again what was changed.                |- feedback/*.html
                                                                            `- overview.html
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from medmoe_lite import __version__
from medmoe_lite.course import build
from medmoe_lite.course.grading import feedback, overview, submission
from medmoe_lite.course.grading.backstage import Job, Table, grade_notebook
from medmoe_lite.course.grading.gradebook import (
    NO_RELEASE,
    Journal,
    result_of,
    safe_name,
    table_of_grades,
    write,
)
from medmoe_lite.course.grading.submission import HandedIn, Official, Problem, Work, hidden_seed
from medmoe_lite.course.grading.wall import Limits, Wall, find_wall


class GradeError(SystemExit):
    """Grading cannot begin; the message says why and what to type."""


class Settings(NamedTuple):
    """All that decides a result."""

    submissions: Path
    out: Path
    release: Path | None = None
    notebooks: tuple[str, ...] = ()
    limits: Limits = Limits()
    workers: int = 0
    again: bool = False
    sources: Path | None = None


def release_info(folder: Path | None) -> dict[str, Any] | None:
    """`release.json` of a release folder, or of its `student` folder."""
    if folder is None:
        return None
    for path in (folder / "student" / "release.json", folder / "release.json", folder):
        if path.is_file():
            info = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(info, dict) or "notebooks" not in info:
                break
            return info
    raise GradeError(f"{folder} has no student/release.json; give the folder of `course release`.")


def handed_in(settings: Settings, known: Sequence[Official], info: dict | None) -> list[HandedIn]:
    """Read all submissions; nothing in them is run."""
    if not settings.submissions.is_dir():
        raise GradeError(f"There is no folder {settings.submissions}.")
    if settings.out.resolve().is_relative_to(settings.submissions.resolve()):
        raise GradeError("--out lies among the submissions; give a folder beside them.")
    found = []
    for student, paths in submission.find(settings.submissions):
        mine = [_locked_for(one, info, student) for one in known]
        works: dict[str, Work] = {}
        odd: list[Problem] = []
        for path in paths:
            made, problems = submission.load(path)
            one = submission.which(path, made, mine)
            if one is None:
                text = f"{path.name} is none of the notebooks that are graded."
                odd += problems or [Problem("unknown-notebook", text)]
            elif made is None:
                works.setdefault(one.stem, Work({}, (), tuple(problems)))
            elif one.stem in works and works[one.stem].answers:
                text = f"{path.name} is a second copy of {one.stem}; the first one is graded."
                odd.append(Problem("second-copy", text))
            else:
                works[one.stem] = submission.read(made, one)
        found.append(HandedIn(student, works, tuple(odd)))
    if not found:
        raise GradeError(
            f"{settings.submissions} holds no submission. Expected SUBMISSIONS/<student>/<name>"
            ".ipynb, or SUBMISSIONS/<student>.ipynb; unpack archives first."
        )
    return found


def _locked_for(one: Official, info: dict | None, student: str) -> Official:
    if info is None:
        return one
    from medmoe_lite.course.handout.release import locked_of

    return one._replace(locked=locked_of(info, student).get(one.stem, {}))


def _seed(info: dict | None, student: str) -> int | None:
    if info is None:
        return None
    from medmoe_lite.course.handout.release import seed_in

    return seed_in(info, student)


def jobs_of(handed: HandedIn, one: Official, info: dict | None, limits: Limits) -> list[Job]:
    """One job an answer that is more than the stub."""
    work = handed.works.get(one.stem)
    release = info["release"] if info else NO_RELEASE
    jobs = []
    for task in one.exercises if work else ():
        text = work.answers.get(task.grade_id) if work else None
        if work is None or text is None or _blank(text, one.stubs[task.cell_id]):
            continue
        frame = {
            "key": task.key, "names": list(task.names), "text": text, "others": list(work.others),
            "student_seed": _seed(info, handed.student),
            "hidden_seed": hidden_seed(handed.student, release, task.key),
        }  # fmt: skip
        told = json.dumps([__version__, release, one.stem, handed.student, frame, limits[:1]])
        jobs.append(Job(handed.student, task.cell_id, task.grade_id, frame,
                        sha256(told.encode("utf-8", "replace")).hexdigest()))  # fmt: skip
    return jobs


def _blank(text: str, stub: str) -> bool:
    return text.strip() in ("", stub.strip())


def grade(settings: Settings, wall: Wall | None = None, tell: Any = print) -> dict[str, Any]:
    """Grade everything and write the folder; returns what `overview.html` is made from."""
    wall = wall or find_wall()
    info = release_info(settings.release)
    names = settings.notebooks or tuple(info["notebooks"] if info else ())
    known = [submission.official(path) for path in build.sources(names, settings.sources)]
    class_ = handed_in(settings, known, info)
    if not settings.notebooks and info is None:  # what nobody handed in was not asked for
        seen = {stem for one in class_ for stem in one.works}
        known = [one for one in known if one.stem in seen] or known
    out = settings.out
    for name in ("results", "feedback"):
        (out / name).mkdir(parents=True, exist_ok=True)
    journal = Journal(out / "journal.jsonl", settings.again)
    table = {one.stem: [j for h in class_ for j in jobs_of(h, one, info, settings.limits)]
             for one in known}  # fmt: skip
    count = sum(map(len, table.values()))
    left = sum(job.digest not in journal.known for jobs in table.values() for job in jobs)
    tell(f"{len(class_)} submissions, {count} answers, {count - left} graded before.")
    tell(_about(wall))
    done = Table(journal.known, journal.keep, count)
    hide = [str(path.resolve()) for path in (settings.submissions, out)]
    workers = settings.workers or os.cpu_count() or 1
    _work(known, table, done, wall, settings.limits, hide, workers, tell)
    results = [result_of(one, known, table, journal, info, wall.kind) for one in class_]
    for result in results:
        name = safe_name(result["student"])
        write(out / "results" / f"{name}.json", json.dumps(result, indent=1, sort_keys=True))
        write(out / "feedback" / f"{name}.html", feedback.page(result))
    write(out / "grades.csv", table_of_grades(results, known))
    whole = overview.collect(results, _about(wall), done.troubles)
    write(out / "overview.html", overview.page(whole))
    return whole


def _work(
    known: Sequence[Official], table: Mapping[str, list[Job]], done: Table, wall: Wall,
    limits: Limits, hide: list[str], workers: int, tell: Any,
) -> None:  # fmt: skip
    """Share notebooks and students out over the cores; a stage for each share."""
    shares = max(1, -(-workers // max(1, len(known))))
    parts: list[tuple[Official, list[Job]]] = []
    for one in known:
        jobs = [job for job in table[one.stem] if job.digest not in done.known]
        students = sorted({job.student for job in jobs})
        cut = min(shares, max(1, len(students) // 4))
        for share in range(cut):
            mine = set(students[share::cut])
            if part := [job for job in jobs if job.student in mine]:
                parts.append((one, part))
    free = list(range(workers))

    def work(part: tuple[Official, list[Job]]) -> None:
        slot = free.pop()
        try:
            grade_notebook(*part, done, wall, limits, hide, slot, tell)
        finally:
            free.append(slot)

    parts.sort(key=lambda part: -len(part[1]))
    with ThreadPoolExecutor(workers) as pool:
        try:
            for future in [pool.submit(work, part) for part in parts]:
                future.result()
        except BaseException:
            done.stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _about(wall: Wall) -> str:
    if wall.stands:
        return "Each answer runs without a network, files of others or rights (Linux namespaces)."
    return f"NO WALL: {wall.why}. Answers ran with limits only and could read and delete files."


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    default = Limits()
    parser = argparse.ArgumentParser(prog="medmoe course grade", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("submissions", type=Path, help="folder: <student>/<notebook>.ipynb")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--release", type=Path, help="folder of `medmoe course release`")
    parser.add_argument("--notebooks", nargs="+", default=[], help="such as 03 04 (default: those "
                        "that were handed in)")  # fmt: skip
    parser.add_argument("--again", action="store_true", help="forget earlier verdicts")
    parser.add_argument("--workers", type=int, default=0, help="at once (default: the cores)")
    parser.add_argument("--seconds", type=int, default=default.seconds,
                        help=f"of the processor, an answer ({default.seconds})")  # fmt: skip
    parser.add_argument("--megabytes", type=int, default=default.megabytes,
                        help=f"of memory, an answer ({default.megabytes})")  # fmt: skip
    parser.add_argument("--without-a-wall", action="store_true",
                        help="grade even where nothing protects your files")  # fmt: skip
    options = parser.parse_args(arguments)
    if not hasattr(os, "fork"):
        sys.exit("Grading needs fork, which Windows has not. Grade in WSL or in a container.")
    wall = find_wall()
    if not wall.stands and not options.without_a_wall:
        sys.exit(
            f"No wall can be built here: {wall.why}.\nAnswers could read and delete your files and "
            "use your network. Grade on Linux, as root in a container or virtual machine of its "
            "own; or, for submissions you trust, add --without-a-wall."
        )
    limits = default._replace(
        seconds=options.seconds, wall_seconds=3 * options.seconds, megabytes=options.megabytes
    )
    names = tuple(options.notebooks)
    settings = Settings(options.submissions, options.out, options.release, names, limits,
                        options.workers, options.again)  # fmt: skip
    try:
        whole = grade(settings, wall)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.")
        return 130
    print(overview.summary(whole))
    print(f"Written: {options.out / 'grades.csv'}, overview.html, results/, feedback/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
