# The image of all roles: `docker build .` for one with the voice Piper, `docker build --target reel .` for a small one.
# Both hold reel, what it loads, fonts and voices, and nothing else: no shell, no package manager. scripts/image-test
# builds the stages from `ffmpeg` on without pulling an image, and makes a video with it.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
    clang libclang-dev nasm pkg-config \
    libavcodec-dev libavformat-dev libavutil-dev libswscale-dev libswresample-dev \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN ./scripts/release

FROM debian:bookworm-slim AS ffmpeg
COPY deploy/image/build-ffmpeg /tmp/
RUN /tmp/build-ffmpeg

FROM debian:bookworm-slim AS files
RUN apt-get update && apt-get install -y --no-install-recommends \
    ca-certificates espeak-ng fonts-inter fonts-comic-neue fonts-dejavu-core fonts-noto-cjk fonts-noto-color-emoji \
    libmp3lame0 libopus0 libvpx7 libx264-164 \
  && rm -rf /var/lib/apt/lists/*
COPY --from=ffmpeg /opt/ffmpeg/lib /usr/lib/x86_64-linux-gnu
COPY --from=build /src/target/dist/reel /usr/bin/reel
COPY deploy/image/collect /tmp/
# Of the fonts, those that the scenes are set in.
RUN rm -f /usr/share/fonts/opentype/noto/NotoSerif* /usr/share/fonts/opentype/inter/InterDisplay* \
  && echo 'reel:x:1000:1000::/nonexistent:/nonexistent' >>/etc/passwd && echo 'reel:x:1000:' >>/etc/group \
  && /tmp/collect /image /usr/bin/reel /usr/bin/espeak-ng /usr/lib/x86_64-linux-gnu/espeak-ng-data /usr/share/fonts \
    /usr/lib/x86_64-linux-gnu/libnss_dns.so.2 /etc/nsswitch.conf /etc/passwd /etc/group /etc/ssl/certs/ca-certificates.crt \
  && mkdir -p /image/tmp /volumes/media-root /volumes/archive && chmod 1777 /image/tmp

# Python with Piper.
FROM files AS piper-files
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv
COPY scripts/piper-requirements.txt /tmp/
RUN python3 -m venv /opt/piper \
  && /opt/piper/bin/pip install --quiet --no-cache-dir --no-compile --only-binary :all: --require-hashes -r /tmp/piper-requirements.txt \
  && rm -rf /opt/piper/lib/python3.11/site-packages/pip /usr/lib/python3.11/ensurepip /usr/lib/python3.11/test \
  && /tmp/collect /piper /opt/piper /usr/bin/python3 /usr/lib/python3.11

FROM scratch AS reel
COPY --from=files /image /
COPY --from=files --chown=1000:1000 /volumes /
USER 1000:1000
ENV REEL_BIND=0.0.0.0:8080 MEDIA_ROOT=/media-root ARCHIVE_ROOT=/archive LANG=C.UTF-8
ENTRYPOINT ["/usr/bin/reel"]

FROM reel AS piper
COPY --from=piper-files /piper /
ENV REEL_VOICE=piper PIPER_PYTHON=/opt/piper/bin/python
