import shutil
from pathlib import Path

import pytest

from core.data.dataset import open_dataset, resolve_data
from core.data.place import locate
from core.data.reference import DataRef
from core.errors import UserError


def send(folder, s3, prefix):
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            s3.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return f"{s3.uri}/{prefix}"


def test_a_prefix_is_the_same_data_as_the_folder(coco, s3):
    here = resolve_data(str(coco.root))
    ref = resolve_data(send(coco.root, s3, "sets/coco") + "/")
    assert (ref.uri, ref.digest) == (f"{s3.uri}/sets/coco", here.digest)
    assert here.source == "" and len(ref.source) == 64
    dataset = open_dataset(DataRef.from_json(ref.to_json()))
    assert dataset.classes == open_dataset(here).classes
    assert len(list(dataset.train.image_root.iterdir())) == 3


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
@pytest.mark.parametrize("inside", [".", "voc"])
def test_an_archive_is_the_same_data_as_the_folder(voc, s3, tmp_path, kind, inside):
    here = resolve_data(str(voc.root))
    top, base = (voc.root, ".") if inside == "." else (voc.root.parent, inside)
    archive = shutil.make_archive(str(tmp_path / "packed"), kind, top, base)
    suffix = archive.split("packed")[1]
    local = resolve_data(f"file://{archive}")
    stored = resolve_data(s3.put(f"sets/voc{suffix}", Path(archive).read_bytes()))
    assert local.digest == stored.digest == here.digest
    assert (local.uri, stored.uri) == (archive, f"{s3.uri}/sets/voc{suffix}")
    assert open_dataset(local).test.images == open_dataset(stored).test.images == 2


def test_data_that_changed_on_s3_is_refused(coco, s3):
    ref = resolve_data(send(coco.root, s3, "coco"))
    s3.put("coco/annotations/train.json", coco.file("train").read_bytes() + b" ")
    with pytest.raises(UserError, match=f"{s3.uri}/coco changed since it was resolved"):
        open_dataset(ref)


def test_an_archive_that_changed_is_refused(voc, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", voc.root)
    ref = resolve_data(archive)
    (voc.root / "more").write_text("more")
    shutil.make_archive(str(tmp_path / "packed"), "zip", voc.root)
    with pytest.raises(UserError, match="changed since it was resolved"):
        open_dataset(ref)


def test_the_latest_version_is_named_in_the_reference(coco, s3):
    send(coco.root, s3, "sets/v9")
    send(coco.root, s3, "sets/v10")
    assert locate(f"{s3.uri}/sets?latest=v*").uri == f"{s3.uri}/sets/v10"


def test_an_object_that_is_no_archive_is_refused(s3):
    with pytest.raises(UserError, match="notes.txt. It must be a folder in COCO or Pascal VOC layout, or an archive"):
        resolve_data(s3.put("notes.txt", b"hello"))
