"""A download that goes on where it stopped: the downloader that `fetch` gives to pooch.

    try 1   GET                                   200, cut after 40 %      -> kept beside the target
    try 2   GET, Range: bytes=40%-, If-Range: tag 206: the rest, or 200: the file has changed, again

What has come is kept, with the tag of the server, until it is whole; so a second call of the same
command goes on too. Tries, redirects, waiting and size have limits. The checksum is pooch's part.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from .part import Part
from .redirects import DownloadError, refuse_redirect

RETRY = {408, 425, 429, 500, 502, 503, 504}
REDIRECT = {301, 302, 303, 307, 308}
CHUNK = 1 << 13  # what a cut may cost


class Interrupted(Exception):
    """A try that failed and is worth another; `wait` is what the server asks for, in seconds."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Limits:
    """What a download may cost.

    Attributes:
        tries: requests for one file before giving up.
        wait: seconds before the second try; each further wait is twice as long.
        longest_wait: the most seconds between two tries, whatever the server asks for.
        timeout: seconds without a byte after which a connection counts as stalled.
        redirects: hops to follow.
        max_bytes: the largest file, where its size is not known beforehand.
    """

    tries: int = 6
    wait: float = 1.0
    longest_wait: float = 60.0
    timeout: float = 30.0
    redirects: int = 5
    max_bytes: int = 1 << 30


@dataclass(frozen=True)
class Resuming:
    """A downloader for `pooch.Pooch.fetch`: call(url, output_file, pooch).

    Args:
        limits: of tries, time and size.
        size: bytes the file must have, where that is known.
        checked: a checksum will be compared, so a part of unknown version may be continued.
        say: takes one line about each try that failed.
    """

    limits: Limits = Limits()
    size: int | None = None
    checked: bool = False
    say: Callable[[str], Any] = lambda line: None

    def __call__(self, url: str, output_file: Any, pooch: Any) -> None:
        """Bring `url` to `output_file`.

        Raises:
            DownloadError: refused, gone, too large, or all tries failed.
        """
        import filelock
        import requests

        folder = Path(pooch.path) / ".partial"
        folder.mkdir(parents=True, exist_ok=True)
        part = Part(folder, url)
        try:
            with filelock.FileLock(part.lock, timeout=0), requests.Session() as session:
                self._try(session, url, part)
                os.replace(part.path, output_file)
                part.clear()
        except filelock.Timeout:
            raise DownloadError(f"another process is downloading {url}: wait for it.") from None

    def _try(self, session: Any, url: str, part: Part) -> None:
        for number in range(1, self.limits.tries + 1):
            try:
                return self._once(session, url, part)
            except Interrupted as fault:
                if number == self.limits.tries:
                    raise DownloadError(f"{fault}, {number} times in a row ({url})") from None
                wait = self.limits.wait * 2 ** (number - 1) if fault.wait is None else fault.wait
                wait = min(max(wait, 0.0), self.limits.longest_wait)
                kept = f"{part.size:,} bytes are kept"
                self.say(
                    f"try {number} of {self.limits.tries}: {fault}; {kept}, again in {wait:g} s"
                )
                time.sleep(wait)

    def _once(self, session: Any, url: str, part: Part) -> None:
        have, tag = part.size, part.tag
        if tag is None and not self.checked:
            have = 0  # nothing would tell two versions apart
        headers = {"Accept-Encoding": "identity", "User-Agent": "medmoe-lite"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if tag:
                headers["If-Range"] = tag
        with faults(), self._open(session, url, headers) as answer:
            whole = self._whole(answer, have, tag, part)
            most = self.size or self.limits.max_bytes
            if whole is not None and whole > most:
                part.clear()
                raise DownloadError(f"{url} has {whole:,} bytes, expected at most {most:,}.")
            with open(part.path, "ab") as file:
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
                    if file.tell() > most:
                        break
        size = part.size
        if size > most:
            part.clear()
            raise DownloadError(f"{url} sends more than the {most:,} bytes it may have: stopped.")
        if size < (whole if whole is not None else self.size or 0):
            raise Interrupted(f"cut after {size:,} of {whole or self.size:,} bytes")
        if self.size and size != self.size:
            part.clear()
            raise DownloadError(f"{url} has {size:,} bytes instead of {self.size:,}: changed?")

    def _whole(self, answer: Any, have: int, tag: str | None, part: Part) -> int | None:
        """Bytes of the whole file if the server says so; makes the part fit the answer."""
        status = answer.status_code
        if status == 200:
            part.begin(_tag(answer))
            length = answer.headers.get("Content-Length", "")
            return int(length) if length.isdecimal() else None
        if status == 206 and have:
            unit, _, span = answer.headers.get("Content-Range", "").partition(" ")
            reach, _, total = span.partition("/")
            same = tag is None or _tag(answer) in (None, tag)
            if unit == "bytes" and reach.split("-")[0] == str(have) and same:
                return int(total) if total.isdecimal() else None
        if status in (206, 416):
            part.clear()
            raise Interrupted("the file has changed on the server", 0.0)
        if status in RETRY:
            asked = answer.headers.get("Retry-After", "")
            wait = float(asked) if asked.isdecimal() else None
            raise Interrupted(f"the server answers {status} {answer.reason}", wait)
        raise DownloadError(f"the server answers {status} {answer.reason} ({answer.url})")

    def _open(self, session: Any, url: str, headers: dict[str, str]) -> Any:
        """The answer behind all redirects, its body unread."""
        timeout, first = self.limits.timeout, url
        for _ in range(self.limits.redirects + 1):
            answer = session.get(
                url, headers=headers, stream=True, allow_redirects=False, timeout=timeout
            )
            if answer.status_code not in REDIRECT or "Location" not in answer.headers:
                return answer
            answer.close()
            onward = urljoin(url, answer.headers["Location"])
            refuse_redirect(first, url, onward)
            url = onward
        raise DownloadError(f"{first}: more than {self.limits.redirects} redirects, or a loop.")


@contextlib.contextmanager
def faults() -> Iterator[None]:
    """What requests raises -> `Interrupted` where another try can help, else `DownloadError`."""
    import requests.exceptions as kinds

    try:
        yield
    except kinds.SSLError as error:
        raise DownloadError(f"no trusted connection: {error}") from error
    except kinds.Timeout:
        raise Interrupted("stalled: nothing came within the timeout") from None
    except (kinds.ConnectionError, kinds.ChunkedEncodingError) as error:
        raise Interrupted(f"the connection broke ({_root(error)})") from error
    except (kinds.RequestException, ValueError) as error:
        raise DownloadError(f"no such request can be made: {error}") from error


def _tag(answer: Any) -> str | None:
    """What names this version for certain: a strong ETag, or else the date of change."""
    tag = answer.headers.get("ETag", "")
    if tag.startswith('"'):
        return tag
    return None if tag else answer.headers.get("Last-Modified")


def _root(error: BaseException) -> str:
    """The name of the first cause."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return str(error) or type(error).__name__
