"""The command line against a stand-in for the API server, whose contract every request has to keep."""

from dataclasses import dataclass
from typing import Any

import pytest


@dataclass
class Cluster:
    """A stand-in and the command line that talks to it.

    Attributes:
        stand_in: The server's memory and settings.
        url: Its address.
        capture: pytest's capsys.
    """

    stand_in: Any
    url: str
    capture: Any

    def run(self, *options, quiet=True):
        """Run a command; return its exit code, its lines on standard output (``quiet``: without notices), and its
        standard error."""
        from pipelines import compress

        code = compress.main([*options, "--host", self.url])
        out, err = self.capture.readouterr()
        return code, [line for line in out.splitlines() if not (quiet and line.startswith("notice: "))], err


@pytest.fixture(name="pipeline", scope="session")
def fixture_pipeline():
    from pipelines.graph import define_pipeline

    return define_pipeline()


@pytest.fixture(name="stand_in")
def fixture_stand_in():
    from kfp_api.server import StandIn

    return StandIn()


@pytest.fixture(name="cluster")
def fixture_cluster(stand_in, pipeline, capsys, monkeypatch, tmp_path):
    from kfp import Client

    from kfp_api.server import start
    from pipelines import compress
    from pipelines.cluster import auth

    monkeypatch.setattr(compress, "define_pipeline", lambda: pipeline)
    monkeypatch.setattr(Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    monkeypatch.setattr(auth, "POD_TOKEN", tmp_path / "absent")
    for name in (auth.TOKEN_VARIABLE, auth.COOKIES_VARIABLE, auth.CA_VARIABLE, auth.POD_TOKEN_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    server = start(stand_in)
    yield Cluster(stand_in, f"http://127.0.0.1:{server.server_port}", capsys)
    server.shutdown()
    server.server_close()
    assert stand_in.broken == []
