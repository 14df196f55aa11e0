"""Run `pip check` of this Python, where only NNCF's requirements that images/overrides.txt overrules may be broken."""

import re
import subprocess
import sys
from pathlib import Path

OVERRULED = "nncf"


def unexpected(report: str, overrides: str) -> list[str]:
    """Return the lines of pip's ``report`` that no line of ``overrides`` explains."""
    names = "|".join(re.findall(r"^([\w.-]+)==", overrides, flags=re.MULTILINE))
    known = re.compile(rf"{OVERRULED} \S+ has requirement ({names})\b")
    return [line for line in report.splitlines() if line and not known.match(line)]


def main(overrides: str) -> int:
    """Print what is wrong and return the exit code."""
    done = subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "check"], capture_output=True,
                          text=True, check=False)
    faults = unexpected(done.stdout, Path(overrides).read_text(encoding="utf-8")) if done.returncode else []
    print("\n".join(faults) or "All requirements are met but those that images/overrides.txt overrules.")
    return 1 if faults or (done.returncode and not done.stdout) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
