//! Programs that try to get out, to take too much, or to leave something behind. Each is stopped, and its error names what it tried.

// Tests state what must hold; an unwrap that fails is a failed test.
#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reel_sandbox::{Error, Limits, Program, Sandbox, Unavailable};

const PYTHON: &str = "/usr/bin/python3";
const MIB: u64 = 1 << 20;

fn limits() -> Limits {
    Limits {
        wall: Duration::from_secs(20),
        cpu_s: 10,
        memory_bytes: 512 * MIB,
        threads: 8,
        work_bytes: 4 * MIB,
        output_bytes: MIB,
    }
}

/// Runs a Python program, and returns its output. Checks that no process of it is left.
fn run_within(script: &str, limits: &Limits) -> Result<String, Error> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let marker = format!("hostile-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let sandbox = Sandbox::find().unwrap();
    let program = Program {
        arguments: &[PYTHON, "-I", "-c", script, &marker],
        read_only: &[(std::fs::canonicalize(PYTHON).unwrap(), PYTHON.to_owned())],
        files: &[("/given/file", b"given")],
        environment: &[("HOME", "/work")],
        input: b"input",
    };
    let mut output = String::new();
    let result = sandbox.run(&program, limits, &|| false, |from| from.read_to_string(&mut output));
    assert!(!has_process(&marker), "{marker} left a process behind");
    match result? {
        Ok(_) => Ok(output),
        Err(error) => panic!("{error}"),
    }
}

fn run(script: &str) -> Result<String, Error> {
    run_within(script, &limits())
}

/// Returns `true` if a process has this among its arguments.
fn has_process(marker: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        arguments.split(|byte| *byte == 0).any(|argument| argument == marker.as_bytes())
    })
}

fn assert_fails(script: &str, named: &str) {
    let error = run(script).expect_err(script);
    assert!(error.to_string().contains(named), "{script}\n{error}\n{}", error.messages());
}

/// 000-7: a program that behaves does its work: it computes, reads what it is given, and writes to its folder.
#[test]
fn a_program_that_behaves_is_run() {
    let script = "import sys, threading\n\
        open('/work/a', 'w').write(open('/given/file').read())\n\
        thread = threading.Thread(target=lambda: print(sum(range(10))))\n\
        thread.start(); thread.join()\n\
        print(open('/work/a').read(), sys.stdin.read())";
    assert_eq!(run(script).unwrap(), "45\ngiven input\n");
}

#[test]
fn files_of_the_machine_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let secret = folder.path().join("other-job");
    std::fs::write(&secret, "secret").unwrap();
    let secret = secret.display();
    assert_fails("open('/etc/passwd')", "No such file or directory: '/etc/passwd'");
    assert_fails("open('/etc/shadow')", "No such file or directory: '/etc/shadow'");
    assert_fails(&format!("open('{secret}')"), "No such file or directory");
    assert_fails(&format!("open('{secret}-2', 'w')"), "No such file or directory");
    // Neither by a link, nor by the way up.
    assert_fails(&format!("import os\nos.symlink('{secret}', 'link')\nopen('link')"), "No such file");
    assert_fails("open('../../../../etc/passwd')", "No such file or directory");
    assert_fails("import os\nos.link('/usr/lib/os-release', 'hard')", "Errno");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left");
}

#[test]
fn nothing_can_be_written_but_its_own_folder() {
    for path in ["/left", "/usr/lib/left", "/dev/left", "/given/left", "/given/file", "/etc/left"] {
        let error = run(&format!("open('{path}', 'w')")).unwrap_err().to_string();
        let is_refused =
            ["Read-only file system", "Permission denied"].iter().any(|reason| error.contains(reason));
        assert!(is_refused, "{path}: {error}");
    }
    assert!(!Path::new("/left").exists() && !Path::new("/usr/lib/left").exists());
}

#[test]
fn the_environment_is_empty() {
    assert!(std::env::var_os("PATH").is_some());
    let names = run("import os\nprint(sorted(os.environ))").unwrap();
    assert_eq!(names, "['HOME', 'LC_CTYPE', 'PWD']\n", "Python itself sets `LC_CTYPE`");
}

#[test]
fn other_processes_are_not_there() {
    let parent = std::process::id();
    assert_fails(&format!("open('/proc/{parent}/environ')"), "No such file or directory");
    assert_fails("open('/proc/self/maps')", "No such file or directory");
    assert_fails(&format!("import os\nos.kill({parent}, 9)"), "Operation not permitted");
    assert_fails("import os\nos.kill(os.getppid(), 9)", "Operation not permitted");
    assert_fails("import os\nos.kill(-1, 9)", "Operation not permitted");
}

#[test]
fn there_is_no_network() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = format!("import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)");
    assert_fails(&connect, "Operation not permitted");
    assert_fails("import socket\nsocket.socket(socket.AF_UNIX)", "Operation not permitted");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nobody came");
}

#[test]
fn no_process_can_be_started() {
    assert_fails("import os\nwhile True: os.fork()", "Operation not permitted");
    assert_fails("import subprocess\nsubprocess.run(['/usr/bin/python3'])", "Operation not permitted");
    // A child that would stay when its parent ends.
    assert_fails(
        "import os\nif os.fork() == 0:\n  os.setsid()\n  while True: pass",
        "Operation not permitted",
    );
    let threads = "import threading, time\nfor _ in range(1000): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()";
    assert_fails(threads, "can't start new thread");
}

#[test]
fn calls_that_reach_into_the_kernel_are_refused() {
    // Numbers of x86-64; others differ, and are as little listed.
    let calls = [
        ("ptrace", 101),
        ("mount", 165),
        ("unshare", 272),
        ("io_uring_setup", 425),
        ("bpf", 321),
        ("keyctl", 250),
    ];
    for (name, number) in calls {
        let script = format!(
            "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n\
             result = libc.syscall({number}, 0, 0, 0, 0, 0)\n\
             if result < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), '{name}')"
        );
        assert_fails(&script, &format!("Operation not permitted: '{name}'"));
    }
    // A process in a user namespace of its own, by `clone`.
    let clone = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n\
         if libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0) < 0: raise OSError(ctypes.get_errno(), 'clone')";
    assert_fails(clone, "clone");
}

#[test]
fn memory_files_output_and_messages_are_bounded() {
    assert_fails("x = bytearray(1 << 30)", "MemoryError");
    assert_fails("x = []\nwhile True: x.append(bytearray(1 << 20))", "MemoryError");
    let fill = "for n in range(100): open(f'/work/{n}', 'wb').write(b'x' * (1 << 20))";
    assert_fails(fill, "No space left on device");
    assert_fails("open('/work/a', 'wb').truncate(1 << 40)", "File too large");
    let error = run("while True: print('x' * 1000)").unwrap_err();
    assert!(matches!(error, Error::TooMuchOutput { limit: MIB }), "{error}");
    let error = run(
        "import sys\nfor _ in range(100_000): sys.stderr.write('noise ' * 10)\nraise ValueError('named')",
    );
    let error = error.unwrap_err();
    assert!(error.to_string().contains("ValueError: named") && error.messages().len() < 40_000, "{error}");
}

#[test]
fn time_is_bounded() {
    let soon = |wall_ms, cpu_s| Limits { wall: Duration::from_millis(wall_ms), cpu_s, ..limits() };
    let begun = Instant::now();
    let waits = run_within("import time\ntime.sleep(600)", &soon(500, 10)).unwrap_err();
    assert!(matches!(waits, Error::TimedOut { .. }), "{waits}");
    // Output is open, and nothing comes.
    let silent = run_within("import os\nos.close(2)\nwhile True: os.read(0, 1)", &soon(500, 10)).unwrap_err();
    assert!(matches!(silent, Error::TimedOut { .. }), "{silent}");
    let computes = run_within("while True: pass", &soon(15_000, 1)).unwrap_err();
    assert!(matches!(computes, Error::CpuTime { limit_s: 1 }), "{computes}");
    // It catches the first signal. The second one cannot be caught.
    let stubborn = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass";
    let stubborn = run_within(stubborn, &soon(15_000, 1)).unwrap_err();
    assert!(matches!(stubborn, Error::Killed { signal: 9, .. }), "{stubborn}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn it_stops_when_it_is_cancelled_or_nobody_reads_on() {
    let sandbox = Sandbox::find().unwrap();
    let program = Program {
        arguments: &[
            PYTHON,
            "-I",
            "-c",
            "import time\nprint('begun', flush=True)\nwhile True: print('x' * 1000)",
        ],
        read_only: &[(std::fs::canonicalize(PYTHON).unwrap(), PYTHON.to_owned())],
        files: &[],
        environment: &[],
        input: &[],
    };
    let limits = Limits { output_bytes: u64::MAX, ..limits() };
    let begun = Instant::now();
    let read_all = |output: &mut reel_sandbox::Output<'_>| std::io::copy(output, &mut std::io::sink());
    let cancelled =
        sandbox.run(&program, &limits, &|| begun.elapsed() > Duration::from_millis(200), read_all);
    assert!(matches!(cancelled, Err(Error::Cancelled)));
    let mut word = [0; 5];
    sandbox.run(&program, &limits, &|| false, |output| output.read_exact(&mut word)).unwrap().unwrap();
    assert_eq!(&word, b"begun");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn it_refuses_where_it_cannot_confine_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Sandbox::with_bwrap(&folder.path().join("bwrap")).unwrap_err();
    assert!(matches!(missing, Unavailable::Program { package: "bubblewrap", .. }), "{missing}");
    // One that fails as bubblewrap does in a container without rights, and one that confines nothing and runs nothing.
    for (script, reason) in [
        (
            "echo 'bwrap: Creating new namespace failed: Operation not permitted' >&2; exit 1",
            "Creating new namespace failed",
        ),
        ("exit 0", "did not answer"),
    ] {
        let bwrap = folder.path().join(format!("bwrap-{}", script.len()));
        std::fs::write(&bwrap, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&bwrap, PermissionsExt::from_mode(0o755)).unwrap();
        let refused = Sandbox::with_bwrap(&bwrap).unwrap_err().to_string();
        assert!(refused.contains(reason) && refused.contains("namespaces"), "{refused}");
    }
}

/// Runs the other tests as a user without rights. Where users may not create namespaces, the sandbox says so.
#[test]
fn it_confines_for_a_user_without_rights_or_says_why_it_cannot() {
    const NOBODY: u32 = 65_534;
    if std::env::var_os("AS_NOBODY").is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let tests: PathBuf = folder.path().join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &tests).unwrap();
    std::fs::set_permissions(&tests, PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new(&tests);
    // The test of time limits is slow, and does not depend on the user.
    command
        .args(["--skip", "time_is_bounded"])
        .env_clear()
        .env("AS_NOBODY", "1")
        .env("PATH", "/usr/bin")
        .current_dir("/");
    if std::fs::metadata("/proc/self").is_ok() && is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let says_why = told.contains("user.max_user_namespaces") && told.contains("cannot create namespaces");
    assert!(output.status.success() || says_why, "{told}");
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").unwrap().contains("\nUid:\t0\t0")
}
