"""A voice behind HTTP for checks: POST /v1/audio/speech as OpenAI answers it, with a tone as long as the text.

Listens on a free loopback port, which it prints.
"""

import json
import math
import struct
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

RATE_HZ = 24_000
CHARACTERS_A_SECOND = 20


class Speech(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        count = len(body["input"]) * RATE_HZ // CHARACTERS_A_SECOND
        samples = struct.pack(f"<{count}h", *(int(8000 * math.sin(i * 0.06)) for i in range(count)))
        header = struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            *(b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 1, 1, RATE_HZ, RATE_HZ * 2, 2, 16),
            *(b"data", len(samples)),
        )
        self.send_response(200)
        self.send_header("Content-Length", str(len(header) + len(samples)))
        self.end_headers()
        self.wfile.write(header + samples)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Speech)
print(server.server_port)
sys.stdout.flush()
server.serve_forever()
