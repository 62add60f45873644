//! The command line that confines: `bwrap`, then what gives up rights and sets limits, then the program.

use std::ffi::OsString;
use std::path::Path;

use crate::run::{Limits, Program, WORK};

pub const SETPRIV: &str = "/usr/bin/setpriv";
pub const PRLIMIT: &str = "/usr/bin/prlimit";

/// Paths of the system that every program sees, as far as they exist: libraries, the locale, and fonts.
const SYSTEM: &[&str] = &[
    "/usr/lib",
    "/usr/lib64",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/usr/share/fonts",
    "/usr/share/fontconfig",
    "/var/cache/fontconfig",
    SETPRIV,
    PRLIMIT,
];

/// First user id of sandboxes that root starts, and the number of ids. They lie in the range that systemd reserves for users
/// that come and go (61184 to 65519), so that a container of 65,536 ids has them.
const FIRST_USER: u32 = 61_184;
const USERS: u32 = 4_000;

/// The numbers of files that the sandbox reads.
pub struct Files<'a> {
    pub filters: [i32; 2],
    /// One for each file of the program.
    pub contents: &'a [i32],
}

/// Returns the arguments of `bwrap`. `number` tells apart the sandboxes of this process, so that each has a user id of its own.
pub fn arguments(
    program: &Program<'_>,
    limits: &Limits,
    files: &Files<'_>,
    is_root: bool,
    number: u32,
) -> Vec<OsString> {
    let mut arguments = Arguments(vec![]);
    if !is_root {
        arguments.add(["--unshare-user"]);
    }
    for namespace in ["ipc", "pid", "net", "uts", "cgroup-try"] {
        arguments.add([&format!("--unshare-{namespace}")]);
    }
    arguments.add(["--die-with-parent", "--new-session", "--clearenv", "--hostname", "sandbox"]);
    for folder in ["/usr", "/usr/bin", "/usr/share", "/etc", "/var", "/var/cache", "/dev"] {
        arguments.add(["--perms", "0755", "--dir", folder]);
    }
    for path in SYSTEM {
        arguments.add(["--ro-bind-try", path, path]);
    }
    for (path, inside) in program.read_only {
        arguments.make_parents(inside);
        arguments.add([OsString::from("--ro-bind"), path.into(), inside.into()]);
    }
    arguments.add(["--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"]);
    for device in ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"] {
        arguments.add(["--dev-bind", device, device]);
    }
    for ((inside, _), number) in program.files.iter().zip(files.contents) {
        arguments.make_parents(inside);
        arguments.add(["--perms", "0444", "--ro-bind-data", &number.to_string(), inside]);
    }
    arguments.add(["--perms", "1777", "--size", &limits.work_bytes.to_string(), "--tmpfs", WORK]);
    arguments.add(["--remount-ro", "/", "--chdir", WORK]);
    for (name, value) in program.environment {
        arguments.add(["--setenv", name, value]);
    }
    for filter in files.filters {
        arguments.add(["--add-seccomp-fd", &filter.to_string()]);
    }
    arguments.add(["--"]);
    if is_root {
        let user = user(number).to_string();
        arguments.add([SETPRIV, "--reuid", &user, "--regid", &user, "--clear-groups"]);
        arguments.add(["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]);
    }
    // Counted for the sandbox's user, who has no other processes. The limit of memory is the program's, too.
    arguments.add([
        PRLIMIT,
        &format!("--nproc={}", limits.threads),
        &format!("--as={}", limits.memory_bytes),
        "--",
    ]);
    arguments.0.extend(program.arguments.iter().map(OsString::from));
    arguments.0
}

fn user(number: u32) -> u32 {
    FIRST_USER + std::process::id().wrapping_add(number) % USERS
}

struct Arguments(Vec<OsString>);

impl Arguments {
    fn add<A: Into<OsString>, const N: usize>(&mut self, arguments: [A; N]) {
        self.0.extend(arguments.map(Into::into));
    }

    /// Makes the folders above a path, which `bwrap` would hide from other users.
    fn make_parents(&mut self, inside: &str) {
        let mut parents: Vec<&Path> = Path::new(inside).ancestors().skip(1).collect();
        parents.reverse();
        for parent in parents.iter().skip(1) {
            self.add([OsString::from("--perms"), "0755".into(), "--dir".into(), parent.into()]);
        }
    }
}
