"""A key wrapper for go-kms-wrapping, as Vault and Boundary load them: AES-GCM under a key of its own.

wrapper.py [--shell sync|aio]. Wants PYTHONPATH to name support/.
"""

import argparse
import asyncio
import os
from typing import Any

import grpc
import grpc.aio
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from wrapping_pb2 import (
    BlobInfo,
    DecryptRequest,
    DecryptResponse,
    EncryptRequest,
    EncryptResponse,
    KeyInfo,
    TypeRequest,
    TypeResponse,
)
from wrapping_pb2_grpc import WrappingServicer, add_WrappingServicer_to_server

from goplugin import pluginlib
from goplugin.handshake import Handshake
from goplugin.pluginlib import aio

HANDSHAKE = Handshake(cookie_key="HASHICORP_GKW_PLUGIN", cookie_value="wrapper")
NONCE = 12  # bytes; they lead the ciphertext


class Forged(Exception):
    """The ciphertext is not what this key made."""


class Key:
    """The key, and what it does for both shells."""

    def __init__(self) -> None:
        self._cipher = AESGCM(AESGCM.generate_key(256))

    def encrypt(self, request: EncryptRequest) -> EncryptResponse:
        nonce = os.urandom(NONCE)
        sealed = self._cipher.encrypt(nonce, request.plaintext, request.options.with_aad)
        return EncryptResponse(ciphertext=BlobInfo(ciphertext=nonce + sealed, key_info=KeyInfo(key_id="python-1")))

    def decrypt(self, request: DecryptRequest) -> DecryptResponse:
        blob = request.ciphertext.ciphertext
        try:
            plaintext = self._cipher.decrypt(blob[:NONCE], blob[NONCE:], request.options.with_aad)
        except InvalidTag as error:
            raise Forged("this is not what was encrypted") from error
        return DecryptResponse(plaintext=plaintext)


class Wrapper(WrappingServicer):
    def __init__(self) -> None:
        self._key = Key()

    def Type(self, request: TypeRequest, context: grpc.ServicerContext) -> TypeResponse:
        return TypeResponse(type="python")

    def Encrypt(self, request: EncryptRequest, context: grpc.ServicerContext) -> EncryptResponse:
        return self._key.encrypt(request)

    def Decrypt(self, request: DecryptRequest, context: grpc.ServicerContext) -> DecryptResponse:
        try:
            return self._key.decrypt(request)
        except Forged as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))


class AsyncWrapper(WrappingServicer):
    def __init__(self) -> None:
        self._key = Key()

    async def Type(self, request: TypeRequest, context: Any) -> TypeResponse:
        return TypeResponse(type="python")

    async def Encrypt(self, request: EncryptRequest, context: Any) -> EncryptResponse:
        return self._key.encrypt(request)

    async def Decrypt(self, request: DecryptRequest, context: Any) -> DecryptResponse:
        try:
            return self._key.decrypt(request)
        except Forged as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise


def register(server: grpc.Server, broker: pluginlib.Broker) -> None:
    add_WrappingServicer_to_server(Wrapper(), server)


def register_aio(server: grpc.aio.Server, broker: aio.Broker) -> None:
    add_WrappingServicer_to_server(AsyncWrapper(), server)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shell", choices=["sync", "aio"], default="sync")
    if parser.parse_args().shell == "sync":
        pluginlib.serve(HANDSHAKE, versions={1: {"wrapping": register}})
    else:
        asyncio.run(aio.serve(HANDSHAKE, versions={1: {"wrapping": register_aio}}))


if __name__ == "__main__":
    main()
