"""Generated values for the cluster: what a submission takes, resolve takes in the form in which it arrives."""

import dataclasses
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from components.cluster_settings import ClusterSettings
from components.resolve.stage import STAGE, Resolve
from components.stage import check_values
from core.base.errors import UserError

TEXTS = st.sampled_from(["", "a", "nvidia.com/gpu", "spot", "NoSchedule", "NoExecute", "Exists", "Equal", "3", "500m",
                         "11Gi", "6Gi", "1Ki", "a b", "-a", "x" * 64, "kubernetes.io/x", "A_b.c"]) | st.text(max_size=5)
SCALARS = TEXTS | st.integers(-2, 2 ** 54) | st.booleans() | st.none() | st.floats()
VALUES = {"dict": st.dictionaries(TEXTS, TEXTS | SCALARS, max_size=3), "str": TEXTS, "list": st.lists(
    st.dictionaries(st.sampled_from(["key", "operator", "value", "effect", "tolerationSeconds", "other"]), SCALARS,
                    max_size=4) | SCALARS, max_size=2)}
SETTINGS = st.fixed_dictionaries({}, optional={
    field.name: VALUES[type(getattr(ClusterSettings(), field.name)).__name__]
    for field in dataclasses.fields(ClusterSettings)})


def as_arrived(value):
    """Return a value as KFP passes it on: numbers of structs and lists are floats."""
    if isinstance(value, dict):
        return {key: as_arrived(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_arrived(item) for item in value]
    return float(value) if type(value) is int else value


def refused(check):
    try:
        check()
    except UserError as error:
        return sorted(fault.thing for fault in getattr(error, "faults", [error]))
    return []


@given(values=SETTINGS)
@settings(deadline=None, max_examples=300)
def test_submission_and_resolve_refuse_the_same(values):
    at_submission = refused(lambda: check_values(Resolve, {"compression_config": "c.py", **values}))
    arrived = {name: as_arrived(value) for name, value in values.items()}
    assert refused(ClusterSettings(**arrived).check) == at_submission
    if not at_submission:
        actions = {action.dest: action for action in STAGE.build_parser()._actions}
        for name, value in arrived.items():
            if isinstance(value, (dict, list)):
                assert actions[name].type(json.dumps(value)) == value
