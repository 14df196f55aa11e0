import json

import pytest

from core.base.errors import UserError
from core.data.reference import DataRef

REF = DataRef("/data/größe", "ab" * 32, "voc", ("weiß", "rot"), "train", "", "test")


def test_a_reference_survives_json():
    assert DataRef.from_json(json.loads(json.dumps(REF.to_json()))) == REF


@pytest.mark.parametrize("change, named", [
    ({"digest": None}, "digest"),
    ({"val_split": 1.0}, "val_split"),
    ({"classes": "cat"}, "classes"),
    ({"classes": ["cat", 1]}, "classes"),
    ({"more": "x"}, "more"),
])
def test_what_is_no_reference_is_refused_by_key(change, named):
    with pytest.raises(UserError) as caught:
        DataRef.from_json({**REF.to_json(), **change})
    assert caught.value.value == named


def test_an_empty_object_names_every_key():
    with pytest.raises(UserError, match="uri, digest, format, train_split, val_split, test_split, source, "
                                        "layout, classes"):
        DataRef.from_json({})
