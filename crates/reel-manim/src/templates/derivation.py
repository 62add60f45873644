# Lines that follow from each other: each one grows out of a copy of the line before.
class Derivation(Scene):
    def construct(self):
        lines = VGroup(*[Text(line, font_size=44, color=INK) for line in PARAMETERS["lines"]])
        lines.arrange(DOWN, buff=0.55)
        room = min(config.frame_width * 0.88 / lines.width, config.frame_height * 0.82 / lines.height, 1)
        lines.scale(room)
        self.play(Write(lines[0]), run_time=1.2)
        for before, line in zip(lines, lines[1:]):
            self.play(TransformMatchingShapes(before.copy(), line), run_time=1.3)
            self.wait(0.3)
        frame = SurroundingRectangle(lines[-1], color=ACCENT, buff=0.2, corner_radius=0.1)
        self.play(Create(frame), run_time=0.8)
        self.wait(0.4)
