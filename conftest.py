"""For all tests: what those of faults found out is kept for the table in docs/faults.md; and Ctrl-C can be tested."""

import signal

from hypothesis import HealthCheck, settings

pytest_plugins = ["fault_record"]

# Whatever a shell runs in the background ignores SIGINT, and so does all that it starts: no test could send one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No example fails for the machine's being busy.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
