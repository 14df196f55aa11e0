"""Data sets that no annotator meant: COCO and Pascal VOC folders, malformed or hostile."""

import json
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile.case import Case

IMAGE = {"id": 1, "file_name": "a.png", "width": 8, "height": 8}
BOX = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4], "area": 16, "iscrowd": 0}
CATEGORY = {"id": 1, "name": "cell"}
# A black picture of 8 x 8 pixels.
_HEADER = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
PICTURE = b"\x89PNG\r\n\x1a\n" + b"".join(
    struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    for kind, data in ((b"IHDR", _HEADER), (b"IDAT", zlib.compress(bytes(9 * 8))), (b"IEND", b"")))
HUGE = 10 ** 400


def document(images=(IMAGE,), annotations=(BOX,), categories=(CATEGORY,)) -> dict[str, Any]:
    return {"images": list(images), "annotations": list(annotations), "categories": list(categories)}


def coco(text: str, folder: Path, canary: Path) -> Path:
    (folder / "annotations").mkdir()
    for name in ("train", "test"):
        (folder / name).mkdir()
        (folder / name / "a.png").write_bytes(PICTURE)
        data = text.encode("utf-8", "surrogatepass")
        (folder / "annotations" / f"{name}.json").write_bytes(data.replace(b"CANARY", str(canary).encode()))
    return folder


def voc(xml: str, names: str, folder: Path, canary: Path) -> Path:
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    (folder / "JPEGImages" / "a.png").write_bytes(PICTURE)
    (folder / "Annotations" / "a.xml").write_text(xml.replace("CANARY", str(canary)))
    for name in ("train", "test"):
        (folder / "ImageSets" / "Main" / f"{name}.txt").write_text(names)
    return folder


def read(folder: Path):
    from core.data.dataset import resolve_data

    return resolve_data(str(folder), train_split="train", test_split="test")


def boxes(**changes: Any) -> dict[str, Any]:
    return document(annotations=[{**BOX, **changes}])


def images(**changes: Any) -> dict[str, Any]:
    return document(images=[{**IMAGE, **changes}])


DOCUMENTS: dict[str, Any] = {
    "x of a box is NaN": boxes(bbox=[float("nan"), 0, 4, 4]),
    "width of a box is NaN": boxes(bbox=[0, 0, float("nan"), 4]),
    "box is infinite": boxes(bbox=[0, 0, float("inf"), 4]), "box of 10**400 pixels": boxes(bbox=[0, 0, HUGE, 4]),
    "box of words": boxes(bbox=["a", "0", "4", "4"]), "box of three numbers": boxes(bbox=[0, 0, 4]),
    "box of five numbers": boxes(bbox=[0, 0, 4, 4, 4]), "box of truth values": boxes(bbox=[True, False, True, True]),
    "box that is text": boxes(bbox="0 0 4 4"), "box that is null": boxes(bbox=None),
    "box that is an object": boxes(bbox={}),
    "every box of negative size": boxes(bbox=[4, 4, -4, -4]), "every box outside the image": boxes(bbox=[90, 90, 4, 4]),
    "every box without area": boxes(bbox=[1, 1, 0, 0]), "area is NaN": boxes(area=float("nan")),
    "area is negative": boxes(area=-1), "area is text": boxes(area="x"), "image id is absent": boxes(image_id=7),
    "image id is a list": boxes(image_id=[1]), "category id is absent": boxes(category_id=7),
    "category id is an object": boxes(category_id={}), "category id is null": boxes(category_id=None),
    "iscrowd is 2": boxes(iscrowd=2), "iscrowd is text": boxes(iscrowd="no"), "iscrowd is a list": boxes(iscrowd=[]),
    "annotation is a list": document(annotations=[[1]]),
    "annotation is null": document(annotations=[None]), "no annotation": document(annotations=[]),
    "image width is negative": images(width=-8), "image width is NaN": images(
        width=float("nan")), "image width is 10**400": images(width=HUGE), "image width is 1.5": images(width=1.5),
    "image width is a word": images(width="wide"), "image height is a list": images(height=[8]),
    "image ids twice": document(images=[IMAGE, {**IMAGE, "file_name": "b.jpg"}]),
    "image names twice": document(images=[IMAGE, {**IMAGE, "id": 2}]), "image id is null": images(id=None),
    "image id is true": images(id=True), "image is text": document(images=["a.png"]), "no image": document(images=[]),
    "image file is absent": images(file_name="absent.jpg"), "image name leads upwards": images(
        file_name="../../../etc/passwd"), "image name leads upwards within": images(file_name="x/../../../etc/passwd"),
    "image name is absolute": images(file_name="/etc/passwd"), "image name is empty": images(file_name=""),
    "image name is a number": images(file_name=1), "image name has a NUL": images(file_name="a\0.jpg"),
    "image name is half a character": images(file_name="\ud800.jpg"), "image name is a URL": images(
        file_name="http://127.0.0.1:9/b.png"), "image name of 10,000 letters": images(file_name="a" * 10_000),
    "image name is a command": images(file_name="$(touch CANARY).jpg"),
    "image name is a dot": images(file_name="."),
    "category without a name": document(categories=[{"id": 1}]), "category name is empty": document(
        categories=[{"id": 1, "name": " "}]), "category name is a list": document(categories=[{"id": 1, "name": [5]}]),
    "category name is half a character": document(categories=[{"id": 1, "name": "\udfff"}]),
    "category ids twice": document(categories=[CATEGORY, {"id": 1, "name": "b"}]), "category id is a list": document(
        categories=[{"id": [1], "name": "cell"}]), "no category": document(categories=[]),
    "categories is an object": {**document(), "categories": {"1": "cell"}},
    "annotations is null": {**document(), "annotations": None}, "images is text": {**document(), "images": "a.png"},
    "no images key": {"annotations": [BOX], "categories": [CATEGORY]}, "a list": [document()], "a number": 5,
    "null": None}
TEXTS = {
    "empty": "", "cut off": json.dumps(document())[:-20], "not JSON": "images: []", "half a number": '{"images": [1e',
    "nested 100,000 deep": "[" * 100_000, "objects nested 100,000 deep": '{"a":' * 100_000,
    "number of a million digits": '{"images": [' + "9" * 1_000_000 + "]}", "web page": "<!DOCTYPE html>",
    "half a character": '"\ud800"', "pickle": "cos\nsystem\n(S'touch CANARY'\ntR."}
SOUND = ("<annotation><size><width>8</width><height>8</height></size><object><name>cell</name><bndbox><xmin>1</xmin>"
         "<ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object></annotation>")
LAUGHS = "".join(f'<!ENTITY l{index} "{f"&l{index - 1};" * 10}">' for index in range(1, 10))
XML = {
    "billion laughs": f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]>' + SOUND.replace("cell", "&l9;"),
    "external entity": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + SOUND.replace("cell", "&x;"),
    "external document type": '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">' + SOUND,
    "parameter entity": '<!DOCTYPE a [<!ENTITY % x SYSTEM "file:///CANARY"> %x;]>' + SOUND,
    "undeclared entity": SOUND.replace("cell", "&nothing;"), "not closed": SOUND[:-13], "empty": "",
    "JSON": "{}", "a corner is NaN": SOUND.replace(">5<", ">nan<"),
    "a corner is infinite": SOUND.replace(">5<", ">inf<"),
    "a corner is text": SOUND.replace(">5<", ">five<"), "a corner is 10**400": SOUND.replace(">5<", f">{HUGE}<"),
    "a corner is missing": SOUND.replace("<xmax>5</xmax>", ""), "no name": SOUND.replace("cell", ""),
    "no box": SOUND.replace("bndbox", "other"), "width is text": SOUND.replace(">8<", ">wide<"),
    "width is 10**400": SOUND.replace(">8<", f">{HUGE}<"), "every box is a point": SOUND.replace(">1<", ">5<"),
    "unknown encoding": '<?xml version="1.0" encoding="x-evil"?>' + SOUND}
NAMES = {"leads upwards": "../../etc/passwd\n", "is absolute": "/etc/passwd\n", "twice": "a\na\n", "absent": "b\n",
         "has a NUL": "a\0b\n", "none": "\n"}


def sound() -> list[Case]:
    return [Case("COCO", partial(coco, json.dumps(document())), read), Case("VOC", partial(voc, SOUND, "a\n"), read)]


def cases() -> list[Case]:
    writers: dict[str, Callable[..., Path]] = {
        f"COCO, {name}": partial(coco, json.dumps(value)) for name, value in DOCUMENTS.items()}
    writers.update({f"COCO text, {name}": partial(coco, text) for name, text in TEXTS.items()})
    writers.update({f"VOC, {name}": partial(voc, xml, "a\n") for name, xml in XML.items()})
    writers.update({f"VOC split, {name}": partial(voc, SOUND, names) for name, names in NAMES.items()})
    return [Case(name, write, read) for name, write in writers.items()]
