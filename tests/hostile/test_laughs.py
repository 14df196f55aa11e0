"""Values without end, at every place of a checkpoint: refused at once, in little memory."""

import json
import resource
import subprocess
import sys
from pathlib import Path

from tests.hostile import laughs

CPU_SECONDS = 60
"""For all cases together, which take ten; a single one that expands its value takes ages."""
MOST_MESSAGE = 4000
# The constructors leave hooks out, and with them what stands there.
LEFT_OUT = "hooks"


def test_every_value_without_end_is_refused(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))

    done = subprocess.run([sys.executable, "-m", "tests.hostile.laughs", str(tmp_path)], preexec_fn=limit, text=True,
                          cwd=Path(__file__).resolve().parents[2], capture_output=True, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"after {answers[-1:]}: {done.stderr[-1000:]}"
    assert len(answers) == 2 * sum(len(laughs.places(make())) for make in laughs.LAUGHS.values())
    for name, said in answers:
        assert name.endswith(LEFT_OUT) or said.startswith("UserError: "), (name, said)
        assert len(said) < MOST_MESSAGE
