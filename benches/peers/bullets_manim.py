"""Five bullets that fade in one after the other, with Manim CE; the length comes from BULLETS_SECONDS."""

import os

from manim import DOWN, LEFT, FadeIn, Scene, Text, VGroup, config

config.background_color = "#fbfaf7"
BULLETS = [
    "Anode: graphite that stores lithium",
    "Cathode: a metal oxide",
    "Separator keeps the two apart",
    "Electrolyte that ions swim through",
    "Collectors lead the current out",
]


class Bullets(Scene):
    def construct(self):
        seconds = float(os.environ["BULLETS_SECONDS"])
        texts = VGroup(*[Text("\u2022  " + bullet, font_size=40, color="#1b2430") for bullet in BULLETS])
        texts.arrange(DOWN, aligned_edge=LEFT, buff=0.5)
        for text in texts:
            self.play(FadeIn(text), run_time=0.4)
            self.wait(seconds / len(BULLETS) - 0.4)
