import numpy as np
import pytest

from core.base.errors import UserError
from core.evaluation.detections import Detections
from core.evaluation.store import read_detections, write_detections


def test_detections_come_back_as_they_were(tmp_path, sample):
    detections = {**sample.detections, 99: Detections.empty()}
    write_detections(tmp_path / "deep" / "found.npz", detections)
    read = read_detections(tmp_path / "deep" / "found.npz")
    assert list(read) == list(detections)
    for image, found in detections.items():
        for name in ("boxes", "scores", "labels"):
            before, after = getattr(found, name), getattr(read[image], name)
            assert np.array_equal(before, after) and after.dtype == (np.int64 if name == "labels" else np.float32)


def test_as_many_detections_as_a_whole_split_has_come_back(tmp_path):
    random = np.random.default_rng(0)
    whole = Detections(random.random((50_000, 4), np.float32), random.random(50_000, np.float32),
                       random.integers(0, 80, 50_000))
    write_detections(tmp_path / "found", {1: whole})
    assert np.array_equal(read_detections(tmp_path / "found")[1].boxes, whole.boxes)


def test_no_images(tmp_path):
    write_detections(tmp_path / "found", {})
    assert read_detections(tmp_path / "found") == {}


@pytest.mark.parametrize("kept", [0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_an_error(tmp_path, sample, kept):
    file = tmp_path / "found.npz"
    write_detections(file, sample.detections)
    content = file.read_bytes()
    file.write_bytes(content[:int(len(content) * kept)])
    with pytest.raises(UserError, match="detections: .*found.npz"):
        read_detections(file)


def test_pickled_objects_are_refused(tmp_path):
    np.savez(tmp_path / "found.npz", **{name: np.array([{}], object)
                                        for name in ("images", "counts", "boxes", "scores", "labels")})
    with pytest.raises(UserError, match="It cannot be read"):
        read_detections(tmp_path / "found.npz")


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match="absent.npz"):
        read_detections(tmp_path / "absent.npz")
