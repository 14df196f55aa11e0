"""Payloads that leave a trace where something opens, runs, imports or fetches them."""

import http.server
import pickle
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Evil:
    """A pickle that creates a file where it is loaded by pickle itself."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self._trace,)


@dataclass
class Canaries:
    """Payloads of one test.

    Attributes:
        folder: Where they lie.
        url: Address of a server that serves the evil checkpoint under every name.
        requests: What that server was asked for.
    """

    folder: Path
    url: str
    requests: list[str] = field(default_factory=list)

    @property
    def module(self) -> str:
        """Name of a module that leaves a trace where it is imported."""
        return f"canary_module_{abs(hash(str(self.folder)))}"

    @property
    def expression(self) -> str:
        """Text that leaves a trace where it is evaluated."""
        return f"__import__('pathlib').Path({str(self._trace('evaluated'))!r}).touch()"

    def file(self, suffix: str) -> str:
        return str(self.folder / f"evil{suffix}")

    def fired(self) -> list[str]:
        """Return what was touched."""
        loaded = [name for name in sys.modules if name == self.module]
        return [path.name for path in (self.folder / "traces").iterdir()] + self.requests + loaded

    def payloads(self) -> list[Any]:
        """Return values that a config can have, each of which some loader of mmcv or mmdet would follow."""
        pretrained = [{"type": "Pretrained", "checkpoint": place} for place in (
            self.url + "evil.pth", self.file(".pth"), f"file://{self.file('.pth')}", f"pavi://{self.file('.pth')}")]
        return [
            *pretrained, [pretrained[0]], {"type": "Pretrained", "checkpoint": self.url + "evil.pth", "prefix": "x"},
            self.url + "evil.pth", self.file(".pth"), self.file(".pkl"), self.file(".npy"), self.file(".yaml"),
            self.file(".py"), self.expression, f"{self.module}.Evil", {"type": f"{self.module}.Evil"},
            {"type": "os.system", "command": f"touch {self._trace('system')}"}, {"type": self.expression},
            {"imports": [self.module], "allow_failed_imports": False}, {"backend": "http"},
            {"backend": "memcached", "server_list_cfg": self.file(".yaml"), "client_cfg": self.file(".yaml"),
             "sys_path": str(self.folder)},
            {"type": "KnowledgeDistillationSingleStageDetector", "teacher_config": self.file(".py"),
             "teacher_ckpt": self.url + "evil.pth"}]

    def _trace(self, name: str) -> Path:
        return self.folder / "traces" / name

    def write(self) -> None:
        (self.folder / "traces").mkdir(parents=True)
        evil = pickle.dumps({"state_dict": Evil(self._trace("unpickled"))}, protocol=2)
        Path(self.file(".pkl")).write_bytes(evil)
        with zipfile.ZipFile(self.file(".pth"), "w") as archive:
            archive.writestr("archive/data.pkl", evil)
            archive.writestr("archive/version", "3\n")
        # numpy's format around a pickle: allow_pickle=True would load it.
        header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
        Path(self.file(".npy")).write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + evil)
        trace = str(self._trace("run"))
        Path(self.file(".py")).write_text(f"open({trace!r}, 'w')\nmodel = {{'type': 'RetinaNet'}}\n")
        Path(self.file(".yaml")).write_text(f"!!python/object/apply:os.mknod [{trace!r}]\n")
        (self.folder / f"{self.module}.py").write_text(f"open({str(self._trace('imported'))!r}, 'w')\nEvil = dict\n")


@contextmanager
def canaries(folder: Path) -> Iterator[Canaries]:
    """Give canaries in ``folder``, their server running and their module importable."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.requests.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(Path(made.file(".pth")).read_bytes())

        do_HEAD = do_GET

        def log_message(self, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Canaries(folder, f"http://127.0.0.1:{server.server_address[1]}/")
    made.write()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    sys.path.append(str(folder))
    try:
        yield made
    finally:
        sys.path.remove(str(folder))
        server.shutdown()
        thread.join()
        server.server_close()
