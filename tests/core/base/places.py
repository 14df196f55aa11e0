"""Commands that hang, each in one place: python places.py PLACE GRACE_SECONDS; each says ``ready`` once it does."""

import contextlib
import ctypes
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from core.base import supervision
from core.base.cli import run_guarded
from core.base.errors import StateSaved, Terminated
from core.base.supervision import more_time, run_command
from core.training import signals
from core.training.signals import Interruptions

FOREVER = 3600


def ready():
    print("ready", flush=True)


def deadlock(library, when_ready=ready):
    """Wait in C for ever: a futex goes on waiting after a signal's handler has run."""
    mutex = ctypes.create_string_buffer(64)
    library.pthread_mutex_lock(mutex)
    when_ready()
    library.pthread_mutex_lock(mutex)


def sleep():
    ready()
    time.sleep(FOREVER)


def native_with_gil():
    deadlock(ctypes.PyDLL(None))


def native_without_gil():
    deadlock(ctypes.CDLL(None))


def swallowed():
    ready()
    while True:
        # As some libraries do.
        with contextlib.suppress(BaseException):
            time.sleep(FOREVER)


def lock():
    held = threading.Lock()
    held.acquire()
    ready()
    held.acquire()


def network():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        ready()
        client.recv(1)


def pool():
    """Leave a block that waits for threads which wait for the network."""
    left, right = socket.socketpair()
    with right, ThreadPoolExecutor(2) as threads:
        threads.submit(left.recv, 1)
        ready()
        time.sleep(FOREVER)


def live_threads():
    """Unwind at once, with threads alive that finalisation would wait for."""
    threading.Thread(target=time.sleep, args=(FOREVER,)).start()
    ready()
    time.sleep(FOREVER)


def finalisation():
    threading.Thread(target=time.sleep, args=(FOREVER,)).start()
    ready()
    return 0


def children():
    """Start a child of every kind: of this group, of another session, without a parent, and forked."""
    subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({FOREVER})"])
    subprocess.Popen(["sleep", str(FOREVER)], start_new_session=True)
    subprocess.run(f"setsid sleep {FOREVER} >/dev/null 2>&1 &", shell=True, check=True)
    fork = multiprocessing.get_context("fork")
    hanging = fork.Event()
    fork.Process(target=deadlock, args=(ctypes.PyDLL(None), hanging.set)).start()
    hanging.wait()
    ready()
    time.sleep(FOREVER)


def child_is_terminated():
    """End a child by SIGTERM, which is no signal to this command."""
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(FOREVER,))
    child.start()
    time.sleep(0.1)
    child.terminate()
    child.join()
    time.sleep(3 * supervision.GRACE_SECONDS)
    ready()
    return 0 if child.exitcode == -15 else 9


def saving():
    """Hold SIGTERM back for longer than the grace, save, and say so."""
    try:
        with Interruptions() as interruptions, more_time(FOREVER, 15):
            ready()
            while True:
                time.sleep(0.5)
                interruptions.check()
    except Terminated:
        raise StateSaved("/states", "epoch 1") from None


def hangs_while_saving():
    signals.SAVING_SECONDS = 0.5
    with Interruptions():
        native_with_gil()


def backward():
    """Compute gradients: C++ threads that want the GIL, while the main thread waits without it."""
    import torch

    class Slow(torch.autograd.Function):
        @staticmethod
        def forward(context, value):
            return value

        @staticmethod
        def backward(context, gradient):
            ready()
            time.sleep(FOREVER)
            return gradient

    Slow.apply(torch.ones(1, requires_grad=True)).sum().backward()


def backward_loop():
    import torch

    torch.set_num_threads(1)
    weight = torch.ones(400, 400, requires_grad=True)
    while True:
        loss = weight
        for _ in range(30):
            loss = torch.tanh(loss @ weight)
        loss.sum().backward()
        ready()


def data_loader():
    import torch

    class Endless(torch.utils.data.Dataset):
        def __len__(self):
            return 100

        def __getitem__(self, index):
            if index == 4:
                deadlock(ctypes.PyDLL(None))
            return index

    for _ in torch.utils.data.DataLoader(Endless(), batch_size=2, num_workers=2):
        pass


def inference():
    import numpy as np
    import openvino as ov
    from openvino.runtime import opset13 as ops

    from core.openvino.runtime import shared_core

    value = ops.parameter([512, 512], np.float32)
    result = value
    for _ in range(40):
        result = ops.matmul(result, ops.constant(np.ones((512, 512), np.float32)), False, False)
    model = shared_core().compile_model(ov.Model([result], [value]), "CPU")
    while True:
        model([np.ones((512, 512), np.float32)])
        ready()


def main():
    return run_guarded("place", globals()[sys.argv[1]])


if __name__ == "__main__":
    supervision.GRACE_SECONDS = float(sys.argv[2])
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(run_command("place", main))
