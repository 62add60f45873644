"""Five bullets that fade in one after the other, with MoviePy: bullets_moviepy.py SECONDS OUT"""

import sys

from moviepy import ColorClip, CompositeVideoClip, TextClip, vfx

seconds, out = float(sys.argv[1]), sys.argv[2]
font = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
bullets = [
    "Anode: graphite that stores lithium",
    "Cathode: a metal oxide",
    "Separator keeps the two apart",
    "Electrolyte that ions swim through",
    "Collectors lead the current out",
]
clips = [ColorClip((1920, 1080), color=(251, 250, 247)).with_duration(seconds)]
for number, bullet in enumerate(bullets):
    start = number * seconds / len(bullets)
    text = TextClip(font=font, text="\u2022  " + bullet, font_size=60, color="#1b2430")
    text = text.with_start(start).with_duration(seconds - start).with_position((130, 290 + number * 110))
    clips.append(text.with_effects([vfx.CrossFadeIn(0.4)]))
CompositeVideoClip(clips).write_videofile(out, fps=30, codec="libx264", preset="veryfast", audio=False, logger=None)
