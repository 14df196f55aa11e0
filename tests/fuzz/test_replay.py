"""What the fuzzers found interesting is read or refused with a message, in bounded time and memory."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import pack, seeds, targets

ROOT = Path(__file__).resolve().parents[2]
CPU_SECONDS, MOST_BYTES = 60, 3 << 30
"""For all inputs of a target together, which take a few seconds; torch's libraries count."""


@pytest.mark.parametrize("target", targets.TARGETS)
def test_the_corpus_is_replayed(target, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))

    done = subprocess.run([sys.executable, "-m", "tests.fuzz.replay", target, str(tmp_path)], preexec_fn=limit,
                          cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-3000:]
    read, refused = map(int, done.stdout.split()[-2:])
    assert read and refused and read + refused == len(pack.unpacked(target))


@pytest.mark.parametrize("target", targets.TARGETS)
def test_the_corpora_are_small_and_mutations_have_words(target):
    assert (pack.CORPUS / f"{target}.json").stat().st_size <= pack.MOST_BYTES + 10
    assert seeds.seeds(target) and all(seeds.words(target))
