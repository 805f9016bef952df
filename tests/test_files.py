import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tinyface.errors import TinyfaceError
from tinyface.files import atomic_write, make_folder

FULL = OSError(errno.ENOSPC, "No space left on device")


def fails(*args, **kwargs):
    raise FULL


class FullDisk(io.FileIO):
    """A file on a disk that has room for half of what is written."""

    def write(self, content):
        super().write(content[: len(content) // 2])
        raise FULL


@pytest.mark.parametrize("content", [b"new\x00\xff", "new ✓\n", b"", memoryview(b"new")])
@pytest.mark.parametrize("old", [None, b"something older and longer"])
def test_writes_bytes_and_text_in_place_of_what_was_there(tmp_path, content, old):
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)
    atomic_write(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else bytes(content))
    assert os.listdir(tmp_path) == ["file"]


def test_takes_a_path_as_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    atomic_write("file", b"new")
    assert Path("file").read_bytes() == b"new"


@pytest.mark.parametrize("broken", ["open", "fsync", "replace"])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_failed_write_changes_nothing(tmp_path, monkeypatch, broken, old):
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)
    if broken == "open":
        monkeypatch.setattr("builtins.open", FullDisk)
    else:
        monkeypatch.setattr(os, broken, fails)
    with pytest.raises(TinyfaceError) as caught:
        atomic_write(path, b"x" * 1000)
    monkeypatch.undo()
    assert (
        str(caught.value)
        == f"{path}: cannot be written (No space left on device); make room, or choose another place"
    )
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == ({} if old is None else {"file": old})


def test_the_content_is_on_the_disk_before_the_rename_and_the_rename_afterwards(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("replace"), replace(*paths)))
    atomic_write(tmp_path / "file", b"new")
    assert calls == ["fsync", "replace", "fsync"]


def test_a_kill_before_the_rename_leaves_the_old_content(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    script = (
        "import os, signal, sys; from tinyface.files import atomic_write;"
        "os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL);"
        "atomic_write(sys.argv[1], b'new')"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    "place, reason",
    [
        ("missing/file", "No such file or directory"),
        ("a file/file", "Not a directory"),
        ("folder", "Is a directory"),
    ],
)
def test_a_place_that_cannot_be_written_is_named(tmp_path, place, reason):
    (tmp_path / "a file").touch()
    (tmp_path / "folder").mkdir()
    path = tmp_path / place
    with pytest.raises(TinyfaceError) as caught:
        atomic_write(path, b"new")
    assert str(caught.value) == f"{path}: cannot be written ({reason}); make room, or choose another place"
    assert sorted(os.listdir(tmp_path)) == ["a file", "folder"]


def test_make_folder_makes_all_of_the_path_and_leaves_no_trace(tmp_path):
    path = tmp_path / "a" / "b"
    assert make_folder(str(path)) == path
    (path / "kept").write_text("kept")
    assert make_folder(path) == path
    assert os.listdir(path) == ["kept"]


@pytest.mark.parametrize("place", ["a file", "a file/below", "x" * 300])
def test_make_folder_where_none_can_be(tmp_path, place):
    (tmp_path / "a file").write_text("kept")
    with pytest.raises(TinyfaceError) as caught:
        make_folder(tmp_path / place)
    assert str(caught.value).startswith(f"--out {tmp_path / place}: cannot be written to (")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "a file").read_text() == "kept"


def test_make_folder_notices_a_folder_that_takes_no_files(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)  # chmod would not stop root
    with pytest.raises(TinyfaceError, match=r"cannot be written to \(Permission denied\)"):
        make_folder(tmp_path)
