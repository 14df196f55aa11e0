"""The project's two Python environments and the locks that define them."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NNCF_LOCK = "requirements-nncf.txt"


@dataclass(frozen=True)
class Environment:
    """One environment, named like the image it stands for.

    Attributes:
        name: Also its folder under ``images/`` and under the environments' folder.
        python: The Python version, two numbers.
        lock_names: In order of installation; the first holds what builds of the others need.
        imports: Modules whose import proves the installation.
        gigabytes: Room that installing takes, in 1e9 bytes, temporary files included.
    """

    name: str
    python: str
    lock_names: tuple[str, ...]
    imports: tuple[str, ...]
    gigabytes: int

    def locks(self, with_nncf: bool = True) -> tuple[Path, ...]:
        """Return the lock files, the one that adds NNCF only on wish."""
        return tuple(ROOT / "images" / self.name / name for name in self.lock_names if with_nncf or name != NNCF_LOCK)


ENVIRONMENTS: dict[str, Environment] = {environment.name: environment for environment in (
    Environment("train", "3.8",
                ("requirements-build.txt", "requirements.txt", NNCF_LOCK, "requirements-test.txt"),
                ("cv2", "mmcv.ops", "mmdet.apis"), 6),
    Environment("openvino", "3.11",
                ("requirements-build.txt", "requirements.txt", "requirements-authoring.txt", "requirements-test.txt"),
                ("cv2", "openvino", "kfp"), 3),
)}
