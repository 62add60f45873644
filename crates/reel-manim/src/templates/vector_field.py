# A field of arrows, and points that drift along it.
class VectorFieldScene(Scene):
    def construct(self):
        values = np.array(PARAMETERS["values"])
        rows, columns, _ = values.shape
        (left, right), (low, high) = PARAMETERS["x_range"], PARAMETERS["y_range"]
        scale = min(config.frame_width * 0.84 / (right - left), config.frame_height * 0.72 / (high - low))

        def place(x, y):
            return np.array([(x - (left + right) / 2) * scale, (y - (low + high) / 2) * scale, 0])

        def at(x, y):
            column = np.clip((x - left) / (right - left), 0, 1) * (columns - 1)
            row = np.clip((y - low) / (high - low), 0, 1) * (rows - 1)
            column_0, row_0 = min(int(column), columns - 2), min(int(row), rows - 2)
            s, t = column - column_0, row - row_0
            corner = values[row_0 : row_0 + 2, column_0 : column_0 + 2]
            return (1 - t) * ((1 - s) * corner[0, 0] + s * corner[0, 1]) + t * ((1 - s) * corner[1, 0] + s * corner[1, 1])

        most = max(float(np.max(np.linalg.norm(values, axis=2))), 1e-9)
        cell = min((right - left) / (columns - 1), (high - low) / (rows - 1)) * scale
        arrows = VGroup()
        for row, y in enumerate(np.linspace(low, high, rows)):
            for column, x in enumerate(np.linspace(left, right, columns)):
                vector = values[row, column]
                length = np.linalg.norm(vector)
                if length < 1e-9:
                    continue
                share = length / most
                end = np.array([*vector, 0]) / length * cell * (0.3 + 0.6 * share)
                color = interpolate_color(ManimColor(COLORS[0]), ManimColor(COLORS[1]), share)
                arrows.add(Arrow(place(x, y) - end / 2, place(x, y) + end / 2, buff=0, color=color, stroke_width=4, tip_length=0.12))
        name = Text(PARAMETERS["name"], font_size=30, color=INK).to_edge(UP, buff=0.4)
        self.play(FadeIn(name), LaggedStart(*[GrowArrow(arrow) for arrow in arrows], lag_ratio=0.01), run_time=2)
        dots = VGroup()
        for share_x in (0.2, 0.4, 0.6, 0.8):
            for share_y in (0.25, 0.5, 0.75):
                dot = Dot(radius=0.07, color=ACCENT)
                dot.x, dot.y = left + share_x * (right - left), low + share_y * (high - low)
                dots.add(dot.move_to(place(dot.x, dot.y)))

        def drift(dot, dt):
            vector = at(dot.x, dot.y) / most * min(right - left, high - low) * 0.25 * dt
            dot.x, dot.y = np.clip(dot.x + vector[0], left, right), np.clip(dot.y + vector[1], low, high)
            dot.move_to(place(dot.x, dot.y))

        self.play(FadeIn(dots), run_time=0.4)
        for dot in dots:
            dot.add_updater(drift)
        self.wait(3)
