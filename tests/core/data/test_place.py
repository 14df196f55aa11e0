import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.data.dataset import open_dataset, resolve_data
from core.data.place import locate
from core.data.reference import DataRef
from tests.core.storage.fault_proxy import fault_proxy


def send(folder, s3, prefix):
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            s3.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return f"{s3.uri}/{prefix}"


def names_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def fetched_files(cache):
    """The files that were fetched, below the folder of what each was fetched for."""
    entries = [path for path in (cache / "fetched-1").iterdir() if path.is_dir()]
    return sorted(name for entry in entries for name in names_in(entry))


@pytest.fixture
def proxy(s3, monkeypatch):
    """The environment leads through a proxy that notes what is asked for."""
    with fault_proxy(s3.server.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        yield proxy


def objects_read(proxy):
    return sorted(line.split("/", 2)[2] for line in proxy.seen if line.startswith("GET ") and "list-type" not in line)


def same_splits(found, expected):
    for role in ("train", "val", "test"):
        here, there = getattr(expected, role), getattr(found, role)
        assert json.loads(there.annotation_file.read_text()) == json.loads(here.annotation_file.read_text())
        assert (there.name, there.images, there.boxes) == (here.name, here.images, here.boxes)


def test_a_prefix_is_the_same_data_as_the_folder(coco, s3):
    here = resolve_data(str(coco.root))
    ref = resolve_data(send(coco.root, s3, "sets/coco") + "/")
    assert ref == replace(here, uri=f"{s3.uri}/sets/coco", digest=ref.digest, source=ref.source)
    assert here.source == "" and len(ref.source) == len(ref.digest) == 64
    dataset = open_dataset(DataRef.from_json(ref.to_json()))
    assert dataset.classes == open_dataset(here).classes
    same_splits(dataset, open_dataset(here))
    assert names_in(dataset.train.image_root) == ["0.png", "1.png", "2.png"]


def test_resolving_a_coco_prefix_reads_the_annotations_alone(coco, s3, proxy, cache):
    coco.write("captions_train", {})
    uri = send(coco.root, s3, "coco")
    ref = resolve_data(uri)
    wanted = [f"annotations/{split}.json" for split in ("test", "train", "val")]
    assert objects_read(proxy) == [f"coco/{name}" for name in wanted]
    assert fetched_files(cache) == wanted

    dataset = open_dataset(ref)
    assert names_in(dataset.test.image_root) == ["0.png", "1.png", "2.png"]
    assert sum(name.endswith(".png") for name in objects_read(proxy)) == 9


def test_resolving_a_voc_prefix_reads_the_annotations_alone(voc, s3, proxy, cache):
    here = open_dataset(resolve_data(str(voc.root)))
    ref = resolve_data(send(voc.root, s3, "voc"))
    read = objects_read(proxy)
    assert {name.rpartition(".")[2] for name in read} == {"txt", "xml"} and len(read) == len(fetched_files(cache))
    same_splits(open_dataset(ref), here)


@pytest.mark.parametrize("content, fault", [(None, "missing"), (b"", "empty file")])
def test_an_image_that_a_prefix_lacks_is_named_before_any_is_read(coco, s3, proxy, content, fault):
    uri = send(coco.root, s3, "coco")
    s3.client.delete_object(Bucket=s3.name, Key="coco/images/val/1.png")
    if content is not None:
        s3.put("coco/images/val/1.png", content)
    with pytest.raises(UserError) as caught:
        resolve_data(uri)
    assert str(caught.value.value) == f"1 of 9 in {uri} cannot be used: images/val/1.png ({fault})"
    assert not any(name.endswith(".png") for name in objects_read(proxy))


def test_a_corrupt_image_of_a_prefix_is_named_by_the_first_stage_that_reads_it(coco, s3, image):
    image(coco.root / "images" / "test" / "2.png", size=(30, 20))
    uri = send(coco.root, s3, "coco")
    s3.put("coco/images/train/0.png", (coco.root / "images" / "train" / "0.png").read_bytes()[:100])
    ref = resolve_data(uri)
    for _ in range(2):
        with pytest.raises(UserError) as caught:
            open_dataset(ref)
        assert "2 of 9 in" in caught.value.value and "images/train/0.png (" in caught.value.value
        assert "images/test/2.png (decodes to 30x20 pixels, annotated as 32x24)" in caught.value.value


def test_a_voc_image_whose_size_no_annotation_says_is_measured_when_it_is_read(voc, s3, an_object):
    voc.annotate("train 0", [an_object("dog", 2, 3, 40, 14)], size="")
    here = resolve_data(str(voc.root))
    ref = resolve_data(send(voc.root, s3, "voc"))
    same_splits(open_dataset(ref), open_dataset(here))


def test_images_in_two_splits_are_told_by_their_etags(coco, s3):
    shutil.copy(coco.root / "images" / "train" / "0.png", coco.root / "images" / "test" / "1.png")
    here, there = resolve_data(str(coco.root)), resolve_data(send(coco.root, s3, "coco"))
    assert open_dataset(here).warnings == open_dataset(there).warnings
    assert "1 images of split 'test' are also in 'train'" in open_dataset(there).warnings[0]


def test_the_digest_of_a_prefix_follows_the_files_that_matter(coco, s3, image):
    before = resolve_data(send(coco.root, s3, "coco"))
    s3.put("coco/readme.txt", b"more")
    beside = resolve_data(f"{s3.uri}/coco")
    assert beside.digest == before.digest and beside.source != before.source
    assert resolve_data(send(coco.root, s3, "moved")).digest == before.digest
    s3.put("coco/images/train/0.png", image(coco.root / "other.png", seed=99).read_bytes())
    assert resolve_data(f"{s3.uri}/coco").digest != before.digest


def test_a_prefix_without_annotations_says_what_it_holds(coco, s3, cache):
    shutil.rmtree(coco.root / "annotations")
    with pytest.raises(UserError, match="has no annotations .it holds images.. Looked for coco: annotations"):
        resolve_data(send(coco.root, s3, "coco"))
    assert fetched_files(cache) == []


@pytest.mark.parametrize("key, message", [
    ("coco/images//x.png", "object name: 'images//x.png' in s3://"),
    ("coco/images/train", "object: images/train in s3://.* No object's name may be another's folder")])
def test_names_that_no_folder_can_hold_are_refused_at_once(coco, s3, proxy, key, message):
    uri = send(coco.root, s3, "coco")
    s3.put(key, b"x")
    with pytest.raises(UserError, match=message):
        resolve_data(uri)
    assert objects_read(proxy) == []


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
