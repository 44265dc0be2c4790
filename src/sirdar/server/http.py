"""HTTP on a connection: uvicorn's protocol, with a limit on what comes before a body, and problems as its errors too."""

import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sirdar.domain.problems import Problem
from sirdar.services import calls

HEAD_BYTES = 64 * 1024


class Http(HttpToolsProtocol):
    """The parser keeps a request's line and headers in memory until they are complete: an endless one is cut off."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._in_head = False
        self._head_bytes = 0

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The request's headers are larger than {HEAD_BYTES} bytes.")

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP gets the same kind of answer as everything else, and the connection is closed."""
        detail = "This is no HTTP request." if msg.startswith("Invalid HTTP") else msg
        request_id = calls.new_id()
        body = json.dumps({**Problem("invalid_request", detail).to_json(), "requestId": request_id}).encode()
        head = (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n"
            b"content-length: %d\r\nx-request-id: %b\r\nconnection: close\r\n\r\n" % (len(body), request_id.encode())
        )
        self.transport.write(head + body)
        self.transport.close()
