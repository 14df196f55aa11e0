import base64

import cv2
import numpy as np
import pytest

from core.report.samples import embed, read_samples
from core.results.accuracy import Picture


@pytest.fixture()
def pictures(tmp_path, add_samples):
    validation = {"samples": []}
    add_samples(tmp_path, validation, count=4)
    found, missing = read_samples(tmp_path, [Picture(**sample) for sample in validation["samples"]])
    assert len(found) == 4 and missing == ()
    return found


def decoded(uri):
    head, body = uri.split(",", 1)
    assert head == "data:image/jpeg;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(body), np.uint8), cv2.IMREAD_COLOR)


def test_unreadable_and_outside_files_are_named(tmp_path, add_samples):
    folder, validation = tmp_path / "validation", {"samples": []}
    add_samples(folder, validation, count=1, width=32, height=16)
    (folder / "samples" / "broken.jpg").write_bytes(b"\xff\xd8\xff but no picture")
    (folder / "samples" / "empty.jpg").write_bytes(b"")
    (tmp_path / "outside.jpg").write_bytes((folder / "samples" / "0.jpg").read_bytes())
    # A PNG of 60000 x 60000 pixels by its header.
    (folder / "samples" / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (60000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00" + bytes(4))
    files = ["samples/0.jpg", "samples/broken.jpg", "samples/empty.jpg", "samples/gone.jpg", "../outside.jpg",
             str(tmp_path / "outside.jpg"), "samples", "samples/\x00.jpg", "x" * 5000, "samples/bomb.png"]
    found, missing = read_samples(folder, [Picture(file=file, image="x.jpg") for file in files])
    assert [picture.caption for picture in found] == ["x.jpg"]
    assert list(missing) == files[1:]


def test_with_room_pictures_keep_their_size(pictures):
    embedded = embed(pictures, 10_000_000)
    assert [decoded(uri).shape for uri, _ in embedded] == [(480, 1280, 3)] * 4
    assert [name for _, name in embedded] == [f"BloodImage_{number:05d}.jpg" for number in range(4)]


def test_with_less_room_pictures_shrink_evenly(pictures):
    embedded = embed(pictures, 400_000)
    assert len(embedded) == len(pictures)
    assert sum(len(uri) for uri, _ in embedded) <= 400_000
    assert len({decoded(uri).shape for uri, _ in embedded}) == 1
    assert 480 <= decoded(embedded[0][0]).shape[1] < 1280


@pytest.mark.parametrize("budget", [0, -5, 1000])
def test_without_room_pictures_are_left_out(pictures, budget):
    assert embed(pictures, budget) == []


def test_no_pictures():
    assert embed([], 1000) == []


def test_a_single_pixel_is_a_picture(tmp_path):
    cv2.imwrite(str(tmp_path / "dot.png"), np.zeros((1, 1, 3), np.uint8))
    found, _ = read_samples(tmp_path, [Picture(file="dot.png", image="dot")])
    assert decoded(embed(found, 10_000)[0][0]).shape == (1, 1, 3)
