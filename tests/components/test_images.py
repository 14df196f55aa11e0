import importlib

import pytest

from components import images


@pytest.fixture(name="reload")
def fixture_reload(monkeypatch):
    yield lambda: importlib.reload(images)
    monkeypatch.undo()
    importlib.reload(images)


def test_images_can_be_named_by_the_environment(monkeypatch, reload):
    monkeypatch.setenv(images.TRAIN_VARIABLE, "registry.local/train@sha256:1")
    monkeypatch.delenv(images.OPENVINO_VARIABLE, raising=False)
    assert reload().environments() == {"registry.local/train@sha256:1": "train",
                                       f"{images.REGISTRY}/openvino:{images.TAG}": "openvino"}
