# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is masked of a text, and what of a log must stay: the doctor reads it."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.bundle import secrets, unitstates
from ansible_collections.railyard.sglang.plugins.module_utils.bundle.secrets import MARK, Secrets
from ansible_collections.railyard.sglang.tests.unit.support import doctorlogs

FUZZ = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
KEY = "-----BEGIN OPENSSH " + "PRIVATE KEY-----\n" + "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\nQyNTUxOQAA\n"
KEY += "-----END OPENSSH " + "PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        # As programs log their arguments.
        ("ServerArgs(api_key='a b-c', port=3)", f"ServerArgs(api_key='{MARK}', port=3)"),
        ('admin_api_key="x1", ssl_keyfile_password=None', f'admin_api_key="{MARK}", ssl_keyfile_password=None'),
        ("RouterConfig { api_key: Some(\"abc\"), port: 8 }", f"RouterConfig {{ api_key: Some(\"{MARK}\"), port: 8 }}"),
        ("launch --api-key abc --port 3", f"launch --api-key {MARK} --port 3"),
        ("launch --api-key=abc --hf-token  'x y' --port 3", f"launch --api-key={MARK} --hf-token  '{MARK}' --port 3"),
        ("HF_TOKEN=abcdef01 A=1", f"HF_TOKEN={MARK} A=1"),
        ("AWS_SECRET_ACCESS_KEY: Zm9v/bar+1", f"AWS_SECRET_ACCESS_KEY: {MARK}"),
        ('{"token": "abc", "password":"p\\"w", "n": 1}', f'{{"token": "{MARK}", "password":"{MARK}", "n": 1}}'),
        (r'{\"client_secret\": \"abc\", \"n\": 1}', rf'{{\"client_secret\": \"{MARK}\", \"n\": 1}}'),
        (r'{"password": "a\"b-rest", "n": 1}', f'{{"password": "{MARK}", "n": 1}}'),
        (r'"{\"password\": \"a\\\"b-rest\", \"n\": 1}"', rf'"{{\"password\": \"{MARK}\", \"n\": 1}}"'),
        # What nobody has quoted ends at a blank.
        ("password=ab;cd x", f"password={MARK} x"),
        ("MYSQL_PASSWORD=a,b x", f"MYSQL_PASSWORD={MARK} x"),
        ("api_key=a&b", f"api_key={MARK}"),
        ("f(password=pa(ss)word, n=1)", f"f(password={MARK}, n=1)"),
        ("f(api_key=None,admin_api_key=xyz,n=1)", f"f(api_key=None,admin_api_key={MARK})"),
        ("/o?api_key=x&my_secret=y", f"/o?api_key={MARK}&my_secret={MARK}"),
        # Digits alone are a key, too.
        ("api_key=0123456789", f"api_key={MARK}"),
        ("launch --token 12345678 --port 3", f"launch --token {MARK} --port 3"),
        ("OPENAI_KEY=abc1 MYSQL_PWD=abc PWD=/root HF_TOKEN_2=abc", f"OPENAI_KEY={MARK} MYSQL_PWD={MARK} PWD=/root HF_TOKEN_2={MARK}"),
        # In colours.
        ("\x1b[3mapi_key\x1b[0m\x1b[2m=\x1b[0mabcdef\x1b[0m x", f"\x1b[3mapi_key\x1b[0m\x1b[2m=\x1b[0m{MARK}\x1b[0m x"),
        ("password: hunter", f"password: {MARK}"),
        ("passwd=1234", f"passwd={MARK}"),
        # Headers.
        ("Authorization: Bearer abc.def", f"Authorization: {MARK}"),
        ("'authorization': 'Basic dXNlcjpwdw=='", f"'authorization': '{MARK}'"),
        ("sent Bearer abcdefgh1 on", f"sent Bearer {MARK} on"),
        ("x-api-key: abc1", f"x-api-key: {MARK}"),
        ("Set-Cookie: sid=a1b2c3; Path=/", f"Set-Cookie: {MARK}"),
        ('Cookie: a=b1; c="d e"; f=g', f"Cookie: {MARK}"),
        ("curl -H 'Cookie: a=b; c=d' http://x", f"curl -H 'Cookie: {MARK}' http://x"),
        ("(b'x-api-key', b'abcdefg12345'), (b'accept', b'*/*')", f"(b'x-api-key', b'{MARK}'), (b'accept', b'*/*')"),
        ("['--api-key', 'abc', '--port', '3']", f"['--api-key', '{MARK}', '--port', '3']"),
        ('{"name": "HF_TOKEN", "value": "abc12345"}', f'{{"name": "HF_TOKEN", "value": "{MARK}"}}'),
        ("- {name: HF_TOKEN, value: abc12345}", f"- {{name: HF_TOKEN, value: {MARK}}}"),
        # Links.
        ("https://ann:pw@h.example/x", f"https://{MARK}@h.example/x"),
        ("redis://:pw@h:6379/0", f"redis://{MARK}@h:6379/0"),
        ("https://u:p@ss@h.example/x", f"https://{MARK}@h.example/x"),
        ("redis://u:p/w@h:6379/0", f"redis://{MARK}@h:6379/0"),
        ("GET /o?X-Amz-Credential=A%2Fb&X-Amz-Signature=0f&partNumber=1",
         f"GET /o?X-Amz-Credential={MARK}&X-Amz-Signature={MARK}&partNumber=1"),
        ("/o?sv=1&sp=r&sig=a%3D&comp=x", f"/o?sv={MARK}&sp={MARK}&sig={MARK}&comp=x"),
        ("/o?a=1\\u0026Signature=x", f"/o?a=1\\u0026Signature={MARK}"),
        # What looks like nothing else.
        ("got hf_" + "a" * 20, f"got {MARK}"),
        ("got sk-" + "ab1" * 8, f"got {MARK}"),
        ("got ms-01234567-89ab-cdef-0123-456789abcdef", f"got {MARK}"),
        ("got ghp_" + "a1" * 15, f"got {MARK}"),
        ("AKIA" + "ABCDEFGH12345678.", MARK + "."),
        ("eyJ" + "hbGciOiJI.eyJzdWIi.c2ln", MARK),
        (f"a\n{KEY}\nb", f"a\n{MARK}\n\n\n\nb"),
        (KEY.replace("\n", "\\n"), MARK),
        ("MESSAGE=" + "Ab1/" * 16, f"MESSAGE={MARK}"),
    ],
)  # fmt: skip
def test_masked(text: str, masked: str) -> None:
    assert Secrets().mask(text) == masked
    assert Secrets().mask(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "#token: 1234, #cached-token: 12, token usage: 0.05, tokens remained: 12, new_token_ratio: 0.4010, max_total_num_tokens=245120",
        "eos_token='</s>', pad_token_id=0, tokenizer_path='/srv/models/x', accept_token failed, next_token=17",
        "num_accept_tokens: 3 accept_token=0.5 api_key=None admin_api_key=None hf_token=null token=true",
        "Grammar accept_token failed for req 0a1b with token 91: Tokens not accepted",
        "Unexpected token: expecting a bracket; missing credentials: none found",
        "the password is wrong, no secret here, key=value, --token-limit 3, keys: 12",
        "basic authentication and bearer tokens are off; Basic Info",
        "disk-usage task-scheduler risk-based skeleton highest",
        "http://203.0.113.10:30000/v1/models?limit=3&verbose=true",
        "http://203.0.113.10:30000/a@b, http://[2001:db8::1]:30000/a@b",
        "\x1b[3mtoken\x1b[0m\x1b[2m=\x1b[0m12 api_key='<hidden>'",
        '["eos_token", "pad_token"], ["token", "b": 1]',
        "d41d8cd98f00b204e9800998ecf8427e",
    ],
)
def test_left_alone(text: str) -> None:
    assert Secrets().mask(text) == text


def test_nothing_of_the_corpus_of_the_doctor_is_a_secret() -> None:
    secret = Secrets()
    for path in sorted(doctorlogs.CORPUS.glob("*/*.log")):
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        assert secret.mask(text) == text, path


def test_known_values_in_every_spelling() -> None:
    value = 'q"4/ü&7 x'
    known = Secrets([value, "abc"])
    encoded = base64.b64encode(value.encode()).decode()
    for form in (value, json.dumps(value), quote(value), quote(value, safe=""), encoded, encoded.rstrip("=")):
        assert known.mask(f"a {form} b").replace('"', "") == f"a {MARK} b"
    # Too short to be looked for everywhere, and no part of a longer word.
    assert known.mask("abc") == "abc"
    assert Secrets(["secret"]).mask("secrets and secretary") == "secrets and secretary"


ESCAPES = ("", " ", "\\n", "\\t", "%3D", "%20", "\x1b[0m", "\x1b[1;31m", "\\u001b[0m", "\\u0026", "\\x1b[0m", '"', "=")


@pytest.mark.parametrize("value", ["topsec1", "abcdef", "123456", "a-b.c/d"])
def test_a_known_value_beside_an_escape(value: str) -> None:
    known = Secrets([value])
    for before in ESCAPES:
        for behind in ("", "\\n", "%20", "\x1b[0m", "\n"):
            assert known.mask(f"a{before or ' '}{value}{behind}") == f"a{before or ' '}{MARK}{behind}", (before, behind)


def test_a_long_value_is_known_within_a_word_and_lines_of_one_by_themselves() -> None:
    assert Secrets(["abcdefgh1234"]).mask("xabcdefgh1234y") == f"x{MARK}y"
    known = Secrets(["begin\nthe-first-long-line\nshort\nthe-second-long-line"])
    assert known.mask("x the-second-long-line y, short") == f"x {MARK} y, short"


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"model_token": "a", "model_secret_key": "b", "model_access_key": "c", "ansible_password": 7, "ansible_become_pass": "d"},
         ["7", "a", "b", "c", "d"]),
        ({"x": {"api_key": "e", "n": 1}, "y": [{"credentials": ["f", {"u": "g"}]}], "z": "h"}, ["e", "f", "g"]),
        ({"HF_TOKEN_2": "a", "OPENAI_KEY": "b", "MYSQL_PWD": "c", "hub_pat": "d", "registry_auth": "e"}, ["a", "b", "c", "d", "e"]),
        ({"group_key": "x", "pwd": "x", "pat": "x", "auth": True}, []),
        ({"token_limit": 5, "keys": "x", "tokens_per_second": 3, "sglang_pools": {"a": 1}, "bypass": "x", "secret": None}, []),
    ],
)  # fmt: skip
def test_secrets_among_variables(variables: dict[str, object], wanted: list[str]) -> None:
    assert secrets.values(variables) == wanted


@FUZZ
@given(
    st.text(max_size=200),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40),
    st.sampled_from([part for part in ESCAPES if part]),
)
def test_a_known_value_never_stays(text: str, value: str, beside: str) -> None:
    masked = Secrets([value]).mask(f"{text}{beside}{value} {text}")
    assert f"{beside}{value} " not in masked or value in f"{text}{beside}{MARK}"
    assert masked.count("\n") == 2 * text.count("\n")


def test_lines_of_one_kind_differ_in_what_is_known() -> None:
    known = Secrets(["topsecret1"])
    assert [known.mask(text) for text in ("a topsecret2", "a topsecret1", "a topsecret3")] == ["a topsecret2", f"a {MARK}", "a topsecret3"]


NONE = {"Halted": ""}
SHOWN = "Id=a.service\nEnvironment=HF_TOKEN=abcdefg1 A=1\nStatusText=one\n\ntwo\nLoadState=loaded\n"


@pytest.mark.parametrize(
    ("names", "answers", "found", "why"),
    [
        ([], [], {}, ""),
        (
            ["a.service", "b.service"],
            [(0, SHOWN, ""), (0, "Id=b.service\nLoadState=not-found\n", "")],
            {
                "a.service": {"Id": "a.service", "Environment": f"HF_TOKEN={MARK} A=1", "StatusText": "one", "LoadState": "loaded", **NONE},
                "b.service": {"Id": "b.service", "LoadState": "not-found", **NONE},
            },
            "",
        ),
        (["a.service"], [(1, "", "Failed to connect to bus\n")], {}, "systemctl show a.service: Failed to connect to bus"),
        (["a.service"], [(0, "", "")], {}, "systemctl show a.service: exit status 0, 0 properties"),
        (["a.service"], [(127, "", "systemctl: not found")], {}, "systemctl show a.service: systemctl: not found"),
    ],
)
def test_states_of_units(names: list[str], answers: list[tuple[int, str, str]], found: dict[str, dict[str, str]], why: str) -> None:
    asked: list[list[str]] = []
    left = iter(answers)

    def run(words: list[str]) -> tuple[int, str, str]:
        asked.append(words)
        return next(left)

    assert unitstates.properties(run, names) == (found, why)
    assert asked == [["systemctl", "show", "--all", "--no-pager", "--", name] for name in names]
