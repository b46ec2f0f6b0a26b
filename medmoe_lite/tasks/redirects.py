"""Where a download may be sent on to, and the one error that ends it."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


class DownloadError(RuntimeError):
    """A download that cannot go on; says why."""


def refuse_redirect(first: str, old: str, new: str) -> None:
    """Refuse a hop that leaves the web, the encryption or the public network.

    Raises:
        DownloadError: another scheme, https -> http, a password in the address, or a private
            address where the first was public.

    >>> refuse_redirect("https://a.org/x", "https://a.org/x", "https://b.org/y")
    """
    at = urlsplit(new)
    try:
        host = at.hostname or ""
    except ValueError:
        host = ""
    why = ""
    if at.scheme not in ("http", "https"):
        why = f"{at.scheme or 'nothing'}: is not the web"
    elif not host or "@" in at.netloc:
        why = "such an address is not used for files"
    elif urlsplit(old).scheme == "https" and at.scheme == "http":
        why = "it gives up encryption"
    elif private(host) and not private(urlsplit(first).hostname or ""):
        why = "it leads into a private network"
    if why:
        raise DownloadError(f"{old} redirects to {new}: refused, {why}.")


def private(host: str) -> bool:
    """Is a host, by its name alone, on this machine or in a private network?

    >>> private("127.0.0.1"), private("localhost"), private("github.com")
    (True, True, False)
    """
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
