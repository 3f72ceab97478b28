"""The server's two-part reply, taken apart."""

from email.message import Message
from email.parser import BytesHeaderParser

from AngioSegLib.errors import BadReply

__all__ = ["parseMultipart"]


def parseMultipart(contentType: str, body: bytes) -> dict[str, bytes]:
    """Split a ``multipart/form-data`` body (RFC 7578) into its parts by name.

    Args:
        contentType: the header, which names the boundary.
        body: the bytes.

    Raises:
        BadReply: when it is no such body, or its end is missing.
    """
    header = Message()
    header["Content-Type"] = contentType
    boundary = header.get_param("boundary")
    if header.get_content_maintype() != "multipart" or not boundary:
        raise BadReply(f"the server answered with {header.get_content_type()} where two parts were agreed")
    # With a line break before it, the first delimiter looks like all others.
    pieces = (b"\r\n" + body).split(b"\r\n--" + str(boundary).encode())
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise BadReply("the server's reply is cut short; try again")
    parts: dict[str, bytes] = {}
    for piece in pieces[1:-1]:
        head, blank, content = piece.partition(b"\r\n\r\n")
        disposition = BytesHeaderParser().parsebytes(head.lstrip() + b"\r\n\r\n")
        name = disposition.get_param("name", header="content-disposition")
        if not blank or not name:
            raise BadReply("the server's reply has a part without a name")
        parts[str(name)] = content
    return parts
