"""The pieces of a model behind a server: its address and key, pictures, requests, answers, and what errors mean."""

from __future__ import annotations

import base64
import io
import json
import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_server import ranked, said
from PIL import Image
from toy import Picture

from fgvr_bench.core.images import decode_image
from fgvr_bench.engines.openai_api.address import parse_address
from fgvr_bench.engines.openai_api.faults import Refused, Retry, fault_of, retry_after, words_of
from fgvr_bench.engines.openai_api.keys import Key, find_key
from fgvr_bench.engines.openai_api.preparing import PicturePreparer
from fgvr_bench.engines.openai_api.wire import Wording, read_scores
from fgvr_bench.errors import FgvrError, ModelUnavailable, UsageError
from fgvr_bench.interfaces import Decoding, ModelSettings
from fgvr_bench.protocols.scores import read_scores as verdict
from fgvr_bench.types import Prompt

SECRET = "sk-geheim-0123456789"
PROMPT = Prompt("toy/test/1#multiple-choice.0", Picture((1, 2, 3)), "Which?", ("A", "B"), ("rook", "crow"))
GENERATE = Wording("m", ranks=False, max_tokens=64)
RANK = Wording("m", ranks=True, max_tokens=64)

# --- addresses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "model", "url"),
    [
        ("Qwen/Qwen2-VL-7B@http://localhost:8000/v1", "Qwen/Qwen2-VL-7B", "http://localhost:8000/v1"),
        ("m@HTTPS://API.OpenAI.com/v1/", "m", "https://api.openai.com/v1"),
        ("m@http://h/v1/chat/completions", "m", "http://h/v1"),
        ("org/m@main@http://[::1]:8/v1", "org/m@main", "http://[::1]:8/v1"),
        ("m@http://h", "m", "http://h"),
    ],
)
def test_model_and_url_are_read(argument: str, model: str, url: str) -> None:
    address = parse_address(argument)
    assert (address.model, address.url) == (model, url)


@pytest.mark.parametrize(
    "argument",
    [
        None,
        "m",
        "m@localhost:8000",
        "@http://h/v1",
        "m@http://",
        "m@http:///v1",
        "m@http://h:99999/v1",
        f"m@http://me:{SECRET}@h/v1",
        f"m@http://{SECRET}@h/v1",
        f"m@http://me:{SECRET}/x@h/v1",
        f"m@http://h/v1?key={SECRET}",
        f"m@http://h/v1#{SECRET}",
        f"m@me:{SECRET}@h/v1",
        f"m@http://h:{SECRET}/v1",
    ],
)
def test_a_url_with_secrets_or_without_a_host_is_refused_and_not_repeated(argument: str | None) -> None:
    with pytest.raises(UsageError) as told:
        parse_address(argument)
    assert SECRET not in str(told.value)


# --- keys ---------------------------------------------------------------------------------------------


def test_openais_key_goes_to_openai_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    sent = {
        url: find_key(parse_address(f"m@{url}"))
        for url in ("https://api.openai.com/v1", "http://api.openai.com/v1", "https://api.openai.com.evil.org/v1")
    }
    assert [key is not None for key in sent.values()] == [True, False, False]
    monkeypatch.setenv("FGVR_API_KEY", "own-key-of-this-run")
    own = find_key(parse_address("m@https://api.openai.com/v1"))
    assert own is not None
    assert own.headers() == {"Authorization": "Bearer own-key-of-this-run"}


def test_a_key_shows_itself_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    key = Key(SECRET, "FGVR_API_KEY")
    assert SECRET not in f"{key} {key!r} {[key]}"
    assert key.hide(f"Incorrect API key provided: {SECRET}.") == "Incorrect API key provided: (key)."
    with pytest.raises(TypeError, match="does not travel"):
        pickle.dumps(key)
    monkeypatch.setenv("FGVR_API_KEY", f"{SECRET}\nX-Other: 1")
    with pytest.raises(UsageError, match="FGVR_API_KEY holds") as told:
        find_key(parse_address("m@http://h/v1"))
    assert SECRET not in str(told.value)


def test_a_stand_in_for_a_key_hides_no_words() -> None:
    assert Key("EMPTY", "FGVR_API_KEY").hide("EMPTY box") == "EMPTY box"


# --- settings -----------------------------------------------------------------------------------------


def plan(argument: str = "m@http://h/v1", **settings: Any) -> Any:
    from fgvr_models.api import API

    return API.plan(ModelSettings(argument=argument, decoding=Decoding(), **settings))


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"concurency": "2"}, "Did you mean concurrency"),
        ({"concurrency": "0"}, "at least 1"),
        ({"concurrency": "many"}, "cannot be read"),
        ({"timeout": "inf"}, "cannot be read"),
        ({"timeout": "nan"}, "cannot be read"),
        ({"requests_per_minute": "0"}, "cannot be read"),
        ({"image_detail": "blurred"}, "Choose auto, low, high"),
        ({"image_encoding": "gif"}, "Choose png, jpeg"),
        ({"extra_body": "[1]"}, "JSON object"),
        ({"extra_body": "{"}, "cannot be read"),
        ({"extra_body": '{"messages": []}'}, "messages is not for extra_body"),
        ({"api_key": "abc"}, "environment: FGVR_API_KEY"),
    ],
)
def test_settings_that_cannot_be_are_refused(args: dict[str, str], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        plan(args=args)


@pytest.mark.parametrize(
    "given",
    [{"dtype": "float32"}, {"checkpoint": "x"}, {"revision": "main"}, {"trust_remote_code": True}],
)
def test_what_only_a_server_can_be_told_is_refused_here(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="Give it to the server instead"):
        plan(**given)


def test_a_key_in_the_command_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FGVR_API_KEY", SECRET)
    for asked in ({"argument": f"m@http://h/{SECRET}/v1"}, {"args": {"extra_body": json.dumps({"k": SECRET})}}):
        with pytest.raises(UsageError, match="stands in the command itself") as told:
            plan(**asked)
        assert SECRET not in str(told.value)


# --- pictures -----------------------------------------------------------------------------------------


class Bytes:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self) -> bytes:
        return self.data


def encoded(image: Image.Image, kind: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def photo(mode: str = "RGB") -> Image.Image:
    gradient = Image.linear_gradient("L").resize((40, 24))
    return Image.merge("RGB", (gradient, gradient.rotate(180), gradient)).convert(mode)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(photo(), "JPEG", exif=exif)


def sent(data: bytes, shown: Image.Image | None = None, encoding: str = "png") -> tuple[str, bytes]:
    """Return kind and bytes of the data URL that a server would get."""
    prompt = Prompt("q", Bytes(data), "?", (), ())
    url = PicturePreparer(encoding).item(prompt, shown or decode_image(data))
    head, _, text = url.partition(",")
    return head, base64.b64decode(text)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (encoded(photo(), "JPEG"), "jpeg"),
        (encoded(photo("L"), "JPEG"), "jpeg"),
        (encoded(photo(), "PNG"), "png"),
        (encoded(photo(), "JPEG", progressive=True), "jpeg"),
    ],
)
def test_an_ordinary_file_is_sent_byte_for_byte(data: bytes, kind: str) -> None:
    assert sent(data) == (f"data:image/{kind};base64", data)


@pytest.mark.parametrize(
    "data",
    [
        turned(),
        encoded(photo("CMYK"), "JPEG"),
        encoded(photo("P"), "PNG"),
        encoded(photo("RGBA"), "PNG"),
        encoded(photo(), "PNG", transparency=(0, 255, 0)),
        encoded(Image.new("I;16", (9, 5), 40000), "PNG"),
        encoded(photo(), "PNG", save_all=True, append_images=[photo().rotate(90)]),
        encoded(photo(), "GIF"),
        encoded(photo(), "WEBP", lossless=True),
        encoded(photo(), "TIFF"),
        b"P6 8 8 255\n" + bytes((1, 2, 3)) * 64,
    ],
)
def test_any_other_picture_is_sent_upright_in_plain_colours_without_loss(data: bytes) -> None:
    head, got = sent(data)
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(got)) as read:
        assert (read.mode, getattr(read, "n_frames", 1)) == ("RGB", 1)
        assert read.tobytes() == decode_image(data).tobytes()
    assert sent(data, encoding="jpeg")[0] == "data:image/jpeg;base64"


def test_what_is_shown_in_a_pictures_place_is_what_is_sent() -> None:
    grey = Image.new("RGB", photo().size, (128, 128, 128))
    _, got = sent(encoded(photo(), "JPEG"), shown=grey)
    assert decode_image(got).tobytes() == grey.tobytes()


# --- requests and answers -----------------------------------------------------------------------------


def test_null_in_extra_body_leaves_a_field_out() -> None:
    body = Wording("m", False, 64, extra_body={"max_tokens": None, "max_completion_tokens": 64}).body(PROMPT, "data:")
    assert "max_tokens" not in body
    assert body["max_completion_tokens"] == 64


@pytest.mark.parametrize(
    ("content", "completion"),
    [
        (" B \n", "B"),
        (None, ""),
        ("B \ud800", "B ?"),
        ([{"type": "thinking", "text": "A?"}, {"type": "text", "text": "B"}, {"type": "text", "text": "."}], "B."),
    ],
)
def test_the_answer_is_the_content(content: Any, completion: str) -> None:
    assert GENERATE.read(PROMPT, said(content)).completion == completion


@pytest.mark.parametrize(
    ("finish", "stop"), [("stop", "eos"), ("length", "length"), ("tool_calls", None), (None, None), ("eos_token", None)]
)
def test_why_it_ended_is_kept_where_it_is_known(finish: Any, stop: str | None) -> None:
    assert GENERATE.read(PROMPT, said("B", finish)).stop == stop


@pytest.mark.parametrize("usage", [None, {}, {"completion_tokens": None}, {"completion_tokens": "3"}, [1]])
def test_tokens_are_counted_only_where_the_server_counts_them(usage: Any) -> None:
    assert GENERATE.read(PROMPT, {**said("B"), "usage": usage}).tokens is None


def test_a_withheld_answer_is_refused() -> None:
    with pytest.raises(Refused, match="content_filter"):
        GENERATE.read(PROMPT, said("", "content_filter"))


FIELDS = ("choices", "message", "content", "logprobs", "top_logprobs", "token", "logprob", "usage")
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(FIELDS), inner),
)


@given(ANYTHING)
@pytest.mark.parametrize("wording", [GENERATE, RANK])
def test_whatever_a_server_sends_is_an_answer_or_one_of_three_errors(wording: Wording, content: Any) -> None:
    for body in (content, {"choices": content}, {"choices": [{"message": {}, "logprobs": content}]}):
        try:
            response = wording.read(PROMPT, body)
        except (Retry, Refused, FgvrError):
            continue
        assert response.question_id == PROMPT.question_id


LOGPROBS = st.floats(-60.0, 0.0)


@given(st.dictionaries(st.sampled_from(["A", " A", "B", "▁B", "C", "The", "a", "AB", ""]), LOGPROBS, min_size=1))
def test_no_letter_is_scored_above_what_the_list_allows(listed: dict[str, float]) -> None:
    letters = ("A", "B", "C")
    variants = {letter: [listed[token] for token in listed if token.strip(" ▁") == letter] for letter in letters}
    if not any(variants.values()):
        with pytest.raises(Refused):
            read_scores(listed, letters, letters=True)
        return
    scores = read_scores(listed, letters, letters=True)
    smallest = min(listed.values())
    for letter, score in zip(letters, scores, strict=True):
        assert score == max(variants[letter]) if variants[letter] else smallest - 2e-6 < score < smallest
    best = max((max(found), letter) for letter, found in variants.items() if found)
    rivals = [letter for letter, found in variants.items() if found and round(max(found), 6) == round(best[0], 6)]
    assert verdict(scores, 3).choice == (letters.index(best[1]) if len(rivals) == 1 else None)


def test_words_are_read_by_their_first_token_in_any_case() -> None:
    assert read_scores({"Yes": -0.1, "no": -3.0, "n": -4.0}, ("yes", "no"), letters=False) == (-0.1, -3.0)
    assert read_scores({" y": -0.5, "maybe": -9.0}, ("yes", "no"), letters=False) == (-0.5, -9.000001)


def test_tokens_without_a_log_probability_are_not_on_the_list() -> None:
    response = RANK.read(PROMPT, ranked({"A": -1.0, "x": -2.0, "B": -9999.0}))
    assert response.scores == (-1.0, -2.000001)


@pytest.mark.parametrize("logprobs", [None, [], {"content": [{"token": "A", "logprob": -1.0, "top_logprobs": []}]}])
def test_an_answer_without_the_list_says_how_to_go_on(logprobs: Any) -> None:
    body = said("A")
    body["choices"][0]["logprobs"] = logprobs
    with pytest.raises(FgvrError, match="Use --decoding generate"):
        RANK.read(PROMPT, body)


# --- errors -------------------------------------------------------------------------------------------

ADDRESS = parse_address("qwen2-vl@http://h:8000/v1")


def fault(status: int, words: str, listed: list[str] | None = None, key: str | None = None) -> Exception:
    return fault_of(status, {}, json.dumps({"error": {"message": words}}), ADDRESS, listed or [], key)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 520, 529])
def test_what_may_pass_is_tried_again(status: int) -> None:
    assert isinstance(fault(status, "image input failed: invalid context length"), Retry)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "The prompt (total length 5000) is longer than the maximum model length of 4096."),
        (400, "This model's maximum context length is 4096 tokens."),
        (400, "You uploaded an unsupported image. Please make sure your image is below 20 MB in size."),
        (400, "Failed to load image: height:1 must be larger than factor:28"),
        (422, "image could not be decoded"),
        (413, "Payload Too Large"),
    ],
)
def test_what_is_wrong_with_one_question_costs_that_question(status: int, words: str) -> None:
    assert isinstance(fault(status, words), Refused)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "m is not a multimodal model"),
        (400, "Invalid content type. image_url is only supported by certain models."),
        (404, "No endpoints found that support image input"),
        (400, "model m is invalid"),
        (422, "Unexpected fields in the request: {'top_k'}"),
        (501, "not implemented"),
        (401, "Incorrect API key"),
    ],
)
def test_what_is_wrong_with_all_questions_stops_the_run(status: int, words: str) -> None:
    assert isinstance(fault(status, words), ModelUnavailable)


def test_a_refused_key_is_named_by_its_variable() -> None:
    assert "refuses the key in FGVR_API_KEY (401): no such key. Check FGVR_API_KEY." in str(
        fault(401, "no such key", key="FGVR_API_KEY")
    )


def test_an_unknown_model_is_met_with_near_names_and_with_a_few_where_none_is_near() -> None:
    assert "Did you mean Qwen/Qwen2-VL-7B?" in str(fault(404, "no such model", ["Qwen/Qwen2-VL-7B", "org/whisper"]))
    many = [f"zz-{number}" for number in range(300)]
    assert "It lists 300 models, among them zz-0, zz-1" in str(fault(404, "no such model", many))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_error_body_is_one_line_of_readable_length(text: str) -> None:
    words = words_of(text)
    assert len(words) <= 300
    assert "\n" not in words


@given(st.text(max_size=20))
def test_retry_after_never_breaks(text: str) -> None:
    seconds = retry_after({"retry-after": text})
    assert seconds is None or (seconds >= 0 and not math.isnan(seconds))
