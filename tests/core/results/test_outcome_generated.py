"""Outcome files of foreign origin: each is read, taken for another artifact, or refused with a message."""

import json
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.results.outcome import Making, Outcome

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=12)
OUTCOME = {"schema": 1, "kind": "failed candidate", "candidate": "int8", "stage": "compress", "reason": "loss: nan."}
MAKING = {"schema": 1, "candidate": "int8", "fine_tune": "always", "decision": "Fine-tuned.", "epochs": 2,
          "map_before_compression": None, "map_before_training": 0.5, "planned_epochs": 2, "result_epoch": 1,
          "seconds": 7.5, "gpus": 0, "config": {"path": "a.py"}}


def changed(record):
    """Return a record's dict with some values replaced, removed or added."""
    return st.builds(
        lambda values, removed, added: {key: value for key, value in {**record, **values, **added}.items()
                                        if key not in removed},
        st.fixed_dictionaries({}, optional=dict.fromkeys(record, JSON)),
        st.sets(st.sampled_from(sorted(record)), max_size=1),
        st.dictionaries(st.text(max_size=6), JSON, max_size=1))


def content_of(record):
    """Return bytes: a record's JSON, changed, in any encoding of JSON, cut off or with a byte replaced; or any."""
    text = (JSON | changed(record) | st.just(record)).flatmap(
        lambda value: st.sampled_from([json.dumps(value), json.dumps(value, ensure_ascii=False)]))
    whole = text.map(lambda value: value.encode("utf-8", "surrogatepass"))
    return whole | st.binary(max_size=60) | st.tuples(whole, st.integers(0, 200), st.binary(max_size=2)).map(
        lambda parts: parts[0][:parts[1]] + parts[2] + parts[0][parts[1] + 1:])


@given(content=content_of(OUTCOME), folder=st.booleans())
@settings(deadline=None, max_examples=200)
@example(content=b'{"kind": "failed candidate", "a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", folder=False)
@example(content=b'{"kind": ' * 20_000 + b"1" + b"}" * 20_000, folder=False)
@example(content=b'{"kind": "failed candidate", "schema": 1' + b"0" * 5_000 + b"}", folder=True)
@example(content=json.dumps({**OUTCOME, "reason": "\ud800"}).encode(), folder=True)
@example(content=json.dumps({**OUTCOME, "reason": "a" * 200_000}).encode(), folder=True)
@example(content=b'{"kind": "failed candidate", "kind": "pytorch"}', folder=False)
def test_an_outcome_file_is_read_or_refused(content, folder):
    with tempfile.TemporaryDirectory() as made:
        place = Path(made) / "artifact"
        (place if folder else Path(made)).mkdir(exist_ok=True)
        (place / "outcome.json" if folder else place).write_bytes(content)
        try:
            found = Outcome.at(place)
        except UserError as error:
            assert len(str(error)) < 30_000 and str(error).isprintable() or "\n" in str(error)
            return
        assert found is None or isinstance(found, Outcome)
        if found is not None:
            # It is handed on, and into the validation's JSON, as it was read.
            found.put(Path(made) / "next", folder)
            assert Outcome.at(Path(made) / "next") == found


@given(content=content_of(MAKING))
@settings(deadline=None, max_examples=150)
def test_a_making_is_read_or_refused(content):
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / "making.json").write_bytes(content)
        try:
            found = Making.read(Path(made) / "making.json")
        except UserError as error:
            assert "making" in str(error)
        else:
            assert found.hours >= 0 and Making.from_text(found.to_text(), "making").to_text() == found.to_text()
