"""Whatever a service answers to a listing or a HEAD, it is read or refused with a message."""

import io

import pytest
from botocore.awsrequest import AWSResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.storage.s3_client import connect
from core.storage.s3_store import S3Store
from core.storage.store import StoredObject

ENTRY = "<Contents><Key>{key}</Key><LastModified>{date}</LastModified><ETag>{etag}</ETag><Size>{size}</Size></Contents>"
LISTING = '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>b</Name><Prefix>p/</Prefix>' \
          "<KeyCount>2</KeyCount><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
SOUND = {"key": "p/a", "date": "2026-01-02T03:04:05.678Z", "etag": '"0123456789abcdef0123456789abcdef"', "size": "12"}
PIECES = ["<Size>", "</Size>", "<ETag>", "</ETag>", "<Key>", "</Key>", "<LastModified>", "-", "\0", "&", "&#x1F;",
          "9" * 40, "NaN", "2026", "</Contents>", "<Contents/>", "&bomb;", "\N{SNOWMAN}", "true",
          "<NextContinuationToken>"]


class Body(io.BytesIO):
    """What urllib3 would read from."""

    def stream(self, *arguments, **options):
        yield self.read()


@pytest.fixture(scope="module")
def answers():
    """A store, and the status, headers and body that its client gets."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in (("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9"), ("AWS_ACCESS_KEY_ID", "a"),
                            ("AWS_SECRET_ACCESS_KEY", "b")):
            monkeypatch.setenv(name, value)
        client = connect(attempts=1)
    answer = {}
    client.meta.events.register("before-send.s3", lambda request, **others: AWSResponse(
        request.url, answer["status"], answer["headers"], Body(answer["body"])))
    return S3Store("b", "p", client=client), answer


def listed(answers, text):
    store, answer = answers
    answer.update(status=200, headers={"Content-Type": "application/xml"}, body=text.encode(errors="replace"))
    return store.list()


def test_a_sound_listing_is_read(answers):
    assert [info.name for info in listed(answers, LISTING.format(entries=ENTRY.format(**SOUND)))] == ["a"]


@pytest.mark.parametrize("part", ["LastModified", "ETag", "Size"])
def test_an_entry_that_tells_too_little_is_named(answers, part):
    entry = ENTRY.format(**SOUND).replace(part, "Other")
    with pytest.raises(UserError, match="'a' of s3://b/p.* size, ETag and date of every object"):
        listed(answers, LISTING.format(entries=entry))


@pytest.mark.parametrize("headers", [{}, {"ETag": '"1"'}, {"ETag": '"1"', "Last-Modified": "soon"},
                                     {"Last-Modified": "Fri, 02 Jan 2026 03:04:05 GMT", "Content-Length": "1"}])
def test_a_head_that_tells_too_little_is_named(answers, headers):
    store, answer = answers
    answer.update(status=200, headers=headers, body=b"")
    with pytest.raises(UserError, match="s3://b/p/a: "):
        store.find("a")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 30), st.sampled_from(["", *PIECES])), max_size=4),
       field=st.sampled_from(sorted(SOUND)), value=st.text(max_size=30))
def test_any_listing_is_read_or_refused(answers, cuts, field, value):
    text = LISTING.format(entries=ENTRY.format(**{**SOUND, field: value}) + ENTRY.format(**SOUND))
    for place, length, piece in cuts:
        text = text[:place] + piece + text[place + length:]
    try:
        found = listed(answers, text)
    except UserError as error:
        assert len(str(error)) < 2000
    else:
        assert all(isinstance(info, StoredObject) and isinstance(info.size, int) for info in found)
