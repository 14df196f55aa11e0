"""Properties of the annotation readers: any document is read or refused by a message, and what is read is sound."""

import json
import math
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.data import coco
from core.data.annotations import clean_boxes
from core.data.voc import parse_xml
from tests.core.data.reading import read_split

NUMBERS = st.one_of(st.integers(-10, 50), st.integers(), st.floats(), st.just(10 ** 400))
JSON = st.recursive(st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8)),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
                    max_leaves=12)
IDS = st.one_of(st.integers(0, 4), st.text(max_size=2), JSON)


def entry(**fields):
    """Return objects with these fields, each of which may be missing or anything."""
    return st.fixed_dictionaries({}, optional={name: values | JSON for name, values in fields.items()}) | JSON


DOCUMENTS = st.fixed_dictionaries({
    "images": st.lists(entry(id=IDS, file_name=st.sampled_from(["a.png", "b.png", "../c.png"]) | st.text(max_size=9),
                             width=st.integers(1, 64), height=st.integers(1, 64)), max_size=4),
    "annotations": st.lists(entry(id=IDS, image_id=IDS, category_id=IDS, bbox=st.lists(NUMBERS, min_size=4, max_size=4),
                                  area=NUMBERS, iscrowd=st.integers(0, 1)), max_size=6),
    "categories": st.lists(entry(id=st.integers(0, 4), name=st.sampled_from(["cell", "cat"])), max_size=3)}) | JSON
# Documents with sound images and categories, so that boxes are reached.
REACHING = st.fixed_dictionaries({
    "images": st.just([{"id": 1, "file_name": "a.png", "width": 40, "height": 30}]),
    "annotations": st.lists(st.fixed_dictionaries({
        "id": st.integers(0, 99), "image_id": st.just(1), "category_id": st.just(1),
        "bbox": st.lists(st.floats(-60, 60), min_size=4, max_size=4)}), max_size=6, unique_by=lambda box: box["id"]),
    "categories": st.just([{"id": 1, "name": "cell"}])})


def read(document):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "annotations").mkdir()
        (Path(folder) / "annotations" / "train.json").write_text(json.dumps(document))
        return read_split(coco, Path(folder), "train")


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS)
def test_any_document_is_read_or_refused(document):
    try:
        split = read(document)
    except UserError:
        return
    assert len(split.images) == len(document["images"])
    for image in split.images:
        assert image.width >= 1 and image.height >= 1
        assert not Path(image.file_name).is_absolute() and ".." not in Path(image.file_name).parts
        assert all(math.isfinite(number) for box in image.boxes for number in (box.x, box.y, box.width, box.height))


@settings(max_examples=60, deadline=None)
@given(REACHING)
def test_boxes_are_kept_within_their_image_or_named_as_dropped(document):
    image = read(document).images[0]
    kept, dropped = clean_boxes(image)
    assert len(kept) + len(dropped) == len(document["annotations"])
    for box in kept:
        assert box.width > 0 and box.height > 0
        assert box.x >= 0 and box.x + box.width <= image.width + 1e-9
        assert box.y >= 0 and box.y + box.height <= image.height + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet="<>/!&;[]\"'ab DOCTYPEN=%", max_size=80).map(str.encode))
def test_any_xml_is_parsed_or_refused(data):
    try:
        parse_xml(data)
    except ValueError:
        return
    assert b"<!DOCTYPE" not in data
