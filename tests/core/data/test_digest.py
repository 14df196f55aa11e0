import hashlib
import json
import os
import time

import pytest

from core.data.digest import FileFacts, FileMemory, data_digest, read_with_facts

OLD = 1_500_000_000


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "folder" / "größe.txt"
    path.parent.mkdir()
    path.write_bytes(b"content")
    os.utime(path, (OLD, OLD))
    return path


@pytest.fixture
def reads(monkeypatch):
    """The names of files that are read, in order."""
    seen = []

    def spy(path):
        seen.append(path.name)
        return read_with_facts(path)

    monkeypatch.setattr("core.data.digest.read_with_facts", spy)
    return seen


def test_the_digest_is_what_its_docstring_says():
    rows = [("b", 2, "22"), ("a", 1, "11")]
    assert data_digest(rows) == hashlib.sha256(b'[["a", 1, "11"], ["b", 2, "22"]]').hexdigest()
    assert data_digest(reversed(rows)) == data_digest(rows + rows[:1])


@pytest.mark.parametrize("other", [("b", 1, "11"), ("a", 2, "11"), ("a", 1, "12")])
def test_name_size_and_content_all_count(other):
    assert data_digest([("a", 1, "11")]) != data_digest([other])


def test_facts_are_those_of_the_content(file):
    data, facts = read_with_facts(file)
    assert data == b"content"
    assert facts == FileFacts(7, OLD * 10 ** 9, hashlib.sha256(b"content").hexdigest())


def test_an_unchanged_file_is_read_once_also_by_later_stages(file, tmp_path, reads):
    memory = FileMemory(tmp_path)
    row = memory.row(file)
    assert row == ("folder/größe.txt", 7, hashlib.sha256(b"content").hexdigest())
    assert memory.row(file) == row
    memory.save()
    assert FileMemory(tmp_path).row(file) == row
    assert reads == ["größe.txt"]


@pytest.mark.parametrize("content, stamp", [(b"another", OLD + 1), (b"longer content", OLD)])
def test_a_changed_file_is_read_again(file, tmp_path, reads, content, stamp):
    memory = FileMemory(tmp_path)
    memory.row(file)
    file.write_bytes(content)
    os.utime(file, (stamp, stamp))
    assert memory.row(file)[2] == hashlib.sha256(content).hexdigest()
    assert reads == ["größe.txt"] * 2


def test_a_file_that_changed_moments_ago_is_not_trusted(file, tmp_path, reads):
    now = time.time()
    os.utime(file, (now, now))
    memory = FileMemory(tmp_path)
    memory.row(file)
    memory.row(file)
    assert reads == ["größe.txt"] * 2


def test_a_file_that_is_gone_is_not_recalled(file, tmp_path):
    memory = FileMemory(tmp_path)
    memory.row(file)
    file.unlink()
    assert memory.recall(file) is None
    with pytest.raises(FileNotFoundError):
        memory.row(file)


def test_nothing_is_written_where_nothing_is_new(file, tmp_path, cache):
    FileMemory(tmp_path).save()
    assert list(cache.rglob("*.json")) == []
    memory = FileMemory(tmp_path)
    memory.row(file)
    memory.save()
    (written,) = cache.rglob("*.json")
    assert list(json.loads(written.read_text())) == ["folder/größe.txt"]


def test_folders_do_not_mix(file, tmp_path, reads):
    memory = FileMemory(tmp_path)
    memory.row(file)
    memory.save()
    assert FileMemory(tmp_path / "folder").recall(file) is None
