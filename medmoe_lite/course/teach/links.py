"""Links to a notebook on a hub, Binder, Colab: `python -m medmoe_lite.course.teach.links`.

    nbgitpuller  HUB/hub/user-redirect/git-pull?repo=..&branch=..&urlpath=lab/tree/CLONE/FOLDER/..
    Binder       https://mybinder.org/v2/gh/OWNER/NAME/BRANCH?urlpath=lab/tree/FOLDER/..
    Colab        https://colab.research.google.com/github/OWNER/NAME/blob/BRANCH/FOLDER/..

nbgitpuller brings the repository into the student's home and merges later changes without
overwriting what the student wrote. Hand out a repository made from the release folder, not this
one: here are the solutions.
"""

import argparse
import sys
from urllib.parse import quote, urlsplit


def nbgitpuller(hub: str, repo: str, path: str, branch: str = "main") -> str:
    """A link that pulls a repository into a student's home and opens a file of it.

    >>> nbgitpuller("https://hub.example.org", "https://git.example.org/a/class", "03.ipynb")
    'https://hub.example.org/hub/user-redirect/git-pull?repo=https%3A%2F%2Fgit.example.org%2Fa%2Fclass&branch=main&urlpath=lab%2Ftree%2Fclass%2F03.ipynb'
    """
    clone = urlsplit(repo).path.rstrip("/").rpartition("/")[2].removesuffix(".git")
    asked = {"repo": repo, "branch": branch, "urlpath": f"lab/tree/{clone}/{path}"}
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in asked.items())
    return f"{hub.rstrip('/')}/hub/user-redirect/git-pull?{query}"


def binder(repo: str, path: str, branch: str = "main") -> str:
    """A Binder link to a notebook of a GitHub repository.

    >>> binder("https://github.com/a/kit", "notebooks/03.ipynb")
    'https://mybinder.org/v2/gh/a/kit/main?urlpath=lab%2Ftree%2Fnotebooks%2F03.ipynb'
    """
    return (
        f"https://mybinder.org/v2/gh/{_github(repo)}/{quote(branch, safe='')}"
        f"?urlpath={quote('lab/tree/' + path, safe='')}"
    )


def colab(repo: str, path: str, branch: str = "main") -> str:
    """A Colab link to a notebook of a GitHub repository; its first cell is in docs/colab.md.

    >>> colab("https://github.com/a/kit.git", "notebooks/03.ipynb")
    'https://colab.research.google.com/github/a/kit/blob/main/notebooks/03.ipynb'
    """
    return f"https://colab.research.google.com/github/{_github(repo)}/blob/{branch}/{quote(path)}"


def _github(repo: str) -> str:
    parts = urlsplit(repo)
    if parts.hostname != "github.com":
        raise ValueError(f"{repo} is not on github.com; Binder and Colab links here are for that.")
    return parts.path.strip("/").removesuffix(".git")


def main(arguments: list[str] | None = None) -> int:
    """Command line; prints the links that can be made."""
    parser = argparse.ArgumentParser(prog="python -m medmoe_lite.course.teach.links")
    parser.add_argument("path", help="file in the repository, such as 03_router_and_experts.ipynb")
    parser.add_argument("--repo", required=True, help="https address of the repository")
    parser.add_argument("--branch", default="main")
    parser.add_argument("--hub", help="https address of a JupyterHub with nbgitpuller")
    options = parser.parse_args(arguments)
    where = (options.repo, options.path, options.branch)
    if options.hub:
        print("hub    ", nbgitpuller(options.hub, *where))
    if urlsplit(options.repo).hostname == "github.com":
        print("Binder ", binder(*where))
        print("Colab  ", colab(*where))
    return 0


if __name__ == "__main__":
    sys.exit(main())
