//! Speaks with espeak-ng's library, which tells when each word begins; its program does not.
//!
//! The library keeps its state in globals and is not meant for hostile text, so it runs in a process of its own:
//! [`crate::speak::espeak_helper`]. It is loaded when it is needed, because it is no part of the build. Declarations follow
//! `espeak-ng/speak_lib.h` of version 1.51; `EVENT_API` has been the same since eSpeak 1.48.

use std::ffi::{CString, c_char, c_int, c_short, c_uchar, c_uint, c_void};
use std::sync::{Mutex, PoisonError};

use libloading::{Library, Symbol};

/// Names of the library, the one that packages install first.
const NAMES: [&str; 2] = ["libespeak-ng.so.1", "libespeak-ng.so"];

const AUDIO_OUTPUT_SYNCHRONOUS: c_int = 2;
const INITIALIZE_DONT_EXIT: c_int = 0x8000;
const CHARS_UTF8: c_uint = 1;
const END_PAUSE: c_uint = 0x1000;
const POSITION_CHARACTER: c_int = 1;
const PARAMETER_RATE: c_int = 1;
const PARAMETER_VOLUME: c_int = 2;
const EVENT_LIST_TERMINATED: c_int = 0;
const EVENT_WORD: c_int = 1;
const CONTINUE: c_int = 0;
const ABORT: c_int = 1;

/// Longest sound: ten minutes. The process must not grow without end.
const MAX_SAMPLES: usize = 22_050 * 600;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("espeak-ng's library cannot be loaded")]
    Load(#[from] libloading::Error),
    #[error("espeak-ng's library failed to {attempted}, with status {status}")]
    Failed { attempted: &'static str, status: i32 },
    #[error("the text or the voice's name has a NUL character")]
    Nul(#[from] std::ffi::NulError),
}

/// Speech with its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Speech {
    pub rate: u32,
    pub samples: Vec<i16>,
    /// The character that each word begins with, counted from 0, and the sample at which it begins.
    pub words: Vec<(u32, u32)>,
}

/// `espeak_EVENT`.
#[repr(C)]
struct Event {
    kind: c_int,
    unique_identifier: c_uint,
    /// Counted from 1, in characters.
    text_position: c_int,
    length: c_int,
    audio_position: c_int,
    sample: c_int,
    user_data: *mut c_void,
    id: [c_char; 8],
}

/// `espeak_VOICE`.
#[repr(C)]
struct VoiceProperties {
    name: *const c_char,
    languages: *const c_char,
    identifier: *const c_char,
    gender: c_uchar,
    age: c_uchar,
    variant: c_uchar,
    xx1: c_uchar,
    score: c_int,
    spare: *mut c_void,
}

impl VoiceProperties {
    fn of_language(languages: *const c_char) -> Self {
        let (name, identifier, spare) = (std::ptr::null(), std::ptr::null(), std::ptr::null_mut());
        Self { name, languages, identifier, gender: 0, age: 0, variant: 0, xx1: 0, score: 0, spare }
    }
}

type Initialize = unsafe extern "C" fn(c_int, c_int, *const c_char, c_int) -> c_int;
type SetSynthCallback = unsafe extern "C" fn(extern "C" fn(*mut c_short, c_int, *mut Event) -> c_int);
type SetVoiceByName = unsafe extern "C" fn(*const c_char) -> c_int;
type SetVoiceByProperties = unsafe extern "C" fn(*mut VoiceProperties) -> c_int;
type SetParameter = unsafe extern "C" fn(c_int, c_int, c_int) -> c_int;
type Synth = unsafe extern "C" fn(
    *const c_void,
    usize,
    c_uint,
    c_int,
    c_uint,
    c_uint,
    *mut c_uint,
    *mut c_void,
) -> c_int;

/// The sound and the words so far. The callback has no argument of its own.
static SPOKEN: Mutex<Speech> = Mutex::new(Speech { rate: 0, samples: vec![], words: vec![] });
/// The library and its sample rate, from the first call on: it cannot be started twice. Locked while it is used.
static LIBRARY: Mutex<Option<(Library, u32)>> = Mutex::new(None);

/// Loads and starts the library, unless that was done before. Blocks like [`speak`].
pub(crate) fn start_once() -> Result<(), Error> {
    let mut started = LIBRARY.lock().unwrap_or_else(PoisonError::into_inner);
    if started.is_none() {
        *started = Some(start()?);
    }
    Ok(())
}

/// Speaks a line with a voice of `espeak-ng --voices`. Blocks, and calls from several threads wait for each other.
pub(crate) fn speak(voice: &str, words_per_minute: u32, volume: u32, line: &str) -> Result<Speech, Error> {
    let (voice, line) = (CString::new(voice)?, CString::new(line)?);
    start_once()?;
    let started = LIBRARY.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((library, rate)) = &*started else { unreachable!("it was started") };
    *SPOKEN.lock().unwrap_or_else(PoisonError::into_inner) =
        Speech { rate: *rate, samples: vec![], words: vec![] };
    // SAFETY: the signatures are those of the library's header. It was started, is used by one thread at a time, and
    // synchronously. The strings end with NUL and outlive the calls.
    unsafe {
        let set_voice: Symbol<'_, SetVoiceByName> = library.get(b"espeak_SetVoiceByName\0")?;
        let set_parameter: Symbol<'_, SetParameter> = library.get(b"espeak_SetParameter\0")?;
        let synth: Symbol<'_, Synth> = library.get(b"espeak_Synth\0")?;
        // The program does the same: the name may be that of a language.
        if set_voice(voice.as_ptr()) != 0 {
            let set_language: Symbol<'_, SetVoiceByProperties> =
                library.get(b"espeak_SetVoiceByProperties\0")?;
            let mut properties = VoiceProperties::of_language(voice.as_ptr());
            succeed("find the voice", set_language(&mut properties))?;
        }
        succeed("set the tempo", set_parameter(PARAMETER_RATE, words_per_minute as c_int, 0))?;
        succeed("set the volume", set_parameter(PARAMETER_VOLUME, volume as c_int, 0))?;
        let (text, size) = (line.as_ptr().cast(), line.as_bytes_with_nul().len());
        let flags = CHARS_UTF8 | END_PAUSE;
        let (no_identifier, no_data) = (std::ptr::null_mut(), std::ptr::null_mut());
        let status = synth(text, size, 0, POSITION_CHARACTER, 0, flags, no_identifier, no_data);
        succeed("speak", status)?;
    }
    let mut speech = SPOKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let empty = Speech { rate: 0, samples: vec![], words: vec![] };
    Ok(std::mem::replace(&mut *speech, empty))
}

/// Loads and starts the library, and returns it with its sample rate.
fn start() -> Result<(Library, u32), Error> {
    // SAFETY: the library's initializers have no preconditions, and the signatures are those of its header.
    unsafe {
        let library = Library::new(NAMES[0]).or_else(|first| Library::new(NAMES[1]).map_err(|_| first))?;
        let initialize: Symbol<'_, Initialize> = library.get(b"espeak_Initialize\0")?;
        let rate = initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, std::ptr::null(), INITIALIZE_DONT_EXIT);
        if rate <= 0 {
            return Err(Error::Failed { attempted: "start", status: rate });
        }
        let set_callback: Symbol<'_, SetSynthCallback> = library.get(b"espeak_SetSynthCallback\0")?;
        set_callback(receive);
        Ok((library, rate as u32))
    }
}

fn succeed(attempted: &'static str, status: i32) -> Result<(), Error> {
    if status == 0 { Ok(()) } else { Err(Error::Failed { attempted, status }) }
}

/// Receives a piece of the sound, and the events in it.
extern "C" fn receive(samples: *mut c_short, count: c_int, events: *mut Event) -> c_int {
    let mut spoken = SPOKEN.lock().unwrap_or_else(PoisonError::into_inner);
    if !samples.is_null() && count > 0 {
        // SAFETY: the library passes `count` samples, which stay until the callback returns.
        let samples = unsafe { std::slice::from_raw_parts(samples, count as usize) };
        spoken.samples.extend_from_slice(samples);
    }
    let mut next = events;
    // SAFETY: the library passes a list of events that ends with one of the kind `EVENT_LIST_TERMINATED`.
    while let Some(event) = unsafe { next.as_ref() }.filter(|event| event.kind != EVENT_LIST_TERMINATED) {
        // The library ends some sentences with a word of no length.
        if event.kind == EVENT_WORD && event.length > 0 && event.text_position > 0 && event.sample >= 0 {
            spoken.words.push((event.text_position as u32 - 1, event.sample as u32));
        }
        // SAFETY: the list goes on until its last event.
        next = unsafe { next.add(1) };
    }
    if spoken.samples.len() > MAX_SAMPLES { ABORT } else { CONTINUE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_its_character_and_its_sample() {
        let speech = speak("en-us", 165, 85, "Ions move, and the café closes.").unwrap();
        let characters: Vec<u32> = speech.words.iter().map(|(character, _)| *character).collect();
        assert_eq!(characters, [0, 5, 11, 15, 19, 24]);
        assert_eq!(speech.rate, 22_050);
        assert!(speech.words.is_sorted_by(|a, b| a.1 < b.1), "{:?}", speech.words);
        assert!(speech.words[5].1 < speech.samples.len() as u32);
    }

    #[test]
    fn a_text_with_nul_is_an_error() {
        assert!(speak("en-us", 165, 85, "x\0y").is_err());
        assert!(speak("en-us", 165, 85, "The next call works.").is_ok());
    }
}
