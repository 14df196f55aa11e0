"""Imports what the compress stage needs once, and forks a stage for every line of its input.

    python training_server.py

A line of input is a JSON object {"argv": [...], "markers": fd path}. The answer is the child's process id, and, when
the child has ended, its exit code (negative for the signal that ended it). A child that was asked for markers writes a
byte to that named pipe at its moments: ``i`` before an iteration, ``s`` before a state is written, ``u`` before one is
uploaded.
"""

import json
import os
import sys


def main() -> None:
    # Imports print, and the answers are this process's alone.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    import mmdet.apis  # noqa: F401
    import nncf.torch  # noqa: F401

    from components.compress.stage import STAGE as COMPRESS
    from components.train.stage import STAGE as TRAIN
    from core.storage.folder_store import FolderStore
    from core.storage.s3_store import S3Store
    from core.training import fit, hooks, runner  # noqa: F401

    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            os.dup2(os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
            os.dup2(1, 2)
            if asked.get("markers"):
                _mark(asked["markers"], runner.ResumableRunner, hooks, (FolderStore, S3Store))
            code = {"train": TRAIN, "compress": COMPRESS}[asked["stage"]].main(asked["argv"])
            # As at the end of any interpreter: threads of uploads are waited for.
            sys.stdout.flush()
            os._exit(code)
        print(child, file=answers)
        status = os.waitpid(child, 0)[1]
        print(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), file=answers)


def _mark(pipe, runner, hooks, stores) -> None:
    out = os.open(pipe, os.O_WRONLY)

    def before(owner, name, marker):
        function = getattr(owner, name)

        def marked(*arguments, **options):
            os.write(out, marker)
            return function(*arguments, **options)

        setattr(owner, name, marked)

    before(runner, "run_iter", b"i")
    before(hooks, "write_checkpoint", b"s")
    for store in stores:
        before(store, "upload", b"u")


if __name__ == "__main__":
    main()
