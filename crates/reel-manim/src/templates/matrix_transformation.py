# The plane under a linear map: the grid, the two unit vectors, and the unit square.
class MatrixTransformation(Scene):
    def construct(self):
        matrix = np.array(PARAMETERS["matrix"])
        unit = min(config.frame_width, config.frame_height) / 8
        still = NumberPlane(
            x_range=[-20, 20], y_range=[-20, 20], x_length=40 * unit, y_length=40 * unit,
            background_line_style={"stroke_color": INK, "stroke_opacity": 0.15}, axis_config={"stroke_opacity": 0.3, "color": INK},
        )
        plane = NumberPlane(
            x_range=[-20, 20], y_range=[-20, 20], x_length=40 * unit, y_length=40 * unit,
            background_line_style={"stroke_color": COLORS[0], "stroke_opacity": 0.6}, axis_config={"color": INK},
        )
        square = Polygon(*[np.array([x, y, 0]) * unit for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))], color=ACCENT, fill_opacity=0.35)
        first = Arrow(ORIGIN, RIGHT * unit, buff=0, color=COLORS[1], stroke_width=7)
        second = Arrow(ORIGIN, UP * unit, buff=0, color=COLORS[2], stroke_width=7)
        rows = VGroup(*[VGroup(*[Text(f"{value:g}", font_size=34, color=INK) for value in row]) for row in PARAMETERS["matrix"]])
        for row in rows:
            row.arrange(RIGHT, buff=0.5)
        rows.arrange(DOWN, buff=0.25)
        for column in (0, 1):
            middle = max(row[column].get_center()[0] for row in rows)
            for row in rows:
                row[column].set_x(middle)
        brackets = VGroup(Text("[", font_size=90, color=INK), Text("]", font_size=90, color=INK))
        brackets[0].next_to(rows, LEFT, buff=0.15)
        brackets[1].next_to(rows, RIGHT, buff=0.15)
        corner = VGroup(rows, brackets)
        corner.add_to_back(BackgroundRectangle(corner, color=BACKGROUND, fill_opacity=0.85, buff=0.15)).to_corner(UL, buff=0.35)
        self.add(still)
        self.play(Create(plane), run_time=1.2)
        self.play(GrowArrow(first), GrowArrow(second), FadeIn(square), FadeIn(corner), run_time=1)
        self.add(corner)

        def image(vector):
            return np.array([*(matrix @ vector[:2]), 0])

        turned = [Arrow(ORIGIN, image(end) * unit, buff=0, color=arrow.get_color(), stroke_width=7) if np.linalg.norm(image(end)) > 1e-6 else Dot(ORIGIN, color=arrow.get_color()) for arrow, end in ((first, RIGHT), (second, UP))]
        self.play(
            ApplyMatrix(matrix, plane), ApplyMatrix(matrix, square), Transform(first, turned[0]), Transform(second, turned[1]),
            run_time=3,
        )
        self.wait(0.6)
