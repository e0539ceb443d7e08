# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenNebula's template language: text, XML and the parse errors of the real parser.

The text grammar is lexed and parsed the way oned does it (a longest-match lexer with a separate state for values, and
an LALR grammar that knows single and vector attributes), because its errors are part of what a client sees:
``Parse error: syntax error, unexpected VARIABLE, expecting EQUAL or EQUAL_EMPTY at line 0, columns 6:8``.
Recordings: xmlrpc 029, 091 and value_rendering_matrix.json.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree
from xml.parsers import expat

Value = str | dict[str, str]


# Stands for an empty CDATA section while XML is read: oned keeps it, and leaves out an element in which there is nothing at all.
_EMPTY = "\ue000"


class TemplateError(ValueError):
    """The text is not a template; the message is oned's, without the ``Parse error: `` in front."""


# The lexer. Patterns are tried all, the longest match wins, the first one of equally long matches.
_INITIAL = (
    (re.compile(rb"[ \t]*#[^\n]*\n"), None),
    (re.compile(rb"[ \t\n]+"), None),
    (re.compile(rb"[A-Za-z0-9_]+"), "VARIABLE"),
    (re.compile(rb"[ \t]*=[ \t]*"), "EQUAL"),
    (re.compile(rb"[ \t]*=[ \t]*\n"), "EQUAL_EMPTY"),
    (re.compile(rb"[ \t\n]*,[ \t\n]*"), "COMMA"),
    (re.compile(rb"[ \t\n]*\][ \t\n]*"), "CBRACKET"),
)
_VALUE = (
    (re.compile(rb"[ \t]*\[[ \t\n]*"), "OBRACKET"),
    (re.compile(rb"[^\n]*\]\]>[^\n]*"), "CCDATA"),
    (re.compile(rb'"(?:\\"|[^"])*"'), "STRING"),
    (re.compile(rb"[^=# \t\n,\[\]]+"), "STRING"),
)

_BLANKS = " \t\n\v\f\r"

# Grammar states: what each accepts, in the order in which the real parser names the expected tokens.
_EXPECTED = {
    "start": ("VARIABLE",),
    "name": ("EQUAL", "EQUAL_EMPTY"),
    "value": ("OBRACKET", "CCDATA", "STRING"),
    "open": ("CBRACKET", "VARIABLE"),
    "key": ("EQUAL",),
    "element": ("STRING",),
    "array": ("COMMA", "CBRACKET"),
    "comma": ("VARIABLE",),
}


def _tokens(text: bytes) -> Iterator[tuple[str, str, int, int, int]]:
    """Yield (token, string, line, first column, last column); columns count bytes over the whole text, as oned's do."""
    position, line, last, value = 0, 0, 1, False
    while position < len(text):
        best, token = 1, "UNMATCHED"  # an unmatched character is skipped silently
        for pattern, name in _VALUE if value else _INITIAL:
            match = pattern.match(text, position)
            if match and match.end() - position > (0 if token == "UNMATCHED" else best):
                best, token = match.end() - position, name or "SKIP"
        chunk = text[position : position + best]
        position += best
        line += chunk.count(b"\n")
        first, last = last, last + best
        if token in ("UNMATCHED", "SKIP"):
            continue
        if token == "EQUAL":
            value = True
        elif value:
            value = False
        if token == "STRING" and chunk[:1] == b'"' and len(chunk) > 1 and chunk[-1:] == b'"':
            chunk = chunk[1:-1]
        yield token, chunk.decode("utf-8", "replace"), line, first, last


class Template:
    """An ordered multimap of attributes; a value is a string or a dict (vector attribute). Names are upper case."""

    def __init__(self, pairs: Iterable[tuple[str, Value] | list] = ()) -> None:
        self.pairs: list[tuple[str, Value]] = [(name, value) for name, value in pairs]

    # -- reading and changing -----------------------------------------------------------------------------------
    def get(self, name: str, default: str = "") -> str:
        """Return the first single value of that name."""
        return next((v for n, v in self.pairs if n == name and isinstance(v, str)), default)

    def vector(self, name: str) -> dict[str, str] | None:
        """Return the first vector of that name."""
        return next((v for n, v in self.pairs if n == name and isinstance(v, dict)), None)

    def vectors(self, name: str) -> list[dict[str, str]]:
        return [v for n, v in self.pairs if n == name and isinstance(v, dict)]

    def has(self, name: str) -> bool:
        return any(n == name for n, _ in self.pairs)

    def add(self, name: str, value: Value) -> None:
        self.pairs.append((name, value))

    def erase(self, name: str) -> list[Value]:
        gone = [v for n, v in self.pairs if n == name]
        self.pairs = [(n, v) for n, v in self.pairs if n != name]
        return gone

    def replace(self, name: str, value: Value) -> None:
        self.erase(name)
        self.add(name, value)

    def merge(self, other: Template) -> None:
        """Every attribute of `other` replaces all attributes of its name."""
        for name in {n for n, _ in other.pairs}:
            self.erase(name)
        self.pairs += [(n, dict(v) if isinstance(v, dict) else v) for n, v in other.pairs]

    def copy(self) -> Template:
        return Template((n, dict(v) if isinstance(v, dict) else v) for n, v in self.pairs)

    def sorted(self) -> list[tuple[str, Value]]:
        """By name, equal names in the order in which they came; so does oned's multimap."""
        return sorted(self.pairs, key=lambda pair: pair[0])

    # -- XML ----------------------------------------------------------------------------------------------------
    def inner_xml(self) -> str:
        parts = []
        for name, value in self.sorted():
            if isinstance(value, dict):
                inner = "".join(f"<{k}>{cdata(value[k])}</{k}>" for k in sorted(value))
                parts.append(f"<{name}>{inner}</{name}>")
            else:
                parts.append(f"<{name}>{cdata(value)}</{name}>")
        return "".join(parts)

    def xml(self, tag: str = "TEMPLATE") -> str:
        return f"<{tag}>{self.inner_xml()}</{tag}>"

    @classmethod
    def from_xml(cls, text: str) -> Template:
        try:
            root = ElementTree.fromstring(text.replace("<![CDATA[]]>", _EMPTY))
        except ElementTree.ParseError:
            raise TemplateError("XML Template malformed.") from None
        pairs: list[tuple[str, Value]] = []
        for node in root:
            if len(node):
                pairs.append((node.tag.upper(), {c.tag.upper(): c.text.replace(_EMPTY, "") for c in node if c.text}))
            elif node.text:
                pairs.append((node.tag.upper(), node.text.replace(_EMPTY, "")))
        return cls(pairs)

    # -- text ---------------------------------------------------------------------------------------------------
    @classmethod
    def parse(cls, text: str) -> Template:
        """Text or XML, told apart by the first character; text values are stripped of blanks, as oned does."""
        pairs = cls.from_xml(text).pairs if text[:1] == "<" else _parse(text.encode("utf-8", "surrogateescape"))
        return cls(
            (_name(n), {k: x.strip(_BLANKS) for k, x in v.items()} if isinstance(v, dict) else v.strip(_BLANKS)) for n, v in pairs
        )

    def text(self) -> str:
        """Return the template as text that parses back to it."""
        lines = []
        for name, value in self.sorted():
            if isinstance(value, dict):
                inner = ",\n".join(f'  {k}="{_quote(v)}"' for k, v in sorted(value.items()))
                lines.append(f"{name}=[\n{inner} ]" if value else f"{name}=[ ]")
            else:
                lines.append(f'{name}="{_quote(value)}"')
        return "\n".join(lines)


def _name(name: str) -> str:
    """Return the attribute's name as oned keeps it: ``1A`` becomes ``ONE_1A``, so that it can be an element of XML."""
    return name if name[:1].isalpha() and not name.startswith("XML") else f"ONE_{name}"


def _quote(value: str) -> str:
    return value.replace('"', '\\"')


def cdata(value: str) -> str:
    return f"<![CDATA[{value}]]>"


def _parse(text: bytes) -> list[tuple[str, Value]]:
    pairs: list[tuple[str, Value]] = []
    state, name, key = "start", "", ""
    array: dict[str, str] = {}
    line, first, last = 0, 1, 1

    def unexpected(token: str) -> TemplateError:
        # Between two attributes the parser has already reduced: only the end is left to expect.
        wanted = " or ".join(_EXPECTED[state] if state != "start" else ("$end",))
        return TemplateError(f"syntax error, unexpected {token}, expecting {wanted} at line {line}, columns {first}:{last}")

    for token, string, line, first, last in _tokens(text):  # noqa: B007 - the position is used by unexpected()
        if token not in _EXPECTED[state]:
            raise unexpected(token)
        if state == "start":
            state, name = "name", string.upper()
        elif state == "name":
            state = "value" if token == "EQUAL" else "start"
            if token == "EQUAL_EMPTY":
                pairs.append((name, ""))
        elif state == "value":
            if token == "CCDATA":
                raise TemplateError("")
            state = "start" if token == "STRING" else "open"
            if token == "STRING":
                pairs.append((name, string.replace('\\"', '"')))
            array = {}
        elif state in ("open", "comma"):
            if token == "CBRACKET":
                state = "start"
                pairs.append((name, {}))
            else:
                state, key = "key", string.upper()
        elif state == "key":
            state = "element"
        elif state == "element":
            array.setdefault(key, string.replace('\\"', '"'))
            state = "array"
        elif token == "COMMA":
            state = "comma"
        else:
            pairs.append((name, array))
            state = "start"
    if state != "start":
        raise unexpected("$end")
    return pairs


def xml_to_hash(text: str) -> dict:
    """XML as the Ruby client library turns it into a hash.

    Repeated elements become a list, an element without any content ``{}``, an element with text (empty CDATA included)
    a string. Seen in onegate 006: ``"SCHED_ACTIONS":{}`` next to ``"ETH0_DNS":""``.
    """
    root: dict = {}
    stack: list[tuple[str, dict, list[str] | None]] = [("", root, None)]
    parser = expat.ParserCreate()
    parser.buffer_text = False

    def start(tag: str, _attrs: dict) -> None:
        stack.append((tag, {}, None))

    def text_seen(data: str) -> None:
        tag, children, parts = stack[-1]
        stack[-1] = (tag, children, (parts or []) + [data])

    def end(tag: str) -> None:
        _, children, parts = stack.pop()
        value: object = children if children or parts is None else "".join(parts)
        parent = stack[-1][1]
        if tag not in parent:
            parent[tag] = value
        elif isinstance(parent[tag], list):
            parent[tag].append(value)
        else:
            parent[tag] = [parent[tag], value]

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text_seen
    parser.StartCdataSectionHandler = lambda: text_seen("")
    parser.Parse(text, True)
    return root
