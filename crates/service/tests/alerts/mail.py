"""A mail server for tests: aiosmtpd with TLS and one account.

Prints its port, then one JSON object a mail. Arguments: `starttls`, `tls` or `plain`, a certificate and its key, a user and a password.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

MODE, CERTIFICATE, KEY, USER, PASSWORD = sys.argv[1:]


class Handler:
    async def handle_DATA(self, _server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        said = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "hello": session.host_name,
            "tls": session.ssl is not None or MODE == "tls",
            "authenticated": session.authenticated,
            "headers": {name: str(value) for name, value in mail.items()},
            "text": mail.get_content(),
        }
        print(json.dumps(said), flush=True)
        return "250 OK"


def authenticate(_server, _session, _envelope, _mechanism, data):
    is_it = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=is_it, handled=False)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE, KEY)
options = {}
if MODE == "starttls":
    options = {"tls_context": context, "require_starttls": True, "authenticator": authenticate, "auth_required": True}
elif MODE == "tls":
    options = {"authenticator": authenticate, "auth_required": True, "auth_require_tls": False}


async def serve():
    wrapped = context if MODE == "tls" else None
    listening = asyncio.get_running_loop().create_server(lambda: SMTP(Handler(), **options), "127.0.0.1", 0, ssl=wrapped)
    server = await listening
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(serve())
