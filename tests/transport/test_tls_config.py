"""TLS of the user's own, as it is given."""

import subprocess
import sys

from goplugin.transport import TlsConfig


def test_what_is_not_given_is_refused_and_the_name_is_go_plugins() -> None:
    assert TlsConfig() == (None, None, "localhost")


def test_it_can_be_had_without_loading_ssl() -> None:
    code = "import sys; from goplugin.transport import TlsConfig; TlsConfig(); sys.exit('ssl' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
