# A geometric construction: shapes that are drawn one after the other, in their own coordinates.
class Construction(Scene):
    def construct(self):
        shapes = PARAMETERS["shapes"]
        (left, low), (right, high) = PARAMETERS["bounds"]
        scale = min(
            config.frame_width * 0.8 / max(right - left, 1e-9), config.frame_height * 0.75 / max(high - low, 1e-9)
        )

        def place(point):
            x, y = point
            return np.array([(x - (left + right) / 2) * scale, (y - (low + high) / 2) * scale, 0])

        for number, shape in enumerate(shapes):
            color = COLORS[number % len(COLORS)]
            kind = shape["shape"]
            if kind == "polygon":
                drawn = Polygon(*map(place, shape["points"]), color=color, stroke_width=5)
                if shape["filled"]:
                    drawn.set_fill(color, opacity=0.3)
                self.play(Create(drawn), run_time=1.2)
            elif kind == "segment":
                self.play(Create(Line(place(shape["from"]), place(shape["to"]), color=color, stroke_width=5)), run_time=0.8)
            elif kind == "circle":
                circle = Circle(radius=shape["radius"] * scale, color=color, stroke_width=5)
                self.play(Create(circle.move_to(place(shape["center"]))), run_time=1.2)
            elif kind == "right_angle":
                at, first, second = place(shape["at"]), *map(place, shape["between"])
                first, second = (0.3 * normalize(end - at) for end in (first, second))
                mark = VMobject(color=INK, stroke_width=4)
                self.play(Create(mark.set_points_as_corners([at + first, at + first + second, at + second])), run_time=0.5)
            else:
                self.play(Write(Text(shape["text"], font_size=34, color=INK).move_to(place(shape["at"]))), run_time=0.5)
        self.wait(0.4)
