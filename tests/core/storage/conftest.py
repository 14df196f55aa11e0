"""Both kinds of store, for tests that must hold for either."""

import pytest

from core.storage.store import open_store


@pytest.fixture(params=["folder", "s3"])
def store(request, tmp_path):
    if request.param == "folder":
        return open_store(f"file://{tmp_path}/store")
    return open_store(f"{request.getfixturevalue('s3').uri}/some/prefix")
