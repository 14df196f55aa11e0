"""A bundle of the toy detector, put together as the publish stage does it."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from core.base.digest import sha256_file
from core.bundle.assemble import BundleSources, assemble
from core.evaluation.golden import write_golden
from core.export.spec import ModelSpec
from tests.core.conftest import write_toy_onnx
from tests.summaries import summary_record

RUN = "digits-20261126"
CLASSES = ("red", "größe & <b>", "青 い")


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory, openvino: Any, toy_ir: Path,
            int8_spec: ModelSpec) -> BundleSources:
    """What a run leaves: both IRs, a golden image with six squares, summary and report."""
    from core.openvino.detector import OpenVinoDetector
    from core.openvino.ir import convert_to_ir

    folder = tmp_path_factory.mktemp("run")
    int8_ir = folder / "int8"
    convert_to_ir(write_toy_onnx(folder / "onnx", dataclasses.replace(int8_spec, classes=CLASSES), quantized=True),
                  int8_ir)
    picture = np.zeros((96, 128, 3), np.uint8)
    for number, (x, y) in enumerate([(0, 0), (32, 16), (64, 48), (96, 80), (16, 64), (112, 0)]):
        picture[y:y + 16, x:x + 16, number % 3] = 255
    cv2.imwrite(str(folder / "scene.png"), picture)
    write_golden(folder / "golden", folder / "scene.png", OpenVinoDetector(int8_ir)(picture))
    digests = {"ir_xml": sha256_file(int8_ir / "model.xml"), "data": "da7a" * 16}
    (folder / "summary.json").write_text(json.dumps(summary_record(digests, map_ir=0.4102, map50_ir=0.8272,
                                                                   map_fp32=0.4051)))
    (folder / "report.html").write_text("<html></html>")
    return BundleSources(int8_ir, toy_ir, folder / "golden", folder / "summary.json", folder / "report.html")


@pytest.fixture(scope="session")
def assembled(tmp_path_factory: pytest.TempPathFactory, sources: BundleSources) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "cells" / "1"
    assemble(sources, folder, "cells", RUN)
    return folder


@pytest.fixture
def bundle(tmp_path: Path, assembled: Path) -> Path:
    """A copy of the bundle elsewhere, under a name with a space, free to be spoiled."""
    return Path(shutil.copytree(assembled, tmp_path / "a copy"))
