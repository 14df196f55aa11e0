"""The exit codes of every command of this project besides 0."""

EXIT_USER_ERROR = 2
EXIT_DISK_FULL = 3
# EX_TEMPFAIL of sysexits.h: the same command, started again, resumes.
EXIT_STATE_SAVED = 75
# A shell's code of a command that a signal ended: 128 and its number, here SIGINT, SIGPIPE and SIGTERM.
EXIT_INTERRUPTED = 130
EXIT_UNREAD = 141
EXIT_TERMINATED = 143
