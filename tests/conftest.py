"""What holds for every test run."""

import signal


def pytest_configure(config):
    """Take Ctrl-C as a program in the foreground does: a shell starts background jobs with SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
