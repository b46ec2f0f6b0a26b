"""Downloads from a server on this machine that cuts, stalls, corrupts, redirects and lies."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import socket
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from medmoe_lite.tasks.data_command import main as data
from medmoe_lite.tasks.download import Limits
from medmoe_lite.tasks.fetch import fetch
from medmoe_lite.tasks.redirects import DownloadError, refuse_redirect
from medmoe_lite.tasks.sources import FetchError, Item, Source, find, sources
from medmoe_lite.tasks.unpack import ArchiveError, Room, unpack

BODY = bytes(range(256)) * 1024  # 256 KiB, not the same anywhere twice in a chunk
OTHER = BODY[::-1]
FAST = Limits(tries=4, wait=0.0, longest_wait=0.0, timeout=5.0)


class Server(ThreadingHTTPServer):
    """Answers one request after the other as its script says; notes what was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list = []
        self.asked: list[dict[str, str]] = []
        self.body, self.tag = BODY, '"one"'
        self.stop = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def do_GET(self):
        self.server.asked.append({"path": self.path, **self.headers})
        step = self.server.script.pop(0) if self.server.script else good
        step(self)
        self.close_connection = True

    def head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Connection", "close")
        self.end_headers()


def good(h, body=None, stop=None, ranges=True):
    """As a decent server answers: Range and If-Range obeyed, a strong tag."""
    body, tag = body or h.server.body, h.server.tag
    headers = {"ETag": tag} if tag else {}
    asked = re.fullmatch(r"bytes=(\d+)-", h.headers.get("Range", "")) if ranges else None
    first = int(asked[1]) if asked and h.headers.get("If-Range", tag) == tag else 0
    if first:
        headers["Content_Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
    h.head(206 if first else 200, Content_Length=len(body) - first, **headers)
    h.wfile.write(body[first:stop])


def cut(h):
    good(h, stop=100_000)


def deaf_cut(h):
    good(h, stop=100_000, ranges=False)


def deaf(h):
    good(h, ranges=False)


def corrupt(h):
    good(h, body=h.server.body[:-1] + b"!")


def stall(h):
    h.head(200, Content_Length=len(h.server.body), ETag=h.server.tag)
    h.wfile.write(h.server.body[:50_000])
    h.wfile.flush()
    h.server.stop.wait(20)


def status(code, **headers):
    return lambda h: h.head(code, Content_Length=0, **headers)


def to(place):
    return lambda h: h.head(302, Location=place, Content_Length=0)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.stop.set()
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDMOE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "data"


@pytest.fixture
def bring(server, home):
    """bring(sha256=..., bytes=...) -> the content that came; `bring.lines` is what was said."""

    def call(limits=FAST, checked=True, **fields):
        digest = hashlib.sha256(BODY).hexdigest() if checked else None
        item = Item("a.bin", f"{server.url}/a.bin", digest, **fields)
        (path,) = fetch(one(item), call.lines.append, limits)
        assert not list(home.rglob("*.part")), "a part was left behind"
        return path.read_bytes()

    call.lines = []
    return call


def one(*items, **fields):
    row = {"reader": "r", "title": "T", "home": "http://h", "licence": "MIT", "terms": "none"}
    return Source(name="thing", files=items, **{**row, **fields})


def nothing_kept(home):
    return not [p for p in home.rglob("*") if p.is_file() and p.suffix not in (".lock", ".json")]


def test_a_whole_file_is_brought_once(server, bring, home):
    assert bring(bytes=len(BODY)) == BODY
    assert bring(bytes=len(BODY)) == BODY
    assert len(server.asked) == 1
    note = json.loads((home / "thing" / "SOURCE.json").read_text())
    assert note["licence"] == "MIT"
    assert note["files"]["a.bin"]["sha256"] == hashlib.sha256(BODY).hexdigest()


def test_a_cut_connection_goes_on_where_it_stopped(server, bring):
    server.script = [cut, cut]
    assert bring() == BODY
    first, second, third = (a.get("Range") for a in server.asked)
    assert first is None
    assert second == third
    assert 90_000 < int(second[6:-1]) <= 100_000
    assert server.asked[1]["If-Range"] == '"one"'
    assert f"{int(second[6:-1]):,} bytes are kept" in bring.lines[1]


def test_a_second_call_goes_on_too(server, bring):
    server.script = [cut, status(503), status(503), status(503)]
    with pytest.raises(FetchError, match="503 Service Unavailable, 4 times"):
        bring()
    assert bring() == BODY
    assert int(server.asked[-1]["Range"][6:-1]) > 90_000


def test_a_stalled_connection_is_left(server, bring):
    server.script = [stall]
    assert bring(Limits(tries=2, wait=0.0, timeout=0.2)) == BODY
    assert int(server.asked[1]["Range"][6:-1]) > 40_000


def test_a_server_that_ignores_range_begins_anew(server, bring):
    server.script = [deaf_cut, deaf]
    assert bring() == BODY


@pytest.mark.parametrize("checked", [True, False])
def test_a_file_that_changes_between_two_tries_is_not_mixed(server, bring, checked):
    def changed(h):
        h.server.body, h.server.tag = OTHER, '"two"'
        good(h)

    server.script = [cut, changed]
    if checked:  # neither the changed file nor a mixture passes
        with pytest.raises(FetchError, match="not the published file"):
            bring()
    else:
        assert bring(checked=False) == OTHER


def test_a_change_is_seen_where_the_server_ignores_if_range(server, bring):
    def careless(h):
        first = int(h.headers["Range"][6:-1])
        span = f"bytes {first}-{len(OTHER) - 1}/{len(OTHER)}"
        h.head(206, Content_Length=len(OTHER) - first, Content_Range=span, ETag='"two"')
        h.wfile.write(OTHER[first:])

    server.script = [cut, careless]
    assert bring() == BODY
    assert "Range" not in server.asked[2]


def test_without_a_tag_only_a_checksum_allows_to_go_on(server, bring, home):
    server.tag, server.script = "", [cut]
    assert bring() == BODY
    assert int(server.asked[1]["Range"][6:-1]) > 90_000
    (home / "thing" / "a.bin").unlink()
    server.script = [cut]
    assert bring(checked=False) == BODY
    assert "Range" not in server.asked[-1]


def test_a_corrupt_file_is_brought_again_and_then_refused(server, bring, home):
    server.script = [corrupt]
    assert bring() == BODY
    (home / "thing" / "a.bin").unlink()
    server.script = [corrupt, corrupt]
    with pytest.raises(FetchError, match="came twice is not the published file"):
        bring()
    assert nothing_kept(home)


def test_redirects_are_followed_but_not_forever(server, bring):
    server.script = [to("/b"), to(f"{server.url}/c")]
    assert bring() == BODY
    assert [a["path"] for a in server.asked] == ["/a.bin", "/b", "/c"]


def test_a_loop_of_redirects_ends(server, bring, home):
    server.script = [to("/a.bin")] * 20
    with pytest.raises(FetchError, match="more than 5 redirects, or a loop"):
        bring()
    assert len(server.asked) == 6


@pytest.mark.parametrize(
    ("place", "why"),
    [("file:///etc/passwd", "not the web"), ("ftp://127.0.0.1/x", "not the web"),
     ("http://user:word@127.0.0.1/x", "not used for files")],
)  # fmt: skip
def test_a_redirect_out_of_the_web_is_refused(server, bring, place, why):
    server.script = [to(place)]
    with pytest.raises(FetchError, match=why):
        bring()


@pytest.mark.parametrize(
    "new", ["http://b.org/y", "https://10.0.0.7/y", "https://[::1]/y", "https://localhost/y",
            "https://169.254.169.254/latest", "https://[bad/y", "https:///y"],
)  # fmt: skip
def test_a_redirect_into_the_private_network_or_without_encryption_is_refused(new):
    with pytest.raises((DownloadError, ValueError), match=r"refused|Invalid"):
        refuse_redirect("https://a.org/x", "https://a.org/x", new)


def test_busy_servers_are_asked_again_and_missing_files_are_not(server, bring):
    server.script = [status(500), status(429, Retry_After=3600), status(502)]
    assert bring() == BODY
    assert len(server.asked) == 4
    assert "429 Too Many Requests" in " ".join(bring.lines)


def test_a_missing_file_says_where_to_get_it_by_hand(server, bring, home):
    server.script = [status(404)]
    with pytest.raises(FetchError) as caught:
        bring()
    text = str(caught.value)
    assert len(server.asked) == 1
    for part in ("404", f"{server.url}/a.bin", str(home / "thing" / "a.bin"), "data fetch thing"):
        assert part in text


def test_without_a_network_the_message_says_what_to_type(home):
    with socket.socket() as taken:  # bound, not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        item = Item("a.bin", f"http://127.0.0.1:{taken.getsockname()[1]}/a.bin", "0" * 64)
        with pytest.raises(FetchError) as caught:
            fetch(one(item), lambda line: None, FAST)
    assert "the connection broke" in str(caught.value)
    assert str(home / "thing" / "a.bin") in str(caught.value)


def test_a_file_put_there_by_hand_is_checked_and_used(bring, server, home):
    (home / "thing").mkdir(parents=True)
    (home / "thing" / "a.bin").write_bytes(BODY)
    assert bring() == BODY
    (home / "thing" / "a.bin").write_bytes(b"my own work")
    for size in (None, len(BODY)):
        with pytest.raises(FetchError, match="left alone"):
            bring(bytes=size)
    assert (home / "thing" / "a.bin").read_bytes() == b"my own work"
    assert server.asked == []


@pytest.mark.parametrize("known", [True, False])
def test_too_large_a_file_is_stopped(server, bring, home, known):
    def endless(h):
        h.head(200)
        h.wfile.write(BODY)

    server.script = [good if known else endless]
    with pytest.raises(FetchError, match="bytes"):
        bring(Limits(tries=1, max_bytes=1000), checked=False)
    assert nothing_kept(home)


def test_another_size_than_the_list_says_is_refused(bring, home):
    with pytest.raises(FetchError, match="at most 1,000"):
        bring(bytes=1000)
    with pytest.raises(FetchError, match="instead of 300,000"):
        bring(bytes=300_000)
    assert nothing_kept(home)


def test_a_folder_that_cannot_be_written(server, home, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("MEDMOE_HOME", str(tmp_path / "file"))
    with pytest.raises(FetchError, match="MEDMOE_HOME"):
        fetch(one(Item("a.bin", f"{server.url}/a.bin")), lambda line: None, FAST)


def test_the_list_of_sources_is_sound():
    table = sources()
    for source in table.values():
        assert source.files or source.by_hand
        assert source.licence
        assert source.terms
        assert source.home.startswith("https://")
        for item in source.files:
            assert item.url.startswith("https://")
            assert re.search(r"/[0-9a-f]{40}(/|$)", item.url), f"{item.url} is not pinned"
            assert item.sha256 is None or re.fullmatch("[0-9a-f]{64}", item.sha256)
            assert item.sha256 or item.note, f"{item.name}: say why there is no checksum"


def test_checksums_of_the_list_fit_the_published_files(realdata):
    folders = {"pubmedqa": "pubmedqa", "gsm8k": "gsm8k", "ncbi_disease": "ncbi_disease"}
    compared = 0
    for name, folder in folders.items():
        for item in sources()[name].files:
            path = realdata / folder / item.name
            if path.is_file():
                content = path.read_bytes()
                assert (hashlib.sha256(content).hexdigest(), len(content)) == (
                    item.sha256, item.bytes,
                )  # fmt: skip
                compared += 1
    assert compared == 6


@pytest.mark.parametrize(
    "row",
    [*({"files": [{"name": name, "url": "https://a/x"}]}
       for name in ("../x", "/x", "a\\..\\x", "C:x", "nul.txt", "x/../../y", "", "a\x00")),
     {"files": [{"name": "x", "url": "file:///x"}]},
     {"files": [{"name": "..zip", "url": "https://a/x", "unpack": True}]}, {"nonsense": 1}, 3],
)  # fmt: skip
def test_a_list_with_a_bad_name_or_address_is_refused(tmp_path, row):
    base = {"reader": "r", "title": "T", "home": "h", "licence": "l", "terms": "t"}
    whole = {**base, **row} if isinstance(row, dict) else row
    (tmp_path / "s.json").write_text(json.dumps({"thing": whole}))
    with pytest.raises(FetchError):
        sources(tmp_path / "s.json")


def zip_of(path, members, encrypted=False):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members:
            info = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name)
            opened.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def tar_of(path, members):
    with tarfile.open(path, "w:gz") as opened:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, len(content) if kind == tarfile.REGTYPE else 0
            info.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            opened.addfile(info, io.BytesIO(content))
    return path


def test_archives_are_unpacked_whole(tmp_path):
    for path in (
        zip_of(tmp_path / "a.zip", [("d/", b""), ("d/x.txt", b"one"), ("y.txt", b"two")]),
        tar_of(tmp_path / "a.tgz", [("d", tarfile.DIRTYPE, b""), ("y.txt", tarfile.REGTYPE, b"two"),
                                    ("d/x.txt", tarfile.REGTYPE, b"one")]),
    ):  # fmt: skip
        folder = unpack(path, tmp_path / "out")
        assert (folder / "d" / "x.txt").read_bytes() == b"one"
        assert (folder / "y.txt").read_bytes() == b"two"


def link():
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    return info


HOSTILE = {
    "parent": [("../x", b"")], "absolute": [("/x", b"")], "drive": [("C:\\x", b"")],
    "deep": [("a/../../x", b"")], "link": [(link(), b"/etc/passwd")],
    "twice": [("a", b"1"), ("A", b"2")], "bomb": [("zeros", bytes(3 << 20))],
    "many": [(str(n), b"") for n in range(200)], "file and folder": [("a", b""), ("a/b", b"")],
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_zip_is_refused_and_leaves_nothing(tmp_path, kind):
    path = zip_of(tmp_path / "a.zip", HOSTILE[kind])
    with pytest.raises(ArchiveError, match=r"a\.zip"):
        unpack(path, tmp_path / "out", Room(members=100))
    assert os.listdir(tmp_path) == ["a.zip"]


def test_a_header_that_lies_about_its_size_does_not_help(tmp_path):
    path = zip_of(tmp_path / "a.zip", [("zeros", bytes(4 << 20))])
    content = path.read_bytes().replace((4 << 20).to_bytes(4, "little"), (9).to_bytes(4, "little"))
    path.write_bytes(content)
    with pytest.raises(ArchiveError):
        unpack(path, tmp_path / "out")
    assert os.listdir(tmp_path) == ["a.zip"]


@pytest.mark.parametrize(
    "member",
    [("../x", tarfile.REGTYPE, b""), ("/x", tarfile.REGTYPE, b""), ("x", tarfile.SYMTYPE, b""),
     ("x", tarfile.LNKTYPE, b""), ("x", tarfile.CHRTYPE, b""), ("x", tarfile.FIFOTYPE, b""),
     ("x", tarfile.REGTYPE, bytes(3 << 20))],
)  # fmt: skip
def test_a_hostile_tar_is_refused_and_leaves_nothing(tmp_path, member):
    path = tar_of(tmp_path / "a.tar.gz", [member])
    with pytest.raises(ArchiveError):
        unpack(path, tmp_path / "out")
    assert os.listdir(tmp_path) == ["a.tar.gz"]


def test_broken_archives(tmp_path):
    good_zip = zip_of(tmp_path / "a.zip", [("x", os.urandom(5000))]).read_bytes()
    good_tar = tar_of(tmp_path / "a.tar.gz", [("x", tarfile.REGTYPE, os.urandom(5000))])
    broken = [b"", b"text", good_zip[:3000], good_tar.read_bytes()[:3000]]
    broken += [good_zip[:60] + bytes([255 - good_zip[60]]) + good_zip[61:]]
    for content in broken:
        path = tmp_path / "b"
        path.write_bytes(content)
        with pytest.raises(ArchiveError):
            unpack(path, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_an_archive_is_fetched_and_unpacked(server, home, tmp_path):
    server.body = zip_of(tmp_path / "s.zip", [("q/test.jsonl", b"{}\n")]).read_bytes()
    item = Item("set.v1.zip", f"{server.url}/set.zip", None, None, True)
    source = one(item)
    assert not source.cached
    (folder,) = fetch(source, lambda line: None, FAST)
    assert (folder / "q" / "test.jsonl").read_bytes() == b"{}\n"
    assert folder == home / "thing" / "set"
    assert source.cached
    server.body = zip_of(tmp_path / "s.zip", [("../x", b"")]).read_bytes()
    with pytest.raises(FetchError, match="nothing was unpacked"):
        fetch(one(Item("bad.zip", f"{server.url}/bad.zip", unpack=True)), lambda line: None, FAST)
    assert not list(Path(home).rglob("x"))


def test_what_cannot_be_fetched_says_how(home):
    source = one(by_hand="Register first.")
    with pytest.raises(FetchError, match="Register first") as caught:
        fetch(source)
    assert str(home / "thing") in str(caught.value)
    with pytest.raises(FetchError, match="bc5cdr, ncbi_disease|ncbi_disease, bc5cdr"):
        find("bio_ner", sources())
    with pytest.raises(FetchError, match="There are: pubmedqa"):
        find("nonsense", sources())


def test_the_command_asks_for_the_licence_and_fetches(server, home, tmp_path, capsys):
    digest = hashlib.sha256(BODY).hexdigest()
    row = {
        "reader": "gsm8k", "title": "Sums", "home": "http://h", "licence": "MIT",
        "terms": "be kind",
        "files": [{"name": "a.bin", "url": f"{server.url}/a.bin", "sha256": digest}],
    }  # fmt: skip
    (tmp_path / "s.json").write_text(json.dumps({"thing": row}))
    words = ["fetch", "thing", "--sources", str(tmp_path / "s.json")]
    answers = {"n\n": 1, "": 2}
    for typed, code in answers.items():
        with pytest.MonkeyPatch.context() as patch:
            stdin = io.StringIO(typed)
            stdin.isatty = lambda typed=typed: bool(typed)
            patch.setattr("sys.stdin", stdin)
            assert data(words) == code
    assert server.asked == []
    assert data([*words, "--yes"]) == 0
    said = capsys.readouterr().out
    for part in (
        "licence  MIT",
        "be kind",
        "checksum right",
        f"preview {home / 'thing' / 'a.bin'}",
    ):
        assert part in said
