"""Functions of files, and the others whose results the conformance cases cannot state."""

import re

import pytest

from dstream.config import parse_expression
from dstream.diagnostics import DiagnosticsError
from dstream.lang import Scope, Sensitive, SetValue, evaluate
from dstream.lang.scope import Surroundings


@pytest.fixture
def value(tmp_path):
    (tmp_path / "a.txt").write_text("hällo\n", encoding="utf-8")
    (tmp_path / "bytes").write_bytes(b"\xff\x00")
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "x.json").write_text("{}")
    (tmp_path / "folder" / "deep" / "y.json").write_text("{}")
    (tmp_path / "list.tmpl").write_text("%{ for n in names ~}\n- ${n} ${upper(n)}\n%{ endfor ~}\n")
    (tmp_path / "wrong.tmpl").write_text("a\n${nope}\n")
    scope = Scope({"secret": Sensitive("s", {"var s"})}, surroundings=Surroundings(tmp_path, {}))
    return lambda text: evaluate(parse_expression(text, "x"), scope)


def problem(value, text):
    with pytest.raises(DiagnosticsError) as caught:
        value(text)
    return caught.value.diagnostics[0]


def test_files_are_read_from_the_folder_of_the_configuration(value):
    assert value('file("a.txt")') == "hällo\n"
    assert value('file("./folder/x.json")') == "{}"
    assert value('filebase64("bytes")') == "/wA="
    assert value('fileexists("a.txt")') is True
    assert value('fileexists("b.txt")') is False
    assert value('filemd5("a.txt") == md5(file("a.txt"))') is True
    assert value('filesha1("a.txt") == sha1(file("a.txt"))') is True
    assert value('filesha256("a.txt") == sha256(file("a.txt"))') is True
    assert value('filesha512("a.txt") == sha512(file("a.txt"))') is True
    assert value('filebase64sha256("a.txt") == base64sha256(file("a.txt"))') is True
    assert value('filebase64sha512("a.txt") == base64sha512(file("a.txt"))') is True


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.json", ["x.json"]), ("**/*.json", ["deep/y.json", "x.json"]), ("**", ["deep/y.json", "x.json"]),
        ("{x,y}.json", ["x.json"]), ("deep/?.json", ["deep/y.json"]), ("[x-z].json", ["x.json"]), ("*.hcl", []),
    ],
)  # fmt: skip
def test_filesets_match_patterns(value, pattern, found):
    assert value(f'fileset("folder", "{pattern}")') == SetValue(found)


def test_a_template_file_is_rendered_with_its_values(value):
    assert value('templatefile("list.tmpl", { names = ["a", "b"] })') == "- a A\n- b B\n"
    assert isinstance(value('templatefile("list.tmpl", { names = [secret] })'), Sensitive)
    assert value('templatestring("$${a}!", { a = 1 })') == "1!"


def test_an_error_in_a_template_file_names_the_place(value):
    found = problem(value, 'templatefile("wrong.tmpl", {})')
    assert "wrong.tmpl:2:3" in found.detail


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('file("nope")', "does not exist"), ('file("folder")', "is a folder"), ('file("bytes")', "filebase64"),
        ('fileexists("folder")', "is a folder"),
        ('templatefile("list.tmpl", [])', "object"), ('file("a\\u0000")', "null character"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_explained(value, text, says):
    assert says in problem(value, text).detail


def test_random_results_have_their_form(value):
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value("uuid()"))
    assert value("uuid()") != value("uuid()")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value("timestamp()"))
    assert value('timecmp(timestamp(), "2020-01-01T00:00:00Z")') == 1
    assert value('base64gunzip(base64gzip("x"))') == "x"


def test_bcrypt_gives_a_hash_of_the_password(value):
    bcrypt = pytest.importorskip("bcrypt")
    hashed = value('bcrypt("secret", 4)')
    assert hashed.startswith("$2a$04$") and bcrypt.checkpw(b"secret", hashed.encode())


def test_rsadecrypt_undoes_what_was_encrypted_for_the_key():
    import base64

    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    text = base64.b64encode(key.public_key().encrypt(b"hello", padding.PKCS1v15())).decode()
    scope = Scope({"text": text, "pem": pem})
    assert evaluate(parse_expression("rsadecrypt(text, pem)", "x"), scope) == "hello"
    with pytest.raises(DiagnosticsError):
        evaluate(parse_expression('rsadecrypt(text, "x")', "x"), scope)


def test_functions_may_be_named_with_their_namespace(value):
    assert value('core::upper("a")') == "A"


def test_a_function_that_is_none_has_a_near_one(value):
    assert "jsonencode" in problem(value, "jsonencod(1)").detail


def test_try_says_why_every_expression_failed(value):
    assert problem(value, "try(nope, [][0])").detail.count("x:1:") == 2
