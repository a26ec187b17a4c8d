"""Docstrings and settings of the project as the API reference shows them: an extension of griffe, named in mkdocs.yml.

The docstrings are close to Google's style. What differs is rewritten here: sections without a blank line between them,
arguments that share a line, references such as [`GeomCLIPModel`], and what a function returns, given without its type.
"""

import ast
import re
from collections.abc import Iterator
from typing import Any

import griffe

SECTION = re.compile(r"(Args|Returns|Yields|Raises):")
NAMED = re.compile(r"`?([*\w]+)`?( \([^)]*\))?: ")  # a value by its name
NAMES = re.compile(r"([\w*]+(?:,\s+[\w*]+)*):\s+")
NEXT_ERROR = re.compile(r"(?<=[.;]) (?=\w+(?:Error|Exit): )")
REFERENCE = re.compile(r"\[`([\w.]+)`\](?![\[(])")
REMARK = re.compile(r"(Source|Sources|Differs|Class attributes?): ")
PACKAGE = "modeling_geomclip"
HELP = "geomclip"  # where a field keeps its help


class Docstrings(griffe.Extension):
    """Rewrites docstrings, and shows the fields of configurations and settings with their types and defaults."""

    def on_class_members(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """Have `@strict`, huggingface_hub's dataclass, count as a dataclass."""
        if any(decorator.callable_path.endswith(".strict") for decorator in cls.decorators):
            dataclass = griffe.ExprName("dataclasses.dataclass")
            cls.decorators.append(griffe.Decorator(dataclass, lineno=None, endlineno=None))

    def on_attribute_instance(self, *, node: ast.AST, attr: griffe.Attribute, **kwargs: Any) -> None:
        """Take the help and the default of a field that `geomclip_tools.training.settings.setting` makes."""
        call = getattr(node, "value", None)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "setting":
            attr.extra[HELP]["text"] = read_text(call.args[0], attr.module)
            defaults = [keyword.value for keyword in call.keywords if keyword.arg == "default"]
            attr.value = ast.unparse(defaults[0]) if defaults else None

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Rewrite all docstrings of a package."""
        exported = {*pkg.exports} if pkg.name == PACKAGE and pkg.exports else set()
        for owner in list_objects(pkg):
            if owner.docstring:
                fields = [member for member in owner.members.values() if not member.is_alias and member.is_attribute]
                owner.docstring.value += list_fields([field for field in fields if field.extra[HELP]])
                owner.docstring.value = rewrite(owner.docstring.value, exported)


def list_fields(fields: list[griffe.Object]) -> str:
    """A section of arguments from the help of each field."""
    return (
        "\nArgs:\n" + "\n".join(f"    {field.name}: {field.extra[HELP]['text']}" for field in fields) if fields else ""
    )


def read_text(node: ast.expr, module: griffe.Module) -> str:
    """The value of a string, in which an f-string may read constants of its module."""
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    constants = {name: ast.literal_eval(str(module[name].value)) for name in names}
    return eval(ast.unparse(node), {}, constants)


def list_objects(owner: griffe.Object) -> Iterator[griffe.Object]:
    """The object and all that it defines."""
    yield owner
    for member in owner.members.values():
        if not member.is_alias:
            yield from list_objects(member)


def rewrite(text: str, exported: set[str]) -> str:
    """A docstring in Google's style, as griffe reads it; references lead to exported names alone."""
    parts, section = [["", []]], ""
    for line in text.splitlines():
        if SECTION.fullmatch(line):
            section = line
            parts.append([section, []])
        elif line and section and not line.startswith(" "):
            section = ""
            parts.append(["", []])
            parts[-1][1].append(line)
        else:
            parts[-1][1].append(line)
    written = "\n\n".join(filter(None, (write_part(section, lines) for section, lines in parts)))

    def refer(match: re.Match) -> str:
        name = match[1]
        return f"[`{name}`][{PACKAGE}.{name}]" if name.partition(".")[0] in exported else f"`{name}`"

    return REFERENCE.sub(refer, written)


def write_part(section: str, lines: list[str]) -> str:
    """Lines of text, or of one section."""
    if not section:
        return "\n".join(REMARK.sub(r"\n*\1:* ", line, count=1) for line in lines).strip("\n")
    text = "\n".join(line.removeprefix("    ") for line in lines).strip("\n")
    items = re.split(r"\n(?! )", text)
    if section == "Args:":
        items = [part for item in items for part in split_names(item)]
    elif section == "Raises:":
        items = [part for item in items for part in NEXT_ERROR.split(item)]
    elif len(items) > 1 and all(NAMED.match(item) for item in items):
        items = [":", *(NAMED.sub(r"- `\1`\2: ", item, count=1) for item in items)]
    else:
        items[0] = f": {items[0]}"
    return "\n".join([section, *("    " + line for item in items for line in item.splitlines())])


def split_names(item: str) -> list[str]:
    """The item once for each of the arguments that it is about."""
    found = NAMES.match(item)
    return [f"{name}: {item[found.end() :]}" for name in re.split(r",\s+", found[1])] if found else [item]
