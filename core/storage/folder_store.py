"""A folder of this machine as a store."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from core.base.files import PARTIAL_SUFFIX, new_file
from core.storage.store import AccessDenied, ObjectExists, ObjectNotFound, Store, StoredObject, check_name


class FolderStore(Store):
    """Objects as files below a folder, which is made by the first write."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self._root = root

    def list(self, prefix: str = "") -> list[StoredObject]:
        """See :class:`Store`; what is still being written is not listed, links are not followed."""
        def unless_absent(error: OSError) -> None:
            if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
                raise error

        found = []
        with self._errors(prefix):
            start = self._root / prefix.rpartition("/")[0]
            for folder, folders, files in os.walk(start, onerror=unless_absent):
                folders[:] = [name for name in folders if not name.endswith(PARTIAL_SUFFIX)]
                found += [Path(folder, name) for name in files]
        named = ((path.relative_to(self._root).as_posix(), path) for path in found)
        infos = [self._info(name, path) for name, path in sorted(named) if name.startswith(prefix)]
        return [info for info in infos if info is not None]

    def find(self, name: str) -> StoredObject | None:
        with self._at(name) as path:
            return self._info(name, path)

    def read(self, name: str) -> bytes:
        with self._at(name) as path:
            return path.read_bytes()

    def write(self, name: str, contents: bytes, only_new: bool = False) -> None:
        with self._at(name) as target:
            if not only_new:
                with new_file(target) as path:
                    path.write_bytes(contents)
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".new.", suffix=PARTIAL_SUFFIX, dir=str(target.parent)) as beside:
                written = Path(beside) / "object"
                with open(written, "wb") as file:
                    file.write(contents)
                    file.flush()
                    os.fsync(file.fileno())
                # Unlike a rename, a link does not replace what is there.
                os.link(written, target)

    def download(self, name: str, path: Path) -> None:
        with new_file(path) as partial, self._at(name) as source:
            shutil.copyfile(source, partial)

    def upload(self, path: Path, name: str, sha256: str = "") -> None:
        with self._at(name) as target, new_file(target) as partial:
            shutil.copyfile(path, partial)

    def delete(self, name: str) -> None:
        """See :class:`Store`; folders that it leaves empty stay."""
        with self._at(name) as path:
            path.unlink(missing_ok=True)

    def _info(self, name: str, path: Path) -> StoredObject | None:
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not path.is_file():
            return None
        modified = datetime.fromtimestamp(status.st_mtime, UTC)
        return StoredObject(name, status.st_size, f"{status.st_mtime_ns:x}-{status.st_size:x}", modified)

    @contextlib.contextmanager
    def _at(self, name: str) -> Iterator[Path]:
        check_name(name, self.location)
        with self._errors(name):
            yield self._root / name

    @contextlib.contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        thing = f"object {self.uri(name)}"
        try:
            yield
        except FileNotFoundError as error:
            raise ObjectNotFound(thing, "not found", "It must be a file that exists.", "Check the location.") from error
        except FileExistsError as error:
            raise ObjectExists(thing, "exists", "It must not be replaced.", "Choose another name.") from error
        except (PermissionError, NotADirectoryError, IsADirectoryError) as error:
            raise AccessDenied(thing, error.strerror, "The folder must be one that this user can read and write.",
                               "Change its permissions or choose another location.") from error
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            raise AccessDenied(thing, error.strerror, "The folder must be on a file system that can be written.",
                               "Choose another location.") from error
