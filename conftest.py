"""For all tests: what those of faults found out is kept for the table in docs/faults.md; and Ctrl-C can be tested."""

import signal

from hypothesis import HealthCheck, settings

pytest_plugins = ["fault_record"]

# What a shell runs in the background ignores SIGINT, what nohup runs SIGHUP, and so does all that they start: no test
# could send one.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# No example fails for the machine's being busy.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
