import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.base.errors import UserError
from core.data import digits
from core.data.digits import SAMPLES, DigitsOptions, materialise, write_sample

SMALL = DigitsOptions(seed=3, train=4, val=2, test=3)


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def digest(folder):
    summary = hashlib.sha256()
    for name, content in sorted(tree(folder).items()):
        summary.update(f"{name} {len(content)}\n".encode() + content)
    return summary.hexdigest()


def test_the_sample_is_the_same_to_the_byte_everywhere(tmp_path):
    write_sample(SMALL, tmp_path)
    # A change here is a new version of the data: raise digits._VERSION with it.
    assert digest(tmp_path) == "af4af3d5d398d9a467de59a274362b325c9290720be78e36b2e238671f9ff5af"


def test_files_lie_in_coco_layout(tmp_path):
    write_sample(SMALL, tmp_path)
    names = sorted(tree(tmp_path))
    assert names == ["annotations/test.json", "annotations/train.json", "annotations/val.json",
                     "images/test/000001.bmp", "images/test/000002.bmp", "images/test/000003.bmp",
                     "images/train/000001.bmp", "images/train/000002.bmp", "images/train/000003.bmp",
                     "images/train/000004.bmp", "images/val/000001.bmp", "images/val/000002.bmp"]
    document = json.loads((tmp_path / "annotations" / "test.json").read_text())
    assert [image["file_name"] for image in document["images"]] == ["000001.bmp", "000002.bmp", "000003.bmp"]
    assert [category["name"] for category in document["categories"]] == list("0123456789")
    assert [box["id"] for box in document["annotations"]] == list(range(1, len(document["annotations"]) + 1))
    assert {box["image_id"] for box in document["annotations"]} == {1, 2, 3}


def test_a_larger_sample_begins_with_the_smaller_one(tmp_path):
    for name in ("small", "large"):
        (tmp_path / name).mkdir()
    write_sample(SMALL, tmp_path / "small")
    write_sample(DigitsOptions(seed=3, train=6, val=0, test=3), tmp_path / "large")
    small, large = tree(tmp_path / "small"), tree(tmp_path / "large")
    assert small["images/train/000004.bmp"] == large["images/train/000004.bmp"]
    assert small["annotations/test.json"] == large["annotations/test.json"]
    assert not any("val" in name for name in large)


def test_another_seed_gives_other_scenes(tmp_path):
    for seed in (1, 2):
        (tmp_path / str(seed)).mkdir()
        write_sample(DigitsOptions(seed=seed, train=1, val=0, test=1), tmp_path / str(seed))
    one, two = tree(tmp_path / "1"), tree(tmp_path / "2")
    assert all(one[name] != two[name] for name in one)


def test_no_digit_is_in_two_splits(tmp_path, monkeypatch):
    used = []
    compose = digits.compose_scene
    monkeypatch.setattr(digits, "compose_scene", lambda random, glyphs, labels: used.append(
        {glyph.tobytes() for glyph in glyphs}) or compose(random, glyphs, labels))
    write_sample(DigitsOptions(train=1, val=1, test=1), tmp_path)
    train, val, test = used
    assert (len(train), len(val), len(test)) == (1257, 180, 360)
    assert not train & val and not train & test and not val & test
    assert sorted(SAMPLES.values()) == [(0, 1257), (1257, 1437), (1437, 1797)]


def test_the_sample_is_made_once(monkeypatch, cache):
    folder = materialise(SMALL)
    assert folder.parent.parent == cache
    monkeypatch.setattr(digits, "write_sample", lambda *_: pytest.fail("made again"))
    assert materialise(SMALL) == folder


def test_two_at_once_give_one_whole_sample():
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(materialise, [SMALL, SMALL])
    assert first == second
    assert os.listdir(first.parent) == [first.name]
    assert len(tree(first)) == 12


def test_an_interrupted_sample_leaves_nothing(monkeypatch, cache):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(digits, "bitmap", interrupt)
    with pytest.raises(KeyboardInterrupt):
        materialise(SMALL)
    assert tree(cache) == {}
    assert os.listdir(cache / "builtin") == []


def test_options_have_defaults_and_are_spelled_out():
    assert DigitsOptions.from_query({}).uri == "builtin://digits?seed=0&train=600&val=80&test=160"
    assert DigitsOptions.from_query({"seed": "3", "train": "4", "val": "2", "test": "3"}) == SMALL


@pytest.mark.parametrize("query, named", [
    ({"sed": "1"}, "option 'sed' (did you mean 'seed'?)"),
    ({"train": "0"}, "train=0"),
    ({"train": "100000"}, "train=100000"),
    ({"test": "-1"}, "test=-1"),
    ({"val": "1.5"}, "val=1.5"),
    ({"seed": ""}, "seed="),
    ({"seed": "٣"}, "seed=٣"),
    ({"seed": "4294967296"}, "seed=4294967296"),
])
def test_other_options_are_refused(query, named):
    with pytest.raises(UserError) as caught:
        DigitsOptions.from_query(query)
    assert caught.value.value == named
