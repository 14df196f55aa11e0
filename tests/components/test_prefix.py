"""A data set below a prefix on S3: looked at by resolve, looked into by the first stage that fetches it."""

import importlib
import json

import pytest

from components.stage import REQUIRED, elements
from core.data.dataset import resolve_data
from tests.core.data.conftest import CocoFolder
from tests.core.storage.fault_proxy import fault_proxy

CONFIGS = ["--model-config", "configs/detectors/retinanet_r18_small_digits.py",
           "--compression-config", "configs/nncf_compression/retinanet_r18_small/digits_int8.py"]
REFERENCES = {"train": ["--model", "{}"], "compress": ["--compression", "{}"], "evaluate": [], "validate": []}


@pytest.fixture(name="uri")
def fixture_uri(tmp_path, monkeypatch, s3):
    """A sound COCO set on S3 but for one image, which is cut off."""
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))
    folder = CocoFolder(tmp_path / "coco").root
    image = folder / "images" / "val" / "1.png"
    image.write_bytes(image.read_bytes()[:-20])
    for path in sorted(folder.rglob("*.*")):
        s3.put(f"coco/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return f"{s3.uri}/coco"


def outputs(stage, folder):
    """Return the options of a stage's required files, none of which is there."""
    declaration = importlib.import_module(f"components.{stage}.stage").STAGE.declaration
    asked = [element.option for element in elements(declaration)
             if element.default is REQUIRED and element.option not in ("--data", *CONFIGS, *REFERENCES[stage])]
    return [text for option in asked for text in (option, str(folder / option.strip("-")))]


def test_resolve_reads_no_image(uri, tmp_path, s3, monkeypatch):
    from components.resolve.stage import STAGE

    options = [*CONFIGS, "--data", uri, *(text for name in ("data", "model", "compression", "parent")
                                          for text in (f"--resolved-{name}", str(tmp_path / "out" / name)))]
    with fault_proxy(s3.server.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        assert STAGE.main(options) == 0
    read = [line for line in proxy.seen if "list-type" not in line]
    assert sorted(read) == [f"GET /{s3.name}/coco/annotations/{split}.json" for split in ("test", "train", "val")]
    assert not list((tmp_path / "cache").rglob("*.png"))
    assert json.loads((tmp_path / "out" / "data").read_text())["uri"] == uri


@pytest.mark.parametrize("stage", sorted(REFERENCES))
def test_a_corrupt_image_is_named_by_whichever_stage_is_first(uri, stage, tmp_path, capsys):
    main = importlib.import_module(f"components.{stage}.stage").STAGE.main
    data = json.dumps(resolve_data(uri).to_json())
    assert main(["--data", data, *REFERENCES[stage], *outputs(stage, tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert f"{stage}: images: 1 of 9 in" in error and "images/val/1.png (" in error and "Traceback" not in error
