"""When a training has done enough, for generated validations: what is promised holds, also where it is interrupted."""

import copy
from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from core.training.hooks import EnoughHook
from core.training.initial import InitialScore
from core.training.tuning import KEY, FineTuning, When, how_it_ended, require_sound
from tests.core.training.test_initial import metrics

MAPS = st.sampled_from([0.0, 0.3, 0.39, 0.4, 0.41, 0.5 - 0.1, 0.49, 0.5]) | st.floats(0, 1)
LIMITS = st.sampled_from([0.0, 0.01, 0.1, 1.0])
# Of each epoch: what it scored, whether it was scored, and whether compression was complete.
MOSTLY = st.booleans() | st.just(True)
EPOCHS = st.lists(st.tuples(MAPS, MOSTLY, MOSTLY), min_size=1, max_size=12)


def expected(epochs, parent, limit, patience):
    """Return after how many epochs training ends and why, by the words of components/compress/README.md."""
    scored = []
    for number, (found, validated, finished) in enumerate(epochs, 1):
        if not (validated and finished):
            continue
        scored.append(found)
        last, before = scored[-patience:], scored[:-patience]
        if len(last) == patience and all(parent - found <= limit + 1e-9 for found in last):
            return number, "within the limit"
        if before and max(last) <= max(before):
            return number, "no improvement"
    return len(epochs), ""


@given(epochs=EPOCHS, parent=st.sampled_from([0.4, 0.5]), limit=LIMITS, patience=st.integers(1, 3),
       interrupted=st.sets(st.integers(0, 12)))
@settings(deadline=None, max_examples=300)
def test_training_ends_where_it_is_enough_and_interruptions_change_nothing(epochs, parent, limit, patience,
                                                                           interrupted):
    plan = FineTuning(When.WHEN_NEEDED, limit, patience)
    messages, done = {}, 0
    while True:
        runner = SimpleNamespace(epoch=done, _max_epochs=len(epochs), last_metrics={}, messages=messages,
                                 logger=SimpleNamespace(info=lambda *_: None))
        # A process that resumes has not measured what was before compression.
        hook = EnoughHook(plan, float("nan") if messages else parent, lambda runner: epochs[runner.epoch][1],
                          lambda runner=runner: epochs[runner.epoch][2])
        hook.before_run(runner)
        while runner.epoch < runner._max_epochs:
            # Also where it is not scored: what it was when it was scored last.
            runner.last_metrics["map"] = epochs[runner.epoch][0]
            hook.after_train_epoch(runner)
            runner.epoch += 1
            if runner.epoch in interrupted - {done}:
                break
        require_sound(runner.messages)
        messages, before, done = copy.deepcopy(runner.messages), done, runner.epoch
        if done == before or done == runner._max_epochs:
            break
    number, why = expected(epochs, parent, limit, patience)
    assert (done, runner.messages[KEY]["ended"].split(" for ")[0]) == (number, why)
    assert bool(how_it_ended(runner)) == bool(why)


@given(before=MAPS.filter(lambda value: value >= 0), after=MAPS.filter(lambda value: value >= 0), limit=LIMITS,
       when=st.sampled_from(When), finished=st.booleans(), known=st.booleans())
@settings(deadline=None)
def test_an_initialised_model_is_trained_where_that_is_needed(before, after, limit, when, finished, known):
    initial = InitialScore("val", metrics(after), before if known else None)
    trains, why = FineTuning(when, limit).at_the_start(initial, finished)
    enough = known and finished and before - after <= limit + 1e-9
    assert trains is {When.ALWAYS: True, When.NEVER: False, When.WHEN_NEEDED: not enough}[when]
    assert ("already within the limit" in why) is (when is When.WHEN_NEEDED and enough)
