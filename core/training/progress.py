"""How far training is, beyond weights and optimizer: what a resumed run needs to end with the same bits."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

import torch

from core.base.errors import UserError
from core.base.text import bounded_repr, shown
from core.training.distributed import first_rank
from core.training.random_state import random_state, set_random_state
from core.training.tuning import require_sound

# What modules remember in plain attributes; torch's own have none that training moves.
_REMEMBERED = (bool, int, float, str, type(None))
_FOREIGN = ("torch.",)
# Longer than any sensible log interval; mmcv's buffer remembers the whole epoch.
_BUFFERED = 1000
# Of runner.messages: the best checkpoint and its score, by mmcv's names (mmcv/runner/hooks/evaluation.py, _save_ckpt),
# and its place and metrics.
BEST_FILE, BEST_SCORE, BEST_RESULT = "best_ckpt", "best_score", "best_result"


@dataclass(frozen=True)
class Position:
    """A moment between two training iterations.

    Attributes:
        epoch: Epochs that are done.
        inner_iter: Batches of the present epoch that are done.
        iteration: Batches that are done in all.
        data: Where the training data stand (``core.training.samples.TrainLoader.state``).
        unscored: Whether the model is to be scored before the next batch.
    """

    epoch: int
    inner_iter: int
    iteration: int
    random: Mapping[str, Any] = field(repr=False)
    data: Mapping[str, Any] = field(repr=False)
    unscored: bool = False

    def __str__(self) -> str:
        return f"epoch {self.epoch}" if not self.inner_iter else f"epoch {self.epoch + 1}, iteration {self.inner_iter}"


def after_iteration(runner: Any, unscored: bool = False) -> Position:
    """Return the position after the iteration whose hooks are running."""
    done = runner.iter + 1
    if runner.max_epochs is None:
        return Position(0, done, done, random_state(), runner.loader.state(), unscored)
    return Position(runner.epoch, runner.inner_iter + 1, done, random_state(), runner.loader.state())


def after_epoch(runner: Any) -> Position:
    """Return the position after the epoch whose hooks are running."""
    return Position(runner.epoch + 1, 0, runner.iter, random_state(), runner.loader.state())


class ModuleMemory:
    """What the modules of a network remember outside their state dict, such as YOLOX's present input size.

    Only what differs from the network as it was built is kept.

    Args:
        network: The network, before it is trained or restored.
    """

    def __init__(self, network: Any) -> None:
        self._network = network
        self._built = self._attributes()

    def changed(self) -> list[tuple[str, str, Any]]:
        """Return module name, attribute and value of what has changed."""
        return [(*key, value) for key, value in sorted(self._attributes().items(), key=lambda item: item[0])
                if key not in self._built or self._built[key] != value]

    def restore(self, changed: list[tuple[str, str, Any]]) -> None:
        """Set what :meth:`changed` returned; only attributes that the built network has."""
        modules = dict(self._network.named_modules())
        for name, attribute, value in changed:
            if (name, attribute) in self._built and _is_plain(value):
                setattr(modules[name], attribute, value)

    def _attributes(self) -> dict[tuple[str, str], Any]:
        return {(name, attribute): value for name, module in self._network.named_modules()
                if not type(module).__module__.startswith(_FOREIGN)
                for attribute, value in vars(module).items()
                if attribute != "training" and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    return isinstance(value, _REMEMBERED) or type(value) is tuple and all(map(_is_plain, value))


def progress_of(position: Position, runner: Any, memory: ModuleMemory, log_file: Path, best: Path | None = None,
                seconds: float = 0.0) -> dict[str, Any]:
    """Return the ``progress`` entry of a checkpoint: all of the state that is neither weights nor optimizer.

    ``best`` is the best checkpoint so far, which is in it whole: another machine has not this one's files. ``seconds``
    is what training took so far, in all its processes.
    """
    buffer = runner.log_buffer
    return {
        "position": {**asdict(position), "random": dict(position.random), "data": dict(position.data)},
        "parameters": parameter_names(runner),
        "modules": memory.changed(),
        "metrics": {name: float(value) for name, value in runner.last_metrics.items()},
        "best": dict(runner.best), "messages": dict(runner.messages),
        "seconds": seconds,
        "best_checkpoint": best and {"name": best.name, "content": torch.frombuffer(bytearray(best.read_bytes()),
                                                                                     dtype=torch.uint8)},
        "log": Path(log_file).read_text(encoding="utf-8"),
        "log_buffer": [{name: list(values[-_BUFFERED:]) for name, values in part.items()}
                       for part in (buffer.val_history, buffer.n_history)]}


def restore_progress(progress: Mapping[str, Any], runner: Any, memory: ModuleMemory, log_file: Path) -> Position:
    """Put runner, modules and log back to where :func:`progress_of` found them; return the position.

    Random generators and the log buffer follow when the runner stands there (``ResumableRunner.restored``).

    Raises:
        UserError: The entry is damaged, or belongs to a network with other parameters.
    """
    try:
        position = Position(**progress["position"])
        names, changed, best = list(progress["parameters"]), list(progress["modules"]), dict(progress["best"])
        log, metrics, messages = str(progress["log"]), dict(progress["metrics"]), dict(progress["messages"])
        kept = _file_of(progress.get("best_checkpoint"), Path(runner.work_dir))
        _require_result(messages)
        require_sound(messages)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError("training state", f"{type(error).__name__}: {shown(error)}", "It lacks a part of itself.",
                        "Delete it; an older one, or the beginning, is taken then.") from error
    if names != parameter_names(runner):
        raise UserError("training state", f"optimizer state of {len(names)} parameters",
                        "They are not this network's in name and order, so momenta would meet the wrong weights.",
                        "Delete it to start from scratch.")
    # The other ranks' workers have states of their own, which are not kept.
    workers = position.data["workers"] if first_rank() else {}
    runner.loader.enter(position.inner_iter, {**position.data, "workers": workers})

    def restore_moment() -> None:
        """Put the random generators and the log buffer back; nothing may draw or log from here to the next batch."""
        set_random_state(progress["position"]["random"])
        buffer = runner.log_buffer
        buffer.clear()
        for part, kept in zip((buffer.val_history, buffer.n_history), progress["log_buffer"]):
            part.update({name: list(values) for name, values in kept.items()})

    runner.start_at(position.epoch, position.iteration, position.inner_iter, restore_moment)
    runner.unscored = position.unscored
    runner.last_metrics, runner.best, runner.messages = metrics, best, messages
    if kept is not None:
        messages[BEST_FILE] = str(kept[0])
        if first_rank():
            kept[0].write_bytes(kept[1])
    memory.restore(changed)
    if first_rank():
        # Under the head that was just written: an older state's may not say what this version's readers look for.
        head = Path(log_file).read_text(encoding="utf-8").partition("\n")[0]
        Path(log_file).write_text(f"{head}\n{log.partition(chr(10))[2]}", encoding="utf-8")
    return position


def seconds_of(progress: Mapping[str, Any]) -> float:
    """Return what training took until a state, in seconds; 0 where the state is older than this entry.

    Raises:
        UserError: It is no such number.
    """
    seconds = progress.get("seconds", 0.0)
    if type(seconds) not in (int, float) or not 0 <= seconds < math.inf:
        raise UserError("training state", f"seconds: {bounded_repr(seconds, 40)}", "It is a number of at least 0.",
                        "Delete it; an older one, or the beginning, is taken then.")
    return float(seconds)


def _require_result(messages: Mapping[str, Any]) -> None:
    """Raise KeyError, TypeError or ValueError where a state's best score and result are not of EvaluationHook."""
    result = messages.get(BEST_RESULT, {"place": 1, "metrics": {}})
    numbers = [messages.get(BEST_SCORE, 0.0), *dict(result["metrics"]).values()]
    if type(result["place"]) is not int or not all(isinstance(number, Real) for number in numbers):
        raise ValueError("the best result so far is none of numbers")


def _file_of(kept: Mapping[str, Any] | None, folder: Path) -> tuple[Path, bytes] | None:
    """Return where the best checkpoint of a state goes, and its content; None where the state has none.

    Raises:
        ValueError: Its name leads out of the folder, or its content is no row of bytes.
    """
    if kept is None:
        return None
    name, content = kept["name"], kept["content"]
    # mmcv's pattern: no other checkpoint of the work folder is overwritten.
    if not isinstance(name, str) or not re.fullmatch(r"best_[^/\0]+\.pth", name):
        raise ValueError("the best checkpoint's name is none of a file")
    if not isinstance(content, torch.Tensor) or content.dtype is not torch.uint8 or content.ndim != 1:
        raise ValueError("the best checkpoint is no row of bytes")
    return folder / name, content.numpy().tobytes()


def parameter_names(runner: Any) -> list[str]:
    """Return the names of the optimizer's parameters in its order: its state knows them by number only."""
    names = {parameter: name for name, parameter in runner.model.module.named_parameters()}
    return [names[parameter] for group in runner.optimizer.param_groups for parameter in group["params"]]
