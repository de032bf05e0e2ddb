//! Where the stacks of this process's threads end.

use super::maps::PAGE;
use std::ptr;

/// The numbers of all threads.
pub(super) fn all() -> Vec<i32> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The ends of these threads' stacks, in order, but the main one's. At its end a stack has the thread's own record, `struct pthread` of glibc
/// and musl, and the kernel knows where in it the list of robust mutexes begins (get_robust_list(2)): in the last page, 1,632 bytes before
/// its end with glibc 2.43.
pub(super) fn ends(threads: &[i32]) -> Vec<u64> {
    let own = std::process::id();
    let others = threads.iter().copied().filter(|thread| u32::try_from(*thread) != Ok(own));
    let mut ends: Vec<u64> = others.filter_map(robust_list).map(|head| (head + 1).next_multiple_of(PAGE)).collect();
    ends.sort_unstable();
    ends.dedup();
    ends
}

/// The head of a thread's list; none of one that ended meanwhile or has none.
fn robust_list(thread: i32) -> Option<u64> {
    let (mut head, mut bytes) = (ptr::null_mut::<libc::c_void>(), 0_usize);
    // SAFETY: two places to write to.
    let failed = unsafe { libc::syscall(libc::SYS_get_robust_list, thread, &raw mut head, &raw mut bytes) };
    (failed == 0 && !head.is_null()).then_some(head as u64)
}
