"""What the stages that work on a candidate share: its reference, and what becomes of it where it comes to nothing.

In KFP a failed iteration fails the whole loop. So what a candidate fails of by itself is written as its outcome in the
place of the stage's artifacts, the stage succeeds, and those after it hand the outcome on.
"""

import copy
import re
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from components.stage import Presence, Role, elements, parameter
from core.base.errors import CandidateFailed, UserError
from core.base.executor_input import CANDIDATE_KEY, ONLY_CANDIDATE
from core.base.executor_output import ExecutorOutput
from core.training.distributed import first_rank

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Wanted:
    """A candidate as it was asked for.

    Attributes:
        options: What the config is changed by.
        when: When it is trained (``core.training.settings.When``).
        may_fail: Whether the others go on without it where it cannot be: nobody has named it.
        refused: Why it cannot be, found before; empty where it can.
        kind: Candidates of one kind are compressed in the same layers; empty for a kind of its own.
        mixed: Whether convert takes the quantizers that cost most out of it, until it keeps the limit.
    """

    name: str
    path: str
    options: dict[str, Any] = field(default_factory=dict)
    when: str = "always"
    may_fail: bool = False
    refused: str = ""
    kind: str = ""
    mixed: bool = False


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Which compressed models are made and compared."""

    compression_config: str = parameter(
        "Config that adds nncf_config to model_config; counts where neither compression_configs nor candidates are "
        "given.", "", metavar="FILE")
    compression_configs: list[str] = parameter("Several such configs, each of a candidate named after it.", [])
    candidates: list[str] = parameter(
        "Candidates that come ready for every detector: post_training, int8, pruned_20, pruned_40, pruned_60, "
        "int8_pruned_20, int8_pruned_40, int8_pruned_60, int8_mixed, or auto for all of them.", [])
    max_candidates: int = parameter("How many of them auto takes, the most useful first; 0 takes all.", 0)
    fine_tune: str = parameter(
        "always, when_needed (not where the loss of mAP on val is within max_map_drop without it, and only for as long "
        "as it gains) or never; empty is when_needed with candidates=auto, else always.", "", metavar="WHEN")
    compression_options: dict[str, Any] = parameter(
        "Overrides of every candidate's config, dotted key to value.", {})

    def check(self) -> None:
        """Raise UserError where there is no candidate, or one cannot be or has the name of another."""
        from core.training.ready_made import expand
        from core.training.settings import When

        if self.fine_tune not in ("", *When):
            raise UserError("parameter fine_tune", self.fine_tune, f"It is one of {', '.join(When)}, or empty.",
                            "Use when_needed to save hours.")
        if self.max_candidates < 0:
            raise UserError("parameter max_candidates", self.max_candidates, "It is 0 for all, or how many.",
                            "Use 0.")
        if not (self.candidates or self.compression_configs or self.compression_config):
            raise UserError("parameter candidates", "no candidate is given", "A run compares at least one compressed "
                            "model with the FP32 one.", "Give compression_config, or candidates=auto.")
        _named(self.compression_configs, {one.name for one in expand(self.candidates, self.max_candidates)})

    def wanted(self, model_config: str, model: Any, model_options: dict[str, Any]) -> Iterator[Wanted]:
        """Yield the candidates.

        Args:
            model_config: The FP32 detector's config, of which ready-made ones are made.
            model: The same, opened.
            model_options: What that is changed by.

        Raises:
            UserError: As ``check``; or two configs give the same name.
        """
        from core.training.ready_made import AUTO, expand, options_of, overridden

        automatic = AUTO in self.candidates
        when = self.fine_tune or ("when_needed" if automatic else "always")
        if not self.compression_configs and not self.candidates:
            yield Wanted(ONLY_CANDIDATE, self.compression_config, copy.deepcopy(self.compression_options), when)
        ready_made = expand(self.candidates, self.max_candidates)
        for name, path in _named(self.compression_configs, {one.name for one in ready_made}).items():
            yield Wanted(name, path, copy.deepcopy(self.compression_options), when)
        for one in ready_made:
            asked = Wanted(one.name, model_config, when=one.when or when, may_fail=one.name not in self.candidates,
                           kind=("int8" if one.int8 else "") + ("pruned" if one.pruned else ""), mixed=one.mixed)
            try:
                options = options_of(one, model)
            except UserError as error:
                if not asked.may_fail:
                    raise
                yield replace(asked, refused=str(error))
            else:
                yield replace(asked, options=overridden(overridden(model_options, options), self.compression_options))


def _named(paths: list[str], taken: Collection[str] = ()) -> dict[str, str]:
    """Return configs by the names of their files, with their folders' names where files have the same.

    Args:
        paths: The configs.
        taken: Names of ready-made candidates, in small letters.
    """
    stems = [PurePosixPath(path).stem for path in paths]
    longer = [f"{PurePosixPath(path).parent.name}-{stem}" for path, stem in zip(paths, stems)]
    names = [_NOT_IN_NAMES.sub("-", long if stems.count(stem) > 1 else stem)[:_LONGEST_NAME].strip("-._")
             for stem, long in zip(stems, longer)]
    # Such as int8.py beside the ready-made int8; some file systems do not tell capitals apart.
    names = [f"own-{name}" if name.lower() in taken else name for name in names]
    if len({name.lower() for name in (*names, "fp32")} - {""}) < len(names) + 1:
        raise UserError("parameter compression_configs", ", ".join(paths), "Candidates are named after their files: "
                        f"here {', '.join(name or 'nothing' for name in names)}. What is left of a name without all "
                        "but A-Z, a-z, 0-9, '_', '.' and '-' must not be empty; names must differ, in more than "
                        "capitals, and none is fp32.", "Rename one of the files.")
    return dict(zip(names, paths))


@dataclass(frozen=True, kw_only=True)
class OfCandidate:
    """The candidate that a stage works on."""

    candidate: dict[str, Any] = parameter(
        "The candidate, as resolve wrote it: its name, and its config by reference; empty for the baseline.", {},
        presence=Presence.OPTIONAL)

    @property
    def name(self) -> str:
        """Return its name."""
        return str(self.candidate.get("name") or ONLY_CANDIDATE)

    def work(self, stage: Any, output: ExecutorOutput, work: Callable[[], None], given: Path | None = None,
             fails_of: type[UserError] | tuple[type[UserError], ...] = (), keeps: Collection[str] = (),
             gpus: int = 0, check: Callable[[], object] = lambda: None) -> None:
        """Do a stage's work, or write what the candidate failed of in the place of its artifacts.

        The first rank writes; KFP tells it alone of the outputs, and the others end well without.

        Args:
            output: The writer of KFP's executor output: each artifact gets the candidate's name.
            work: Writes the artifacts.
            given: The artifact from the stage before, in whose place an outcome may stand.
            fails_of: Errors that are the candidate's own.
            keeps: Artifacts that stay as they are where the work has written them before it failed, such as a log.
            gpus: How many the work uses.
            check: Reads what came from the stage before: that it is damaged is no failure of the candidate's.

        Raises:
            UserError: Any other error; all of them where there is no candidate, as for the baseline and by hand.
        """
        from core.results.outcome import Outcome

        one_of_several = bool(self.candidate) and not (output.by_hand and first_rank())
        artifacts = [element for element in elements(type(stage))
                     if element.role is Role.OUTPUT and getattr(stage, element.name) is not None]
        for element in artifacts if one_of_several else ():
            output.artifact(element.name, {CANDIDATE_KEY: self.name})
        outcome, began = Outcome.at(given) if given is not None else None, time.monotonic()
        if outcome is None:
            if one_of_several:
                check()
            try:
                return work()
            except fails_of as error:
                if not one_of_several:
                    raise
                found_by = "resolve" if self.candidate.get("refused") else type(stage).__name__.lower()
                took = max(time.monotonic() - began, error.seconds if isinstance(error, CandidateFailed) else 0.0)
                outcome = Outcome(version=1, kind="failed candidate", candidate=self.name, stage=found_by,
                                  reason=str(error), seconds=took, gpus=gpus)
        elif not one_of_several:
            raise UserError("input", f"{given} holds no model: {outcome.candidate} failed in {outcome.stage}",
                            outcome.reason, "Give that of another candidate.")
        print(f"{self.name} failed in {outcome.stage} and is left out: {outcome.reason}", flush=True)
        for element in artifacts if first_rank() else ():
            if element.name not in keeps or not getattr(stage, element.name).exists():
                outcome.put(getattr(stage, element.name), element.folder)
        return None
