"""go-kms-wrapping, by which Vault and Boundary load their key wrappers, in both roles. It insists on AutoMTLS."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyhost import SHELLS
from pyplugin import HERE, probe_environment
from wrapping_pb2 import BlobInfo, DecryptRequest, EncryptRequest, Options, SetConfigRequest, TypeRequest
from wrapping_pb2_grpc import WrappingStub

from goplugin.handshake import Handshake

WRAPPER = HERE.parent / "plugins" / "wrapper.py"
WRAPPING = Handshake(cookie_key="HASHICORP_GKW_PLUGIN", cookie_value="wrapper")
KEY = bytes(range(32))
AAD = Options(with_aad=b"known to both")
Program = Callable[[str], Path]


@pytest.mark.parametrize("shell", ["sync", "aio"])
def test_go_kms_wrapping_encrypts_with_a_wrapper_in_python(shell: str, program: Program, tmp_path: Path) -> None:
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(f"#!/bin/sh\nexec {sys.executable} {WRAPPER} --shell {shell}\n")
    wrapper.chmod(0o700)
    done = subprocess.run(
        [program("kmshost"), wrapper, "hello"],
        env={**os.environ, **probe_environment()},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["type"], report["key_id"], report["decrypted"]) == ("python", "python-1", "hello")
    assert b"hello" not in base64.b64decode(report["ciphertext"])
    assert "this is not what was encrypted" in report["forged"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_aead_wrapper_of_go_kms_wrapping_encrypts_for_a_python_host(shell: str, program: Program) -> None:
    """What it made is opened here without it, so what came over the connection is what was asked for."""
    command = [str(program("kms-aead"))]
    host: Any = SHELLS[shell](command, WRAPPING, {"wrapping": WrappingStub}, auto_mtls=True)
    host.start()
    try:
        wrapper = host.dispense("wrapping")
        assert host.call(wrapper.Type, TypeRequest()).type == "aead"
        settings = {"aead_type": "aes-gcm", "key": base64.b64encode(KEY).decode()}
        host.call(wrapper.SetConfig, SetConfigRequest(options=Options(with_key_id="k", with_config_map=settings)))
        blob = host.call(wrapper.Encrypt, EncryptRequest(plaintext=b"hello", options=AAD)).ciphertext
        assert blob.key_info.key_id == "k"
        assert AESGCM(KEY).decrypt(blob.ciphertext[:12], blob.ciphertext[12:], AAD.with_aad) == b"hello"
        assert host.call(wrapper.Decrypt, DecryptRequest(ciphertext=blob, options=AAD)).plaintext == b"hello"
        forged = BlobInfo(ciphertext=blob.ciphertext[:-1] + bytes([blob.ciphertext[-1] ^ 1]))
        with pytest.raises(grpc.RpcError, match="authentication failed"):
            host.call(wrapper.Decrypt, DecryptRequest(ciphertext=forged, options=AAD))
    finally:
        assert host.stop().how == "shutdown"
