//! What a program has of the system: sockets, names of hosts, files, threads and processes.

use std::{
    ffi::{CStr, c_char, c_int, c_long, c_uint, c_void},
    mem::transmute,
    thread,
};

use super::{
    super::{
        Breach,
        kernel::{AT_FDCWD, EACCES, EAGAIN, ENOSYS, answer_or_errno, call, fail, number},
        note,
    },
    next,
};

#[unsafe(no_mangle)]
pub(super) extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    if note(Breach { call: "socket", instead: "the network of Env" }).is_some() {
        return fail(EACCES) as c_int;
    }
    let arguments = [domain.into(), kind.into(), protocol.into(), 0, 0, 0];
    // SAFETY: numbers only.
    answer_or_errno(unsafe { call(number::SOCKET, arguments) }) as c_int
}

/// # Safety
/// As the C library's, where it goes on to.
#[unsafe(no_mangle)]
unsafe extern "C" fn getaddrinfo(
    name: *const c_char,
    service: *const c_char,
    hints: *const c_void,
    found: *mut *mut c_void,
) -> c_int {
    type Ask = unsafe extern "C" fn(
        *const c_char,
        *const c_char,
        *const c_void,
        *mut *mut c_void,
    ) -> c_int;
    const NO_RECOVERY: c_int = -4; // EAI_FAIL
    let breach = Breach { call: "getaddrinfo", instead: "addresses: the simulation has no names" };
    if note(breach).is_some() {
        return NO_RECOVERY;
    }
    let next = next(c"getaddrinfo");
    if next.is_null() {
        return NO_RECOVERY;
    }
    // SAFETY: a function of this name has this type; arguments are the caller's promise.
    unsafe { transmute::<*mut c_void, Ask>(next)(name, service, hints, found) }
}

/// Opens a file, or refuses. Who panics may: its backtrace reads the executable's symbols.
///
/// # Safety
/// `path` is a C string.
unsafe fn open_at(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mode: c_uint,
    call_name: &'static str,
) -> c_int {
    let breach = Breach { call: call_name, instead: "the files of Env" };
    if !thread::panicking() && note(breach).is_some() {
        return fail(EACCES) as c_int;
    }
    let arguments = [folder.into(), path as c_long, flags.into(), mode.into(), 0, 0];
    // SAFETY: the caller's promise.
    answer_or_errno(unsafe { call(number::OPENAT, arguments) }) as c_int
}

// These four are variadic in C: `mode` is there when a file may be made. On these architectures it
// comes in the same register either way, and the kernel does not look at it when it has no meaning.

/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { open_at(AT_FDCWD, path, flags, mode, "open") }
}

/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { open_at(AT_FDCWD, path, flags, mode, "open64") }
}

/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn openat(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mode: c_uint,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { open_at(folder, path, flags, mode, "openat") }
}

/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn openat64(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mode: c_uint,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { open_at(folder, path, flags, mode, "openat64") }
}

/// # Safety
/// As the C library's, where it goes on to.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut c_void,
    attributes: *const c_void,
    start: *const c_void,
    argument: *mut c_void,
) -> c_int {
    type Create =
        unsafe extern "C" fn(*mut c_void, *const c_void, *const c_void, *mut c_void) -> c_int;
    if note(Breach { call: "pthread_create", instead: "Env::spawn" }).is_some() {
        return EAGAIN;
    }
    let next = next(c"pthread_create");
    if next.is_null() {
        return EAGAIN;
    }
    // SAFETY: a function of this name has this type; arguments are the caller's promise.
    unsafe { transmute::<*mut c_void, Create>(next)(thread, attributes, start, argument) }
}

const fn makes_process(call: &'static str) -> Breach {
    Breach { call, instead: "Env::spawn: a simulated host has one process" }
}

#[unsafe(no_mangle)]
extern "C" fn fork() -> c_int {
    type Fork = extern "C" fn() -> c_int;
    if note(makes_process("fork")).is_some() {
        return fail(EAGAIN) as c_int;
    }
    let next = next(c"fork");
    if next.is_null() {
        return fail(ENOSYS) as c_int;
    }
    // SAFETY: a function of this name has this type.
    unsafe { transmute::<*mut c_void, Fork>(next)() }
}

/// Arguments of `posix_spawn`: where the process id goes, the program, file actions, attributes,
/// arguments, environment.
type SpawnArguments =
    (*mut c_int, *const c_char, *const c_void, *const c_void, *const c_void, *const c_void);

/// # Safety
/// As the C library's function `name`, where it goes on to.
unsafe fn spawn(name: &CStr, breach: Breach, arguments: SpawnArguments) -> c_int {
    type Spawn = unsafe extern "C" fn(
        *mut c_int,
        *const c_char,
        *const c_void,
        *const c_void,
        *const c_void,
        *const c_void,
    ) -> c_int;
    if note(breach).is_some() {
        return EAGAIN;
    }
    let next = next(name);
    if next.is_null() {
        return ENOSYS;
    }
    let (id, program, actions, attributes, words, environment) = arguments;
    // SAFETY: a function of this name has this type; arguments are the caller's promise.
    unsafe {
        transmute::<*mut c_void, Spawn>(next)(id, program, actions, attributes, words, environment)
    }
}

/// # Safety
/// As the C library's, where it goes on to.
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_spawn(
    id: *mut c_int,
    program: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    words: *const c_void,
    environment: *const c_void,
) -> c_int {
    let arguments = (id, program, actions, attributes, words, environment);
    // SAFETY: the caller's promise.
    unsafe { spawn(c"posix_spawn", makes_process("posix_spawn"), arguments) }
}

/// # Safety
/// As the C library's, where it goes on to.
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_spawnp(
    id: *mut c_int,
    program: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    words: *const c_void,
    environment: *const c_void,
) -> c_int {
    let arguments = (id, program, actions, attributes, words, environment);
    // SAFETY: the caller's promise.
    unsafe { spawn(c"posix_spawnp", makes_process("posix_spawnp"), arguments) }
}
