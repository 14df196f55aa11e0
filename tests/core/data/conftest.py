"""Small data folders in both formats, and a cache of each test's own."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[3]
SIZE = (32, 24)
VOC_SIZE = "<size><width>32</width><height>24</height><depth>3</depth></size>"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(folder))
    return folder


@pytest.fixture
def bccd() -> Path:
    folder = Path(os.environ.get("BCCD_ROOT", REPOSITORY.parent / "shared" / "datasets" / "bccd"))
    if not folder.is_dir():
        pytest.skip(f"no BCCD data in {folder}; set BCCD_ROOT")
    return folder


def write_image(path: Path, seed: int = 0, size=SIZE, **options: Any) -> Path:
    """Write an image whose content the seed decides, in the format that the ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(seed).randint(0, 256, size=(size[1], size[0], 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def image() -> Callable[..., Path]:
    return write_image


class CocoFolder:
    """A sound COCO folder with the splits train, val and test, three images and boxes of cat and dog in each."""

    def __init__(self, root: Path, annotations: str = "annotations/{}.json", images: str = "images/{}") -> None:
        self.root = root
        self._annotations = annotations
        for number, name in enumerate(("train", "val", "test")):
            self.write(name, coco_document())
            for index in range(3):
                write_image(root / images.format(name) / f"{index}.png", seed=10 * number + index)

    def file(self, name: str) -> Path:
        return self.root / self._annotations.format(name)

    def write(self, name: str, document: Any) -> None:
        self.file(name).parent.mkdir(parents=True, exist_ok=True)
        self.file(name).write_text(document if isinstance(document, str) else json.dumps(document))

    def change(self, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
        document = json.loads(self.file(name).read_text())
        change(document)
        self.write(name, document)


def coco_document() -> dict[str, Any]:
    return {
        "images": [{"id": 5 + index, "file_name": f"{index}.png", "width": SIZE[0], "height": SIZE[1]}
                   for index in range(3)],
        "annotations": [
            {"id": 11, "image_id": 5, "category_id": 3, "bbox": [1, 2, 10, 8], "area": 80, "iscrowd": 0},
            {"id": 12, "image_id": 5, "category_id": 7, "bbox": [20.5, 2, 30, 8.25]},
            {"id": 13, "image_id": 6, "category_id": 3, "bbox": [0, 0, 32, 24], "area": 99.5, "iscrowd": 1}],
        "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]}


@pytest.fixture
def coco(tmp_path) -> CocoFolder:
    return CocoFolder(tmp_path / "coco")


@pytest.fixture
def coco_folder() -> Callable[..., CocoFolder]:
    return CocoFolder


class VocFolder:
    """A sound Pascal VOC folder: splits train, val and test with two images each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "Annotations").mkdir(parents=True)
        (root / "ImageSets" / "Main").mkdir(parents=True)
        for number, name in enumerate(("train", "val", "test")):
            stems = [f"{name} {index}" for index in range(2)]
            self.split(name, stems)
            for index, stem in enumerate(stems):
                write_image(root / "JPEGImages" / f"{stem}.jpg", seed=10 * number + index)
                self.annotate(stem, [voc_object("dog", 1, 1, 32, 24), voc_object("cat", 3, 4, 13, 14)])

    def split(self, name: str, stems: list[str]) -> None:
        (self.root / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(stems) + "\n")

    def annotate(self, stem: str, objects: list[str], size: str = VOC_SIZE) -> None:
        self.raw(stem, f"<annotation><filename>{stem}.jpg</filename>{size}{''.join(objects)}</annotation>")

    def raw(self, stem: str, text: str) -> Path:
        file = self.root / "Annotations" / f"{stem}.xml"
        file.write_text(text, encoding="utf-8")
        return file


def voc_object(name: Any, xmin: Any, ymin: Any, xmax: Any, ymax: Any, extra: str = "") -> str:
    corners = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return f"<object><name>{name}</name>{extra}<bndbox>{corners}</bndbox></object>"


@pytest.fixture
def voc(tmp_path) -> VocFolder:
    return VocFolder(tmp_path / "voc")


@pytest.fixture
def an_object() -> Callable[..., str]:
    return voc_object
