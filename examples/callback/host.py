import json
import sys
from pathlib import Path

from callback_pb2 import ReportResponse, RunRequest
from callback_pb2_grpc import ProgressServicer, SearchStub, add_ProgressServicer_to_server

from goplugin import hostlib
from goplugin.handshake import Handshake


class Progress(ProgressServicer):
    """What the plugin calls while it works for us."""

    def Report(self, request, context):
        print(f"{request.file}: {request.lines} so far")
        return ReportResponse(enough=request.lines >= 20)


def register(server):
    add_ProgressServicer_to_server(Progress(), server)


handshake = Handshake(cookie_key="SEARCH_PLUGIN", cookie_value="hello")
folder = str(Path(json.__file__).parent)
with hostlib.Client([sys.executable, "plugin.py"], handshake, plugins={"search": SearchStub}) as client:
    with client.broker.accept_and_serve(client.broker.next_id(), register) as served:
        answer = client.dispense("search").Run(RunRequest(folder=folder, word="import", progress=served.id))
    print(f"{answer.lines} lines, and that is enough")
