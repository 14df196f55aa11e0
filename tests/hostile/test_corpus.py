"""More than two hundred hostile and malformed inputs: each is refused by a message, and none is executed."""

import contextlib
import importlib
import resource

import pytest

from core.base.errors import UserError
from tests.hostile import annotations, checkpoints, texts

LEAST_CASES = 200
MOST_MESSAGE = 4000
# What a bomb may take of the memory before it counts as one.
ROOM_BYTES = 2 << 30


CORPUS = [*checkpoints.cases(), *annotations.cases(), *texts.cases()]
SOUND = [*checkpoints.sound(), *annotations.sound(), *texts.sound()]


@pytest.fixture
def little_memory():
    """Bound what this process can take in addition to what it has; torch's own libraries do not count."""
    importlib.import_module("torch")
    with open("/proc/self/statm", encoding="ascii") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM_BYTES, before[1]))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_AS, before)
        yield


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_it_is_refused_with_a_message_and_not_executed(case, tmp_path, little_memory, monkeypatch):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))
    canary, folder = tmp_path / "canary", tmp_path / "input"
    folder.mkdir()
    given = case.write(folder, canary)
    with pytest.raises(UserError) as refused:
        case.read(given)
    assert not canary.exists()
    assert len(str(refused.value)) < MOST_MESSAGE
    assert all(str(part).strip() for part in (refused.value.thing, refused.value.rule))


@pytest.mark.parametrize("case", SOUND, ids=lambda case: case.name)
def test_what_is_sound_and_written_the_same_way_is_read(case, tmp_path, monkeypatch):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "input").mkdir()
    case.read(case.write(tmp_path / "input", tmp_path / "canary"))


def test_the_corpus_is_as_large_as_it_says():
    assert len(CORPUS) >= LEAST_CASES
    assert len({case.name for case in CORPUS}) == len(CORPUS)
