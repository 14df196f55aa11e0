"""Fuzz a reader of foreign files, guided by coverage: ``python tests/fuzz/fuzz.py TARGET CORPUS [libFuzzer options]``.

Needs atheris (``pip install atheris``) in the environment. TARGET is one of ``targets.TARGETS``, CORPUS the
folder in which interesting inputs are kept. A useful run, which ends at the first finding and leaves it in the
current folder:

    nice -n 19 python tests/fuzz/fuzz.py checkpoint /tmp/corpus -max_total_time=1800 -timeout=10 -rss_limit_mb=2000

``python -m tests.fuzz.pack TARGET CORPUS`` minimises what is interesting and keeps it for the replay.
"""

import pickletools
import random
import re
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
for _name in ("pickle", "zipfile"):
    # Imported anew, so that atheris sees their branches too.
    sys.modules.pop(_name, None)
with atheris.instrument_imports(include=["core", "pickle", "zipfile", "botocore.parsers", "botocore.utils", "yaml"]):
    import pickle  # noqa: F401
    import zipfile  # noqa: F401

    import botocore.parsers  # noqa: F401
    import yaml  # noqa: F401

    import core.checkpoint.checkpoint
    import core.checkpoint.restricted
    import core.config.data_only
    import core.config.fingerprint
    import core.config.options
    import core.data.annotations
    import core.data.coco
    import core.data.voc
    import core.storage.s3_listing  # noqa: F401
    from tests.fuzz import seeds, targets

_WORDS = re.compile(rb"\w+|\s+|.", re.DOTALL)
_MOST_EDITS = 4


def parts(target: str, content: bytes) -> list[bytes]:
    """Return an input in the pieces that a mutation moves: a pickle's opcodes, a text's words and signs."""
    if target != "checkpoint":
        return _WORDS.findall(content)
    found, begin = [], 0
    try:
        positions = [position for _, _, position in pickletools.genops(content)]
    except Exception:  # noqa: BLE001 - pickletools raises anything for a malformed pickle
        return [content[place:place + 8] for place in range(0, len(content), 8)]
    for position in [*positions[1:], len(content)]:
        found.append(content[begin:position])
        begin = position
    return found


def mutated(target: str, words: list[bytes], content: bytes, most: int, seed: int) -> bytes:
    """Return an input that differs in a few pieces, or in what libFuzzer changes."""
    chosen = random.Random(seed)
    if not content or chosen.random() < 0.3:
        return atheris.Mutate(content, most)
    pieces = parts(target, content[1:])
    for _ in range(chosen.randint(1, _MOST_EDITS)):
        place, length = chosen.randrange(len(pieces) + 1), chosen.choice((1, 1, 1, 2, 5, 20))
        edit = chosen.randrange(4)
        if edit == 0:
            del pieces[place:place + length]
        elif edit == 1:
            other = chosen.randrange(len(pieces) + 1)
            pieces[place:place] = pieces[other:other + length]
        elif edit == 2:
            pieces[place:place + 1] = [chosen.choice(words)]
        else:
            pieces.insert(place, chosen.choice(words))
    return (content[:1] + b"".join(pieces))[:most]


def main() -> None:
    """Seed the corpus and hand over to libFuzzer, which does not return."""
    target, corpus = sys.argv[1], Path(sys.argv[2])
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds.seeds(target)):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = seeds.words(target)
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        def one(content: bytes) -> None:
            targets.run(target, content, Path(folder))

        def mutate(content: bytes, most: int, seed: int) -> bytes:
            return mutated(target, words, content, most, seed)

        atheris.Setup([sys.argv[0], *sys.argv[2:]], one, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
