//! Pictures in a graphics processor's memory, which VA-API's encoder requires.

use std::ptr;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use ffmpeg_next::frame;

/// Surfaces allocated up front: one that is filled, one that is encoded, and some to spare.
const POOL_SIZE: i32 = 6;

/// A pool of surfaces for NV12 pictures of one size.
pub struct Surfaces {
    pool: *mut ffi::AVBufferRef,
}

// SAFETY: a counted reference, used by one thread at a time; the counter is atomic (libavutil/buffer.h).
unsafe impl Send for Surfaces {}

impl Surfaces {
    /// Opens the first device that VA-API finds.
    pub fn open(width: u32, height: u32) -> Result<Self, ffmpeg::Error> {
        let mut device = ptr::null_mut();
        // SAFETY: `device` is where the reference goes; null stands for the default device and no options.
        let opened = unsafe {
            let kind = ffi::AVHWDeviceType::AV_HWDEVICE_TYPE_VAAPI;
            ffi::av_hwdevice_ctx_create(&mut device, kind, ptr::null(), ptr::null_mut(), 0)
        };
        check_result(opened)?;
        // SAFETY: `device` is a reference since it was opened. The pool takes one of its own, and this one goes.
        let pool = unsafe {
            let pool = ffi::av_hwframe_ctx_alloc(device);
            ffi::av_buffer_unref(&mut device);
            pool
        };
        if pool.is_null() {
            return Err(ffmpeg::Error::Other { errno: ffmpeg::error::ENOMEM });
        }
        let surfaces = Self { pool };
        // SAFETY: the data of such a reference is an `AVHWFramesContext`, to be filled in before it is initialised.
        let ready = unsafe {
            let context = &mut *(*pool).data.cast::<ffi::AVHWFramesContext>();
            context.format = ffi::AVPixelFormat::AV_PIX_FMT_VAAPI;
            context.sw_format = ffi::AVPixelFormat::AV_PIX_FMT_NV12;
            context.width = width as i32;
            context.height = height as i32;
            context.initial_pool_size = POOL_SIZE;
            ffi::av_hwframe_ctx_init(pool)
        };
        check_result(ready)?;
        Ok(surfaces)
    }

    /// Attaches the pool to an encoder that is not open yet.
    pub fn attach(&self, context: *mut ffi::AVCodecContext) -> Result<(), ffmpeg::Error> {
        // SAFETY: the encoder takes a reference of its own and lets go of it when it is freed.
        unsafe {
            (*context).hw_frames_ctx = ffi::av_buffer_ref(self.pool);
            match (*context).hw_frames_ctx.is_null() {
                true => Err(ffmpeg::Error::Other { errno: ffmpeg::error::ENOMEM }),
                false => Ok(()),
            }
        }
    }

    /// Uploads a picture to a surface, with its timestamp and type.
    pub fn upload(&self, picture: &frame::Video) -> Result<frame::Video, ffmpeg::Error> {
        let mut surface = frame::Video::empty();
        // SAFETY: both frames and the pool are alive; each call checks what it is given.
        unsafe {
            check_result(ffi::av_hwframe_get_buffer(self.pool, surface.as_mut_ptr(), 0))?;
            check_result(ffi::av_hwframe_transfer_data(surface.as_mut_ptr(), picture.as_ptr(), 0))?;
        }
        surface.set_pts(picture.pts());
        surface.set_kind(picture.kind());
        Ok(surface)
    }
}

impl Drop for Surfaces {
    fn drop(&mut self) {
        // SAFETY: the reference is this value's own.
        unsafe { ffi::av_buffer_unref(&mut self.pool) }
    }
}

fn check_result(result: i32) -> Result<(), ffmpeg::Error> {
    if result < 0 { Err(ffmpeg::Error::from(result)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_such_a_device_says_so() {
        crate::ffmpeg::start();
        match Surfaces::open(640, 360) {
            // With one, a picture comes into its memory.
            Ok(surfaces) => {
                let mut picture = frame::Video::new(ffmpeg::format::Pixel::NV12, 640, 360);
                picture.set_pts(Some(7));
                assert_eq!(surfaces.upload(&picture).unwrap().pts(), Some(7));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}
