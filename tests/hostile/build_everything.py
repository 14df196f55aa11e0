"""Build every class that mmcv and mmdet register from hostile arguments; result.json says what was touched.

Run in a process of its own: what watches is an audit hook, which stays. It is added after the closed room's, so it sees
only what that one lets through.
"""

import contextlib
import inspect
import json
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.detectors.building import building
from core.detectors.loaders import FAULTS
from tests.hostile.canaries import Canaries, canaries

# Values with which most constructors come far enough to use the others.
PLAUSIBLE = {
    "depth": 18, "in_channels": 8, "out_channels": 8, "num_classes": 3, "num_outs": 3, "feat_channels": 8,
    "channels": 8, "embed_dims": 8, "num_heads": 2, "backbone": {"type": "ResNet", "depth": 18}, "neck": None,
    "bbox_head": None, "transforms": [], "pipeline": [], "dataset": None, "max_iters": 1, "max_epochs": 1,
    "interval": 1, "lr": 0.1, "warm_up": 1, "periods": [1], "step": [1],
    "policies": [[{"type": "RandomFlip", "flip_ratio": 0.5}]], "scales": [8], "ratios": [1.0], "strides": [8], "num": 4,
    "pos_fraction": 0.5, "test_mode": True, "arch": "tiny"}
_OURS = ("core.config", "core.checkpoint", "core.storage")


class Watch:
    """An audit hook that notes acts on canaries."""

    def __init__(self, made: Canaries) -> None:
        self._made, self.seen, self.building = made, [], ""
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.building:
            return
        names = " ".join(str(value) for value in arguments[:2] if isinstance(value, (str, bytes, os.PathLike, tuple)))
        hostile = (event in ("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "pickle.find_class")
                   or event.startswith(("socket.connect", "socket.getaddrinfo", "urllib", "http.client"))
                   or str(self._made.folder) in names or self._made.module in names)
        if hostile and not self._ours() and not self._is_search(event):
            self.seen.append(f"{self.building}: {event} {names[:200]}")

    def _is_search(self, event: str) -> bool:
        # The canaries' folder is on sys.path, so an import of anything lists it.
        return event == "os.listdir" and "importlib" in sys._getframe(2).f_code.co_filename

    def _ours(self) -> bool:
        # Our readers open what a config names, as data.
        frame = sys._getframe(2)
        while frame is not None:
            if str(frame.f_globals.get("__name__")).startswith(_OURS):
                return True
            frame = frame.f_back
        return False


def registries() -> list[Any]:
    """Return every registry of the loaded modules."""
    from mmcv import Registry

    found = {id(value): value for module in list(sys.modules.values())
             for value in list(getattr(module, "__dict__", {}).values()) if isinstance(value, Registry)}
    return list(found.values())


def arguments_of(kind: Any) -> dict[str, Any]:
    """Return the parameters of a class or function: those of its bases where it passes on what it is given."""
    parameters: dict[str, Any] = {}
    for owner in reversed(inspect.getmro(kind)) if inspect.isclass(kind) else [kind]:
        with contextlib.suppress(ValueError, TypeError):
            function = owner.__init__ if inspect.isclass(owner) else owner
            parameters.update({name: parameter for name, parameter in inspect.signature(function).parameters.items()
                               if name != "self" and parameter.kind not in (parameter.VAR_KEYWORD,
                                                                            parameter.VAR_POSITIONAL)})
    return parameters


def trials(kind: Any, payloads: list[Any]) -> list[dict[str, Any]]:
    """Return arguments to build a class with: each payload everywhere, and in each place alone."""
    parameters = arguments_of(kind)
    required = {name: PLAUSIBLE.get(name, 8) for name, parameter in parameters.items()
                if parameter.default is parameter.empty}
    everywhere = [dict.fromkeys(parameters, payload) for payload in payloads]
    # One payload a place, another for the next: over all classes, places and payloads come together.
    alone = [{**required, name: payloads[(index + len(kind.__name__)) % len(payloads)]}
             for index, name in enumerate(parameters)]
    return everywhere + alone


def use(built: Any, runner: Any) -> None:
    """Do what is done with a thing of a config before the first sample."""
    from mmcv.runner import Hook

    if hasattr(built, "init_weights"):
        built.init_weights()
    if isinstance(built, Hook):
        built.before_run(runner)
    if getattr(built, "file_client_args", None) is not None:
        built({"img_info": {"filename": "absent.png"}, "img_prefix": None, "ann_info": {}})


def main(folder: Path) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    import torch
    from mmcv.runner import EpochBasedRunner

    torch.set_num_threads(1)
    with building("nothing"):
        pass
    built, classes = 0, 0
    with canaries(folder) as made:
        watch, work = Watch(made), str(folder) + "-work"
        os.makedirs(work, exist_ok=True)
        model = torch.nn.Linear(1, 1)
        model.train_step = lambda *arguments: None
        runner = EpochBasedRunner(model, optimizer=torch.optim.SGD(model.parameters(), 0.1), work_dir=work,
                                  logger=logging.getLogger("runner"), max_epochs=1)
        for registry in registries():
            for name, kind in registry.module_dict.items():
                classes += 1
                for arguments in trials(kind, made.payloads()):
                    watch.building = f"{registry.name} {name} {', '.join(arguments)[:80]}"
                    # Without memory: hundreds of whole backbones are built.
                    with (contextlib.suppress(UserError, *FAULTS, OSError, SystemExit), torch.device("meta"),
                          building(name, writable=[work])):
                        thing = registry.build({"type": name, **arguments})
                        built += 1
                        use(thing, runner)
        watch.building = ""
        (folder / "result.json").write_text(json.dumps({
            "classes": classes, "built": built, "seen": watch.seen, "fired": made.fired()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
