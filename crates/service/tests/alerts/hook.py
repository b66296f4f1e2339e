"""The other end of a webhook, with nothing but stock Python: says of each request what was in it, and whether it was signed.

Prints its port, then one JSON object a request. Arguments: the key, and for TLS a certificate and its key.
"""

import hashlib
import hmac
import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = sys.argv[1].encode()


def is_signed(header, body):
    """What docs/alerts.md tells a receiver to do."""
    fields = dict(field.split("=", 1) for field in header.split(","))
    expected = hmac.new(KEY, fields["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    is_fresh = abs(time.time() - int(fields["t"])) < 300
    return is_fresh and hmac.compare_digest(expected, fields["v1"])


class Receiver(BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        header = self.headers.get("X-Chronavault-Signature")
        said = {
            "method": self.command,
            "path": self.path,
            "type": self.headers.get("Content-Type"),
            "agent": self.headers.get("User-Agent"),
            "signed": header is not None and is_signed(header, body),
            "body": body.decode(),
        }
        print(json.dumps(said), flush=True)
        if self.path.startswith("/redirect"):
            self.send_response(302)
            self.send_header("Location", "/ok")
        else:
            self.send_response(int(self.path.rsplit("/", 1)[1]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
