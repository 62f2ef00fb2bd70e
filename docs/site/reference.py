"""The reference pages, made from what they are about: parser, settings, docstrings, messages."""

import ast
import inspect
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).parents[2]
Rows = Iterator[list[str]]
ERRORS = {
    "BadInput", "CheckpointError", "ConfigError", "DataError", "MissingWeights", "PhotoError",
    "TrainingError",
}  # fmt: skip
"""Errors whose message is one line for the user."""
MODULES = {
    "Draw": ["pipeline", "generate", "photos.subjects", "photos.framing", "photos.marking"],
    "The method": ["model", "diffusion", "flow"],
    "Weights": ["weights.load", "weights.runs", "weights.convert", "weights.export"],
    "Data and features": [
        "data.deepfashion", "data.keypoints", "people.dataset", "features.encoders",
        "features.cache",
    ],
    "Scores": [
        "evaluation.evaluate", "evaluation.protocols", "metrics.images", "metrics.frechet",
        "metrics.perceptual", "metrics.intervals", "metrics.contrasts",
    ],
    "Training and exhibits": ["training.train", "training.run", "paper.exhibits"],
}  # fmt: skip
"""What the page of the library shows: what notebooks and examples import."""


def _cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """(name, command) of all commands below one, itself too where it can be called."""
    children = getattr(command, "commands", {})
    if not children or command.invoke_without_command:
        yield name, command
    for child in children.values():
        yield from commands(child, f"{name} {child.name}")


def _parameter(parameter: Any, context: Any) -> list[str]:
    """A row: the option as `--help` has it, what it is, its default and range."""
    name, said = parameter.get_help_record(context)
    said, bracket, rest = said.partition("  [")
    return [f"`{_cell(name)}`", _cell(said), _cell(rest.removesuffix("]")) if bracket else ""]


def split_help(text: str) -> tuple[str, list[str]]:
    """A command's help without its examples, and these, each a line."""
    words, *listed = re.split(r"\n\nExamples?:\n", inspect.cleandoc(text))
    return words, listed[0].splitlines() if listed else []


def _help(text: str) -> str:
    words, examples = split_help(text)
    code = "\n".join(examples)
    return f"{words}\n\n```bash\n{code}\n```" if code else words


def command_line() -> str:
    """All commands, from the parser that `--help` shows."""
    from xmdpt.cli import app

    parts = ["# Command line", "Made from the parser. Bad input is one line, with exit code 2."]
    for name, command in commands(typer.main.get_command(app), "xmdpt"):
        context = command.make_context(name, [], resilient_parsing=True)
        rows = [_parameter(one, context) for one in command.params]
        parts += [f"## {name}", _help(command.help or "")]
        parts += [_table(["", "what it is", "default, range"], rows)] if rows else []
    return "\n\n".join(parts) + "\n"


def _kind(field: dict[str, Any]) -> str:
    """Type and range of a setting, from its JSON schema."""
    if "anyOf" in field:
        return " or ".join(_kind(one) for one in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "additionalProperties" in field and field.get("propertyNames"):
        return f"{_kind(field['additionalProperties'])} for each checkpoint"
    names = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "yes or no",
    }
    kind = names.get(field.get("type", ""), field.get("type", "section"))
    kind = f"list of: {_kind(field['items'])}" if field.get("type") == "array" else kind
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    ends = [f"{sign} {field[key]:g}" for key, sign in signs.items() if key in field]
    return " ".join([kind, ", ".join(ends)]).strip()


def _rows(defs: dict[str, Any], section: str, values: list[Any], prefix: str = "") -> Rows:
    """A row for each setting of a section, those of sections inside it too."""
    for name, field in defs[section]["properties"].items():
        inner = [one.get("$ref", "") for one in (field, *field.get("anyOf", []))]
        below = [ref.rpartition("/")[2] for ref in inner if ref]
        own = [None if value is None else value[name] for value in values]
        if below:
            yield from _rows(defs, below[0], own, f"{prefix}{name}.")
        else:
            said = _cell(field.get("description", ""))
            yield [f"`{prefix}{name}`", said, _cell(_kind(field)), *map(_cell, map(_word, own))]


def settings() -> str:
    """All settings of params.yaml, from the classes that check them and from two profiles."""
    from xmdpt.config import Config, load_config

    schema = Config.model_json_schema()
    profiles = [
        load_config(ROOT / f"profiles/{name}.yaml").model_dump() for name in ("synthetic", "paper")
    ]
    heads = ["setting", "what it is", "takes", "`synthetic`", "`paper`"]
    parts = [
        "# Settings",
        "Every key of `params.yaml`, from the classes in `xmdpt/config.py` that check it. The last "
        "two columns are the default profile's value and the paper's. An unknown key, or a value "
        "out of range, is an error that names it. Beside these sections there are `profile`, its "
        "name; `seed`, which seeds people, noise, order and new weights; `runs`, the experiments "
        "that are carried out; and `experiments`, each a `title` and its differences from "
        "`features`, `model`, `train` and `sample`.",
    ]
    for section, field in schema["properties"].items():
        kind = field.get("$ref", "").rpartition("/")[2]
        if kind:
            values = [profile[section] for profile in profiles]
            about = " ".join(schema["$defs"][kind].get("description", "").split())
            table = _table(heads, list(_rows(schema["$defs"], kind, values)))
            parts += [one for one in (f"## {section}", about, table) if one]
    return "\n\n".join(parts) + "\n"


def _word(value: object) -> str:
    """A value, much as params.yaml has it."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_word(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_word, value))
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def library() -> str:
    """The modules that users import, for mkdocstrings to fill in."""
    parts = ["# Library", "From the docstrings of what examples and notebooks import."]
    for title, modules in MODULES.items():
        parts += [f"## {title}", *(f"::: xmdpt.{module}" for module in modules)]
    return "\n\n".join(parts) + "\n"


def _template(node: ast.expr) -> str:
    """The text of a message, with ‹name› where a value goes."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_template, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _template(node.left) + _template(node.right)
    if isinstance(node, ast.FormattedValue):
        node = node.value
    last = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "…")
    return f"‹{last}›"


def messages() -> str:
    """Every message that ends a command, by the room that says it, with the page that explains."""
    parts = []
    rooms = sorted((ROOT / "xmdpt").glob("*/__init__.py"))
    for room in rooms:
        found = set()
        for path in room.parent.glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Call)
                    and getattr(node.func, "id", "") in ERRORS
                    and node.args
                ):
                    found.add(" ".join(_template(node.args[0]).split()))
        said = sorted(one for one in found if len(re.sub(r"‹.*?›|\W", "", one)) > 8)
        if said:
            about = ast.get_docstring(ast.parse(room.read_text(encoding="utf-8"))) or ""
            page = re.findall(r"docs/([\w/-]+\.md)", about)[0]
            first = about.partition("\n")[0].rstrip(".")
            parts.append(f"### {first}\n\nExplained in [{posixpath.splitext(page)[0]}]({page}).")
            parts.append("\n".join(f"* `` {one} ``" for one in said))
    return "\n\n".join(parts)
