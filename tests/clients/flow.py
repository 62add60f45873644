"""The way of a client from a token to a file, with the client that openapi-python-client makes of openapi.json."""

import os

from reelstream_api import AuthenticatedClient
from reelstream_api.api.jobs import get_job
from reelstream_api.api.videos import download_video, generate_video, get_job_status
from reelstream_api.models import CustomConfig, DownloadVideoQuality, ErrorBody, JobSummary, JobStatusAnswer, VideoFields
from reelstream_api.models.custom_config_fps_type_1 import CustomConfigFpsType1
from reelstream_api.models.video_fields_quality_type_1 import VideoFieldsQualityType1
from uuid import UUID

client = AuthenticatedClient(base_url=os.environ["REEL_API_URL"], token=os.environ["REEL_TOKEN"])
request = VideoFields(
    topic="Ions",
    script="# Ions\n\nIons move.",
    quality=VideoFieldsQualityType1.LOW,
    custom_config=CustomConfig(fps=CustomConfigFpsType1.VALUE_25),
)
asked = generate_video.sync(client=client, body=request)
assert isinstance(asked, JobSummary), asked

status = "queued"
while status not in ("completed", "failed", "cancelled"):
    polled = get_job_status.sync(asked.job_id, client=client, wait=5)
    assert isinstance(polled, JobStatusAnswer), polled
    status = polled.status
assert status == "completed", status

answer = download_video.sync_detailed(asked.job_id, client=client, quality=DownloadVideoQuality("480p"))
assert answer.content[4:8] == b"ftyp", answer.status_code

missing = get_job.sync(UUID("0199c0de-7a3e-7cc1-9f5e-0b8f6d2f4a11"), client=client)
assert isinstance(missing, ErrorBody) and missing.error.error_code == "NOT_FOUND", missing
print(f"Python: {len(answer.content)} bytes of video")
