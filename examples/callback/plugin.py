from pathlib import Path

from callback_pb2 import ReportRequest, RunResponse
from callback_pb2_grpc import ProgressStub, SearchServicer, add_SearchServicer_to_server

from goplugin import pluginlib
from goplugin.handshake import Handshake


class Search(SearchServicer):
    """Counts the lines that hold a word, and tells the host about each file, until that has enough."""

    def __init__(self, broker):
        self.broker = broker

    def Run(self, request, context):
        found = 0
        with self.broker.dial(request.progress) as channel:
            progress = ProgressStub(channel)
            for file in sorted(Path(request.folder).glob("*.py")):
                found += sum(request.word in line for line in file.read_text().splitlines())
                if progress.Report(ReportRequest(file=file.name, lines=found)).enough:
                    break
        return RunResponse(lines=found)


def register(server, broker):
    add_SearchServicer_to_server(Search(broker), server)


pluginlib.serve(Handshake(cookie_key="SEARCH_PLUGIN", cookie_value="hello"), plugins={"search": register})
