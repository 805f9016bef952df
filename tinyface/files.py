"""Writing files so that nothing already saved is ever lost, and a reader never meets half a file."""

import io
import os
from pathlib import Path

from .errors import TinyfaceError


def atomic_write(path, content):
    """Write bytes or text to `path`: to a temporary file beside it, flushed to the disk, then renamed over it.

    Whatever happens on the way (a full disk, a kill), `path` holds either the old content or the new.
    Raises TinyfaceError, naming the file, where it cannot be written.
    """
    path = Path(path)
    content = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise TinyfaceError(
            f"{path}: cannot be written ({error.strerror or error}); make room, or choose another place"
        ) from None


def write_image(image, path, kind, **options):
    """Write a PIL image as "JPEG" or "PNG" into a folder that is a draft itself. Raises OSError.

    Pillow passes over a short write, as on a full disk; Python's own files do not.
    """
    content = io.BytesIO()
    image.save(content, kind, **options)
    with open(path, "wb") as file:
        file.write(content.getbuffer())


def remove_drafts(folder):
    """Remove the temporary files that killed `atomic_write`s left behind."""
    for draft in Path(folder).glob(".*.tmp"):
        draft.unlink(missing_ok=True)


def make_folder(path):
    """The folder, made if need be and tried for writing. Raises TinyfaceError naming it."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise TinyfaceError(
            f"--out {path}: cannot be written to ({error.strerror}); choose another folder"
        ) from None
    return path


def _sync_folder(path):
    """The rename itself must reach the disk too; not every system lets a folder be opened for that."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
