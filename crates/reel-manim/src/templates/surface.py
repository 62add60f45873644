# The surface z = f(x, y), around which the camera moves.
class FunctionSurface(ThreeDScene):
    def construct(self):
        heights = np.array(PARAMETERS["heights"])
        rows, columns = heights.shape
        low, high = PARAMETERS["z_range"]
        span = max(high - low, 1e-9)
        side = min(config.frame_width, config.frame_height) * 0.62

        def point(u, v):
            height = heights[int(round(v * (rows - 1))), int(round(u * (columns - 1)))]
            return np.array([(u - 0.5) * side, (v - 0.5) * side, ((height - low) / span - 0.5) * side * 0.55])

        surface = Surface(point, u_range=[0, 1], v_range=[0, 1], resolution=(columns - 1, rows - 1))
        surface.set_style(stroke_color=INK, stroke_width=0.4, fill_opacity=0.92)
        for face in surface:
            share = np.clip(face.get_center()[2] / (side * 0.55) + 0.5, 0, 1)
            face.set_fill(interpolate_color(ManimColor(COLORS[0]), ManimColor(COLORS[1]), share))
        self.set_camera_orientation(phi=62 * DEGREES, theta=-60 * DEGREES)
        name = Text(PARAMETERS["function"], font_size=32, color=INK).to_edge(UP, buff=0.4)
        self.add_fixed_in_frame_mobjects(name)
        self.play(FadeIn(name), Create(surface), run_time=2)
        self.move_camera(theta=15 * DEGREES, run_time=3)
        self.wait(0.4)
