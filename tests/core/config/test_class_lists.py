import pytest

from core.base.errors import UserError
from core.config.loading import load_data

CLASSES = "\ndata['train']['classes'] = 'classes.txt'\n"


def test_a_list_beside_the_config_or_in_the_current_folder(detector, tmp_path, monkeypatch):
    detector.write_text(detector.read_text() + CLASSES)
    (detector.parent / "classes.txt").write_bytes(b"\xef\xbb\xbfred cell\r\nblue\r\n\r\n")
    assert load_data(detector)["data"]["train"]["classes"] == ("red cell", "blue")
    (tmp_path / "classes.txt").write_text("green")
    monkeypatch.chdir(tmp_path)
    assert load_data(detector)["data"]["train"]["classes"] == ("green",)


def test_a_list_within_wrappers(detector):
    wrapped = "\ndata['train'] = [dict(type='RepeatDataset', times=2, dataset=data['train'])]\n"
    detector.write_text(detector.read_text() + CLASSES + wrapped)
    (detector.parent / "classes.txt").write_text("a")
    assert load_data(detector)["data"]["train"][0]["dataset"]["classes"] == ("a",)


@pytest.mark.parametrize("content, problem", [
    (None, "there is no such file.*one class as"), (b"\n \n", "no list of names"), (b"\xff", "utf-8"),
    (b"a\0b", "no list of names"), (b"a\n" * (1 << 20), "more than 1048576 bytes")])
def test_lists_that_are_refused(detector, content, problem):
    detector.write_text(detector.read_text() + CLASSES)
    if content is not None:
        (detector.parent / "classes.txt").write_bytes(content)
    with pytest.raises(UserError, match=problem):
        load_data(detector)


def test_a_list_on_s3_stays_within_its_prefix(detector, s3, monkeypatch, tmp_path):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))
    s3.put("mine/configs/lists/cells.txt", b"red\nblue")
    text = detector.read_text() + "\ndata['train']['classes'] = '{}'\n"
    location = s3.put("mine/configs/a/x.py", text.format("../lists/cells.txt").encode())
    assert load_data(location)["data"]["train"]["classes"] == ("red", "blue")
    for name in ("/etc/hostname", "../../../secret.txt", "~/x.txt"):
        with pytest.raises(UserError, match="there is no such file"):
            load_data(s3.put("mine/configs/a/x.py", text.format(name).encode()))
