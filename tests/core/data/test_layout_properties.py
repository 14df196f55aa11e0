"""Generated folders: each split gets its own images or the folder is refused; no image comes from elsewhere."""

import json
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.data import coco
from core.data.annotations import AnnotatedImage, AnnotatedSplit, Box
from core.data.layout import Fractions
from core.data.search import FileSearch
from core.data.splits import MADE, make_splits, plan

ANNOTATIONS = ["annotations/{s}.json", "annotations/instances_{s}2017.json", "{s}.json", "{s}/labels.json",
               "{s}/_annotations.coco.json", "labels/{s}_v2.json", "x/y/{s}/a.json"]
IMAGES = ["{s}", "images/{s}", "{s}2017", "{s}/images", "images", "", "pictures/{s}/day 1", "{s}/pictures"]
SPELLINGS = ["{n}", "images/{n}", "./{n}", "images\\{n}", "C:\\me\\{s}\\{n}", "/home/me/data/{s}/{n}", "../images/{n}",
             "http://127.0.0.1:9/{n}", "{s}/{n}", "{n}.other", "../../../../etc/{n}", "{S}/{n}"]
NAMES = ["a.jpg", "b.JPG", "c d.png"]


def write(root: Path, annotations: str, images: str, spelling: str, own_names: bool, extra: list[str]) -> None:
    for split in ("train", "val"):
        names = [f"{split}_{name}" if own_names else name for name in NAMES]
        for name in names:
            file = root / images.format(s=split) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(split)
        file = root / annotations.format(s=split)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({
            "images": [{"id": number, "width": 9, "height": 9, "file_name": spelling.format(n=name, s=split,
                                                                                          S=split.upper())}
                       for number, name in enumerate(names)],
            "annotations": [{"image_id": 0, "category_id": 1, "bbox": [1, 1, 4, 4]}],
            "categories": [{"id": 1, "name": "cell"}]}))
    for name in extra:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("elsewhere")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ANNOTATIONS), st.sampled_from(IMAGES), st.sampled_from(SPELLINGS), st.booleans(),
       st.lists(st.sampled_from(["a.jpg", "backup/a.jpg", "test/a.jpg", "images/b.jpg", "val/train_a.jpg", "old.json"]),
                max_size=2))
def test_no_split_gets_an_image_of_another(annotations, images, spelling, own_names, extra):
    shared = "{s}" not in images
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        write(root, annotations, images, spelling, own_names or shared, extra)
        search = FileSearch(root)
        try:
            layout = plan(coco.find_splits(search), ("auto", "auto", "auto"), Fractions(), root, single=True)
            splits = [coco.read_part(search, layout.parts[name][0], name) for name in ("train", "val")]
        except UserError as error:
            assert len(str(error)) < 4000
            return
        for split in splits:
            for image in split.images:
                file = split.image_root / image.file_name
                assert root in file.resolve().parents or not file.exists()
                if file.exists() and not extra:
                    assert file.read_text() == split.name


@settings(max_examples=200, deadline=None)
@example(boxed=3, empty=0, val=0.5, test=0.25, seed=0)
@given(st.integers(1, 60), st.integers(0, 20), st.floats(0, 0.6), st.floats(0.01, 0.39), st.integers(0, 99))
def test_every_image_is_in_one_split(boxed, empty, val, test, seed):
    images = tuple(AnnotatedImage(f"{number}.png", 9, 9, (Box("cell", 1, 1, 4, 4),) if number < boxed else ())
                   for number in range(boxed + empty))
    whole = AnnotatedSplit("all", Path("/x"), (), ("cell",), images, part_sizes=(boxed, empty))
    names = MADE if val else MADE._replace(val="")
    try:
        made = make_splits(whole, Fractions(val, test, seed), names)
    except UserError:
        assert boxed < 3
        return
    shared = [image for split in made.values() for image in split.images]
    assert sorted(shared) == sorted(images)
    for split in made.values():
        assert any(image.boxes for image in split.images)
        assert sum(split.part_sizes) == len(split.images)
    shuffled = AnnotatedSplit("all", Path("/x"), (), ("cell",), images[::-1], part_sizes=(empty + boxed,))
    again = make_splits(shuffled, Fractions(val, test, seed), names)
    assert {name: set(split.images) for name, split in made.items()} == {
        name: set(split.images) for name, split in again.items()}
