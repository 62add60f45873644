"""Writes the documentation of the installed Manim as JSON lines: the docstrings of its public classes and functions.

The sources are parsed and not run, so nothing is drawn and nothing of the package is trusted. The first line is
{"version": …}; each of the others is {"name": …, "signature": …, "text": …}.
"""

import ast
import json
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

# What scenes cannot use here: the command line, and all that needs OpenGL.
SKIPPED = {"__main__", "_config", "cli", "templates", "grpc", "renderer", "opengl", "docbuild"}


def public(name):
    return not name.startswith("_")


def signature(node):
    if isinstance(node, ast.ClassDef):
        init = next((item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None)
        inside = ast.unparse(init.args).removeprefix("self, ").removeprefix("self") if init else ""
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {node.name}({inside})" + (f", a {bases}" if bases else "")
    return f"def {node.name}({ast.unparse(node.args)})"


def entries(node, prefix):
    for item in node.body:
        if isinstance(item, (ast.ClassDef, ast.FunctionDef)) and public(item.name):
            text = ast.get_docstring(item)
            name = f"{prefix}.{item.name}"
            if text and len(text) > 20:
                yield {"name": name, "signature": signature(item)[:600], "text": text}
            if isinstance(item, ast.ClassDef):
                yield from entries(item, name)


def main():
    root = Path(find_spec("manim").origin).parent
    print(json.dumps({"version": version("manim")}))
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if SKIPPED.intersection(parts):
            continue
        module = ".".join(("manim", *[part for part in parts if part != "__init__"]))
        tree = ast.parse(path.read_text(encoding="utf-8"))
        text = ast.get_docstring(tree)
        if text and len(text) > 60:
            print(json.dumps({"name": module, "signature": f"module {module}", "text": text}))
        for entry in entries(tree, module):
            print(json.dumps(entry))


sys.stdout.reconfigure(encoding="utf-8")
main()
