"""Runs one Manim scene inside the sandbox, and writes its frames to the standard output.

Reads a request as JSON from the standard input: `code`, `width`, `height`, `fps`, `frame_width`, `frame_height`, `background`,
`max_frames` and `draws`. With `draws` false, it counts the frames, and draws only some of them to find faults.

Writes records: a tag of one byte, then a number of four bytes, little-endian.
  F n  a frame of width x height RGBA pixels, which stays for n frames
  S n  the last frame stays for n further frames
  E n  n bytes of JSON: an error of the code
  D n  n bytes of JSON: the end, with the number of frames and seconds
"""

import json
import os
import re
import struct
import sys
import time
import traceback

# The code may print: its own output goes with the messages.
OUTPUT = os.fdopen(os.dup(1), "wb", buffering=0)
os.dup2(2, 1)

CODE_NAME = "scene.py"
# One frame in so many is drawn where frames are only counted.
DRAWN_WHEN_COUNTING = 8


class TooLong(Exception):
    """The animation has more frames than allowed."""


def record(tag, number, content=b""):
    """Writes a record; the pipe may take it in pieces."""
    for piece in (tag + struct.pack("<I", number), content):
        view = memoryview(piece)
        while view:
            view = view[OUTPUT.write(view) :]


def answer(tag, value):
    content = json.dumps(value).encode()
    record(tag, len(content), content)


class Frames:
    """Counts frames and writes those that are drawn."""

    def __init__(self, request):
        self.max_frames = request["max_frames"]
        self.draws = request["draws"]
        self.count = 0
        self.last = None

    def add(self, pixels, repeat):
        if repeat <= 0:
            return
        self.count += repeat
        if self.count > self.max_frames:
            raise TooLong(f"the animation has more than {self.max_frames} frames")
        if not self.draws:
            return
        content = pixels.tobytes()
        if content == self.last:
            return record(b"S", repeat)
        self.last = content
        record(b"F", repeat, content)


def connect(frames):
    """Makes Manim hand its frames over, instead of encoding them."""
    from manim.renderer import cairo_renderer
    from manim.scene import scene as scene_module
    from manim.scene.scene_file_writer import SceneFileWriter

    class Writer(SceneFileWriter):
        def add_partial_movie_file(self, hash_animation):
            pass

        def begin_animation(self, *arguments, **keywords):
            pass

        def end_animation(self, *arguments, **keywords):
            pass

        def add_sound(self, *arguments, **keywords):
            pass

        def write_frame(self, pixels, *, repeat=1):
            frames.add(pixels, repeat)

        def finish(self):
            pass

        def save_image(self, pixels):
            if frames.count == 0:
                frames.add(pixels, 1)

    class Renderer(cairo_renderer.CairoRenderer):
        def __init__(self, *arguments, **keywords):
            keywords["file_writer_class"] = Writer
            super().__init__(*arguments, **keywords)

        def render(self, scene, time, moving_mobjects=None):
            if frames.draws or frames.count % DRAWN_WHEN_COUNTING == 0:
                return super().render(scene, time, moving_mobjects)
            self.add_frame(None)

        def scene_finished(self, scene):
            if frames.count == 0:
                self.static_image = None
                self.update_frame(scene)
                frames.add(self.get_frame(), 1)

    scene_module.CairoRenderer = Renderer


def replace_latex():
    """Draws digits and plain letters, such as the numbers of axes, with Pango, and says of all else that LaTeX is missing."""
    from pathlib import Path

    from manim.mobject.text import tex_mobject
    from manim.mobject.text.text_mobject import Text

    # `MathTex` marks each of its parts for dvisvgm, and looks for the groups of these names in the drawing.
    mark = re.compile(r"\\special\{dvisvgm:raw <g id='(\w+)'>\}(.*?)\\special\{dvisvgm:raw </g>\}", re.DOTALL)

    def to_svg(expression, environment=None, tex_template=None):
        parts = mark.findall(expression)
        text = mark.sub(r"\2", expression).strip()
        if len(parts) > 1 or any(sign in "\\^_{}$&" for sign in text):
            raise RuntimeError(
                f"{text!r} needs LaTeX, which is not installed: "
                "write it with Text or MarkupText, such as Text('x² + y²')"
            )
        drawing = Path(Text(text.replace("-", "\u2212"), font_size=48).file_name)
        if not parts:
            return drawing
        svg = drawing.read_text()
        start = svg.index(">", svg.index("<svg")) + 1
        name = parts[0][0]
        named = drawing.with_name(f"{drawing.stem}-{name}.svg")
        named.write_text(f"{svg[:start]}<g id='{name}'>{svg[start:].replace('</svg>', '</g></svg>')}")
        return named

    tex_mobject.tex_to_svg_file = to_svg


def scene_class(namespace):
    """Returns the last scene that the code defines."""
    from manim import Scene

    found = [
        value
        for value in namespace.values()
        if isinstance(value, type) and issubclass(value, Scene) and value.__module__ == namespace["__name__"]
    ]
    if not found:
        raise NameError("the code defines no class that is a Scene")
    return found[-1]


def describe(error):
    """Returns what is known of an error, with the lines of the code alone."""
    kept = [entry for entry in traceback.extract_tb(error.__traceback__) if entry.filename == CODE_NAME]
    line = kept[-1].lineno if kept else getattr(error, "lineno", None)
    return {
        "kind": type(error).__name__,
        "message": str(error)[:2000],
        "line": line,
        "traceback": [f"line {entry.lineno}, in {entry.name}" for entry in kept][-8:],
    }


def main():
    begun = time.monotonic()
    request = json.load(sys.stdin)
    import manim

    frames = Frames(request)
    manim.config.update(
        {
            "pixel_width": request["width"],
            "pixel_height": request["height"],
            "frame_rate": request["fps"],
            "background_color": request["background"],
            "dry_run": True,
            "disable_caching": True,
            "progress_bar": "none",
            "media_dir": "/work",
            "verbosity": "ERROR",
        }
    )
    manim.config.frame_width = request["frame_width"]
    manim.config.frame_height = request["frame_height"]
    connect(frames)
    replace_latex()
    imported = time.monotonic()
    namespace = {"__name__": "scene"}
    try:
        exec(compile(request["code"], CODE_NAME, "exec"), namespace)
        scene_class(namespace)().render()
    except BaseException as error:  # Whatever the code raises, `SystemExit` too, is its own fault.
        return answer(b"E", describe(error))
    answer(
        b"D",
        {
            "frames": frames.count,
            "import_s": round(imported - begun, 3),
            "scene_s": round(time.monotonic() - imported, 3),
        },
    )


main()
