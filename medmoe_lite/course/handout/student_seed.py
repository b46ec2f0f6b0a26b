"""Who is in the class, and which seed each student has.

    students.csv            id,first_name,last_name,email     the columns of nbgrader; id is enough
    seed_of("ana", salt)    48213                             the same wherever it is computed

The seed says under which names a student meets the sick runs of a failure lab
(`medmoe_lite.lab.handed_out`). It is no secret and no protection: it makes a copied answer wrong.
"""

import csv
import hashlib
import io
import re
from pathlib import Path

ID = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}$")  # it becomes the name of a folder


class ClassError(ValueError):
    """Something that the teacher gave cannot be used; the message says what and what to do."""


def seed_of(student: str, salt: str) -> int:
    """A student's seed, below a million.

    Args:
        salt: the release's, so that the next course deals anew.

    >>> seed_of("ana", "autumn") == seed_of("ana", "autumn"), seed_of("ben", "autumn")
    (True, 924988)
    """
    digest = hashlib.sha256(f"{salt}\n{student}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 1_000_000


def read_students(path: Path) -> list[str]:
    """The ids of a class list, in its order.

    Raises:
        ClassError: no file, no column `id`, an id that is no name of a folder, one id twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ClassError(f"Cannot read the class list {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ClassError(
            f"The class list {path} is not in UTF-8. Save it as 'CSV UTF-8' and try again."
        ) from None
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    if "id" not in (rows.fieldnames or ()):
        raise ClassError(
            f"The class list {path} needs a first line with a column 'id', such as "
            f"id,first_name,last_name. It begins with {head.strip()!r}."
        )
    found: list[str] = []
    seen: dict[str, int] = {}  # a disk that knows no capitals would mix two students up
    for row in rows:
        student = (row["id"] or "").strip()
        where = f"{path}, line {rows.line_num}"
        if not ID.match(student) or student.endswith("."):
            raise ClassError(
                f"{where}: the id {student!r} becomes the name of a folder. Use up to 64 letters "
                "without accents, digits and . _ @ -, and begin with a letter or a digit."
            )
        if student.lower() in seen:
            raise ClassError(
                f"{where}: the id {student!r} stands in line {seen[student.lower()]} already "
                "(capital letters make no difference). Give each student an id of their own."
            )
        seen[student.lower()] = rows.line_num
        found.append(student)
    if not found:
        raise ClassError(f"The class list {path} names no student.")
    return found
