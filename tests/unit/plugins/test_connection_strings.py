"""The password in a connection string is found, and nothing that stands there in the open."""

import pytest

from dstream.plugins.connection_strings import passwords_in
from dstream.plugins.redact import MASK, Redactor


@pytest.mark.parametrize(
    ("text", "passwords"),
    [
        ("Server=tcp:sql.example.org;User ID=reader;Password=hunter2-s3cret;Encrypt=true", {"hunter2-s3cret"}),
        ("Server=x;PWD={a;b=}}c};Database=d", {"a;b=}}c", "a;b=}c"}),
        ('Server=x;Password="a;b""cdef";Database=d', {'a;b""cdef', 'a;b"cdef'}),
        ("server=x; pwd = two words ;database=d", {"two words"}),
        ("Endpoint=sb://n/;SharedAccessKeyName=Root;SharedAccessKey=c2VjcmV0a2V5PT0=", {"c2VjcmV0a2V5PT0="}),
        ("Endpoint=sb://n/;SharedAccessSignature=SharedAccessSignature sr=x&sig=abc%2Bdef", {"abc%2Bdef", "abc+def"}),
        ("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=a2V5a2V5==", {"a2V5a2V5=="}),
        ("host=localhost user=me password=hunter2 dbname=shop", {"hunter2"}),
        (r"host=localhost password='it\'s long' dbname=shop", {r"it\'s long", "it's long"}),
        ("postgresql://me:hunter2@db:5432/shop?sslmode=require", {"hunter2"}),
        ("postgresql://me:p%40ss%3Aw@db/shop", {"p%40ss%3Aw", "p@ss:w"}),
        ("postgresql://db/shop?user=me&password=hunter2", {"hunter2"}),
        ("amqps://:only-a-key@host", {"only-a-key"}),
        ("https://a.blob.core.windows.net/c?sv=2021&sig=Zm9v%2Fbar%3D", {"Zm9v%2Fbar%3D", "Zm9v/bar="}),
        ("postgres://postgres:postgres@localhost/postgres", set()),
        ("postgres://me:abc@localhost/shop", set()),
        ("a plain secret, with no = of a known name = in it", set()),
        ("https://example.org/a:b/c@d", set()),
        ("password=", set()),
        ("", set()),
    ],
)
def test_passwords_are_found(text: str, passwords: set[str]) -> None:
    assert set(passwords_in(text)) == passwords


def test_a_password_alone_is_taken_out_of_what_is_said() -> None:
    redactor = Redactor(["postgresql://me:p%40ssword@db:5432/shop"])
    assert (
        redactor.text("login of me with 'p@ssword' failed at db:5432") == f"login of me with '{MASK}' failed at db:5432"
    )
