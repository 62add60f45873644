# Graphs of functions, with a point that moves along the first one. Each graph is a list of pieces, each a list of points.
class FunctionPlot(Scene):
    def construct(self):
        axes = Axes(
            x_range=PARAMETERS["x_range"],
            y_range=PARAMETERS["y_range"],
            x_length=config.frame_width * 0.82,
            y_length=min(config.frame_height * 0.7, config.frame_width * 0.9),
            axis_config={"color": INK, "include_numbers": True, "font_size": 28},
            **{
                f"{axis}_axis_config": {"decimal_number_config": {"color": INK, "num_decimal_places": decimals}}
                for axis, decimals in zip("xy", PARAMETERS["decimals"])
            },
            tips=False,
        )
        graphs = VGroup()
        for number, pieces in enumerate(PARAMETERS["graphs"]):
            graph = VGroup()
            for piece in pieces:
                line = VMobject(color=COLORS[number % len(COLORS)], stroke_width=6)
                line.set_points_as_corners([axes.c2p(x, y) for x, y in piece])
                graph.add(line)
            graphs.add(graph)
        names = VGroup(
            *[
                Text(name, font_size=30, color=COLORS[number % len(COLORS)])
                for number, name in enumerate(PARAMETERS["functions"])
            ]
        )
        names.arrange(RIGHT, buff=0.6).to_edge(UP, buff=0.4)
        if names.width > config.frame_width * 0.9:
            names.scale_to_fit_width(config.frame_width * 0.9)
        self.play(Create(axes), run_time=1.2)
        for graph, name in zip(graphs, names):
            self.play(Create(graph), FadeIn(name), run_time=1.4)
        path = max(graphs[0], key=lambda piece: piece.get_num_curves())
        dot = Dot(path.get_start(), color=ACCENT, radius=0.12)
        self.play(FadeIn(dot, scale=2), run_time=0.4)
        self.play(MoveAlongPath(dot, path), run_time=3, rate_func=smooth)
        self.wait(0.4)
