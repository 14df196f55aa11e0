"""Run `pip check` of this Python, where only NNCF's requirements that images/overrides.txt overrules may be broken."""

import re
import subprocess
import sys
from pathlib import Path

OVERRULED = "nncf"


def unexpected(report: str, overrides: str) -> list[str]:
    """Return the lines of pip's ``report`` that no line of ``overrides`` explains."""
    known = [re.compile(rf"{OVERRULED} \S+ has requirement {re.escape(name)}[^\w.-].*, but you have "
                        rf"{re.escape(name)} {re.escape(version)}\.")
             for name, version in re.findall(r"^([\w.-]+)==(\S+)", overrides, flags=re.MULTILINE)]
    return [line for line in report.splitlines() if line and not any(each.fullmatch(line) for each in known)]


def main(overrides: str) -> int:
    """Print what is wrong and return the exit code."""
    done = subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "check"], capture_output=True,
                          text=True, check=False)
    # Where pip does not run at all, stdout is empty.
    report = (done.stdout or done.stderr or f"pip check ended with {done.returncode}") if done.returncode else ""
    faults = unexpected(report, Path(overrides).read_text(encoding="utf-8"))
    print("\n".join(faults) or "All requirements are met but those that images/overrides.txt overrules.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
